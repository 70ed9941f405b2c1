//! `PUT /policies/{name}`.

use crate::ApiState;
use crate::body::WasmBody;
use crate::error::Problem;
use crate::operation::{Description, Operation, Part};
use crate::path::PolicyName;
use crate::policies::show::{PolicyDetail, changed};
use crate::query::{Parameters, Query, boolean, wrong};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header::FROM;
use axum::http::request::Parts;
use serde_json::{Value, json};
use std::convert::Infallible;
use windlass_core::Timestamp;
use windlass_core::policy::{Push, Source};
use windlass_core::text::plain;

/// Most characters that are kept of the author of a push.
const LONGEST_AUTHOR: usize = 200;

/// Query of `PUT /policies/{name}`.
#[derive(Default)]
pub(crate) struct PushQuery {
    reset_memory: bool,
    candidate: bool,
}

impl Parameters for PushQuery {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let memory = json!({"type": "string", "enum": ["keep", "reset"], "default": "keep"});
        vec![
            ("memory", "Whether it receives the memory of the revision before it.", memory),
            (
                "candidate",
                "Register it as the candidate: it is called in parallel to the active revision, and promoted later.",
                json!({"type": "boolean", "default": false}),
            ),
        ]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        match (name, value.as_str()) {
            ("memory", "keep") => self.reset_memory = false,
            ("memory", "reset") => self.reset_memory = true,
            ("memory", _) => return Err(wrong(name, "expected `keep` or `reset`")),
            _ => self.candidate = boolean(name, &value)?,
        }
        Ok(())
    }
}

/// The author of a push, from the header `From`; without invisible characters, because it is returned and logged.
pub(crate) struct Author(String);

impl<S: Send + Sync> FromRequestParts<S> for Author {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let author = parts.headers.get(FROM).and_then(|value| value.to_str().ok()).unwrap_or("the API");
        Ok(Self(plain(author).chars().take(LONGEST_AUTHOR).collect()))
    }
}

impl Part for Author {
    fn describe(description: &mut Description) {
        description.parameters.push(json!({
            "name": "From", "in": "header", "description": "The author of the push.", "schema": {"type": "string", "pattern": "^(?:[!-~](?:[ -~]*[!-~])?)?$"},
        }));
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Register a component as the newest revision, active from the next pass on, or as the candidate";
    Operation::new(summary, push).answer::<PolicyDetail>().errors(&[409])
}

async fn push(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    Query(PushQuery { reset_memory, candidate }): Query<PushQuery>,
    Author(by): Author,
    WasmBody { component, permit }: WasmBody,
) -> Result<Json<PolicyDetail>, Problem> {
    let at = Timestamp(state.controller.now_ms());
    let component = component.to_vec().into();
    let push = Push { name, component, by, source: Source::Upload, reset_memory, candidate, at };
    changed(async move {
        let _until_it_is_compiled = permit;
        state.policies.push(push).await
    })
    .await
}

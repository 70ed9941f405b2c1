//! `POST /policies/{name}/promote`.

use crate::ApiState;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::PolicyName;
use crate::policies::show::{PolicyDetail, changed};
use crate::query::{Parameters, Query, wrong};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use windlass_core::Timestamp;

/// Query of `POST /policies/{name}/promote`.
#[derive(Default)]
pub(crate) struct Promotion {
    revision: Option<u32>,
}

impl Parameters for Promotion {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let meaning = "Number of the revision. Default: the candidate.";
        vec![("revision", meaning, json!({"type": "integer", "minimum": 1, "maximum": u32::MAX}))]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let number = value.parse().ok().filter(|number| *number >= 1);
        self.revision = Some(number.ok_or_else(|| wrong(name, "expected the number of a revision, from 1"))?);
        Ok(())
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Activate the candidate, or the revision of a number";
    Operation::new(summary, promote).answer::<PolicyDetail>().errors(&[404, 409])
}

async fn promote(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    Query(Promotion { revision }): Query<Promotion>,
) -> Result<Json<PolicyDetail>, Problem> {
    let at = Timestamp(state.controller.now_ms());
    changed(async move { state.policies.promote(&name, revision, at).await }).await
}

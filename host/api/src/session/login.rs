//! `POST /login`.

use crate::ApiState;
use crate::access::trail;
use crate::body::Body;
use crate::error::Problem;
use crate::json::object::declare;
use crate::json::shape::text_of;
use crate::json::time::Time;
use crate::limits::Peer;
use crate::operation::{Description, Operation, Part};
use crate::query::NoQuery;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::convert::Infallible;
use utoipa::ToSchema;
use windlass_core::access::AuditRecord;

declare! {
    /// Body of `POST /login`.
    pub(crate) struct LoginRequest {
        /// A token with one of the roles of people, or the one of the configuration.
        required token: String = text_of(1..=4_096),
    }
}

/// Answer of `POST /login`. The session itself is in the cookie `windlass_session`, which no script can read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoginAnswer {
    /// Name of the caller.
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// Globs of the workloads that the session is limited to; empty if it is not limited.
    workloads: Vec<String>,
    /// The text that each change of the session must carry: in the header `x-csrf-token`.
    csrf: String,
    /// The latest end of the session. It ends earlier if it is not used for 30 minutes.
    expires_at: Time,
}

/// The head of a request.
pub(crate) struct Head(Parts);

impl<S: Send + Sync> FromRequestParts<S> for Head {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.clone()))
    }
}

impl Head {
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }
}

impl Part for Head {
    fn describe(_: &mut Description) {}
}

pub(crate) fn operation() -> Operation {
    let summary = "Begin a session with a token: the cookie of the answer stands for the token";
    Operation::new(summary, log_in).answer::<LoginAnswer>().errors(&[429])
}

async fn log_in(
    State(state): State<ApiState>,
    Head(parts): Head,
    _: NoQuery,
    body: Body<LoginRequest>,
) -> Result<Response, Problem> {
    let token = body.check(|request, _| request.token.given())?;
    let (login, caller) = state.access.log_in(&parts.extensions, &parts.headers, &token)?;
    let from = Peer::among(&parts.extensions).to_string();
    let record = AuditRecord {
        token: caller.token.as_deref().map(str::to_owned),
        ..trail::simple(&state, &caller.name, from, "POST /login", "Begin a session")
    };
    trail::store(&state, record).await;
    let answer = LoginAnswer {
        name: caller.name.to_string(),
        role: caller.role.to_string(),
        workloads: caller.scope.globs().to_vec(),
        csrf: login.csrf.to_string(),
        expires_at: Time(login.until),
    };
    Ok(([(SET_COOKIE, login.cookie)], Json(answer)).into_response())
}

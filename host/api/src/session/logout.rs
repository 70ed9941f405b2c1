//! `POST /logout`.

use crate::ApiState;
use crate::operation::Operation;
use crate::query::NoQuery;
use crate::session::login::Head;
use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `POST /logout`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogoutAnswer {
    /// Always true.
    ok: bool,
}

pub(crate) fn operation() -> Operation {
    Operation::new("End the session of this browser", log_out).answer::<LogoutAnswer>()
}

async fn log_out(State(state): State<ApiState>, head: Head, _: NoQuery) -> Response {
    let removed = state.access.log_out(head.headers());
    ([(SET_COOKIE, removed)], Json(LogoutAnswer { ok: true })).into_response()
}

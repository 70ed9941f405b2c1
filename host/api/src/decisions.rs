//! `GET /decisions/{id}`.

use crate::ApiState;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::DecisionNumber;
use crate::query::NoQuery;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_core::store::DecisionRecord;

/// Answer of `GET /decisions/{id}`, as it was recorded: `id`, `at` in milliseconds since the Unix epoch, `health` and
/// `scaling` (each with `policy`, `config`, `observation` and `answer`), and the resulting plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(crate) struct DecisionView(DecisionRecord);

pub(crate) fn operation() -> Operation {
    let summary = "Show one decision: the input and the answer of each policy, and the resulting plan";
    Operation::new(summary, show).answer::<DecisionView>().errors(&[404, 422])
}

async fn show(
    State(state): State<ApiState>,
    DecisionNumber(id): DecisionNumber,
    _: NoQuery,
) -> Result<Json<DecisionView>, Problem> {
    let found = state.controller.decision(id).await?;
    let gone = || {
        let detail = format!("there is no decision {id}: it was never made, or is no longer kept");
        Problem::new(StatusCode::NOT_FOUND, detail)
    };
    found.map(|found| Json(DecisionView(found))).ok_or_else(gone)
}

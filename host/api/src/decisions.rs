//! `GET /decisions/{id}`.

use crate::ApiState;
use crate::access::Caller;
use crate::error::Problem;
use crate::long_answers::LongAnswer;
use crate::operation::Operation;
use crate::path::DecisionNumber;
use crate::pieces;
use crate::query::NoQuery;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_core::store::{DecisionRecord, StoredDecision};

/// Answer of `GET /decisions/{id}`, as it was recorded: `id`, `at` in milliseconds since the Unix epoch, `health` and
/// `scaling` (each with `policy`, `config`, `observation` and `answer`), and the resulting plan. A part that no budget of
/// the store had room for is null, and `omitted` lists it with the setting of the limit.
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
    Extension(caller): Extension<Caller>,
    DecisionNumber(id): DecisionNumber,
    _: NoQuery,
    permit: LongAnswer,
) -> Result<Response, Problem> {
    let gone = || {
        let detail = format!("there is no decision {id}: it was never made, or is no longer kept");
        Problem::new(StatusCode::NOT_FOUND, detail)
    };
    let found = state.controller.decision(id).await?.filter(|found| caller.scope.includes(&found.key));
    let found = found.ok_or_else(gone)?;
    let piece = |rest: Option<StoredDecision>| async move { Ok(rest.map(|found| (found.json.into(), None))) };
    Ok(pieces::json(permit, Some(found), piece))
}

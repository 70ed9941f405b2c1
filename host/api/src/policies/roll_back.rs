//! `POST /policies/{name}/rollback`.

use crate::ApiState;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::PolicyName;
use crate::policies::show::{PolicyDetail, changed};
use crate::query::NoQuery;
use axum::Json;
use axum::extract::State;
use windlass_core::Timestamp;

pub(crate) fn operation() -> Operation {
    let summary = "Activate the revision before the active one";
    Operation::new(summary, roll_back).answer::<PolicyDetail>().errors(&[404, 409])
}

async fn roll_back(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    _: NoQuery,
) -> Result<Json<PolicyDetail>, Problem> {
    let at = Timestamp(state.controller.now_ms());
    changed(async move { state.policies.roll_back(&name, at).await }).await
}

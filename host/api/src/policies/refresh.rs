//! `POST /policies/{name}/refresh`.

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
    let summary = "Resolve the policy's reference into a registry again";
    Operation::new(summary, refresh).answer::<PolicyDetail>().errors(&[404, 409, 422, 502])
}

async fn refresh(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    _: NoQuery,
) -> Result<Json<PolicyDetail>, Problem> {
    let at = Timestamp(state.controller.now_ms());
    changed(async move { state.policies.refresh(&name, at).await }).await
}

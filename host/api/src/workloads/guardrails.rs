//! `PUT /workloads/{name}/guardrails`.

use crate::ApiState;
use crate::body::Body;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workload::guardrails::GuardrailsRequest;
use crate::workloads::change::changed;
use crate::workloads::view::ImageView;
use axum::Json;
use axum::extract::State;

pub(crate) fn operation() -> Operation {
    let summary = "Replace the guardrails of a workload, and answer after the next pass";
    Operation::new(summary, guard).answer::<ImageView>().errors(&[400, 404, 409])
}

async fn guard(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
    body: Body<GuardrailsRequest>,
) -> Result<Json<ImageView>, Problem> {
    let guardrails = body.check(|request, _| request.guardrails())?;
    changed(&state, key, async move |controller, key| controller.guard(&key, guardrails).await).await
}

//! `PATCH /workloads/{name}/overrides`.

use crate::ApiState;
use crate::body::Body;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workload::overrides::OverridesRequest;
use crate::workloads::change::changed;
use crate::workloads::view::ImageView;
use axum::Json;
use axum::extract::State;
use windlass_core::{Overrides, Timestamp};

pub(crate) fn operation() -> Operation {
    let summary = "Pause scaling, freeze a direction, or force a count for a time";
    Operation::new(summary, change).answer::<ImageView>().errors(&[400, 404, 409])
}

async fn change(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
    body: Body<OverridesRequest>,
) -> Result<Json<ImageView>, Problem> {
    let now = Timestamp(state.controller.now_ms());
    let current = state.controller.view(&key).map(|view| view.workload.overrides).unwrap_or_default();
    let changes = body.check(|request, problems| request.changes(current, now, problems))?;
    let resumes = changes.resumes();
    let change = move |overrides: &mut Overrides| *overrides = changes.applied_to(*overrides);
    changed(&state, key, async move |controller, key| controller.override_policy(&key, resumes, change).await).await
}

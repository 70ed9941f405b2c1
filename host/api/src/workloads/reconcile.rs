//! `POST /workloads/{name}/reconcile`.

use crate::ApiState;
use crate::detached;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workloads::pass::{ReconcileAnswer, outcome};
use axum::Json;
use axum::extract::State;

pub(crate) fn operation() -> Operation {
    Operation::new("Make a pass, and answer after it", reconcile).answer::<ReconcileAnswer>().errors(&[404])
}

async fn reconcile(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
) -> Result<Json<ReconcileAnswer>, Problem> {
    let controller = state.controller.clone();
    let wanted = key.clone();
    let pass = detached::run(async move { controller.reconcile(&wanted).await }).await?;
    outcome(&state, &key, &pass)
}

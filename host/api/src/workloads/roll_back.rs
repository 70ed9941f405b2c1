//! `POST /workloads/{name}/rollback`.

use crate::ApiState;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workloads::change::changed;
use crate::workloads::view::ImageView;
use axum::Json;
use axum::extract::State;

pub(crate) fn operation() -> Operation {
    let summary = "Return to the generation before, and answer after the pass that began to replace the replicas";
    Operation::new(summary, roll_back).answer::<ImageView>().errors(&[404, 409])
}

async fn roll_back(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
) -> Result<Json<ImageView>, Problem> {
    changed(&state, key, async move |controller, key| controller.roll_back(&key).await).await
}

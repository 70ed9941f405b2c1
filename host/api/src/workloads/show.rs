//! `GET /workloads/{name}`.

use crate::ApiState;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workloads::lookup::known;
use crate::workloads::view::ImageView;
use axum::Json;
use axum::extract::State;

pub(crate) fn operation() -> Operation {
    let summary = "Show the desired state of a workload, its replicas, and the result of the last pass";
    Operation::new(summary, show).answer::<ImageView>().errors(&[404])
}

async fn show(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
) -> Result<Json<ImageView>, Problem> {
    Ok(Json(ImageView::from(&known(&state, &key)?)))
}

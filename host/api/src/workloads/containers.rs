//! `GET /workloads/{name}/containers`.

use crate::ApiState;
use crate::containers::summary::ContainerSummary;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workloads::lookup::orphans_of;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `GET /workloads/{name}/containers`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageContainers {
    /// The image.
    image: String,
    /// Its containers, oldest first; empty if the workload is unknown.
    containers: Vec<ContainerSummary>,
}

pub(crate) fn operation() -> Operation {
    Operation::new("List the containers of a workload, as last observed", containers).answer::<ImageContainers>()
}

async fn containers(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
) -> Json<ImageContainers> {
    let (image, replicas) = match state.controller.view(&key) {
        Some(view) => (view.workload.image.to_string(), view.replicas),
        None => (key.to_string(), orphans_of(&state, &key)),
    };
    Json(ImageContainers { image, containers: replicas.iter().map(ContainerSummary::from).collect() })
}

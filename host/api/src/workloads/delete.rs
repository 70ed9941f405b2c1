//! `DELETE /workloads/{name}`.

use crate::ApiState;
use crate::detached;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workloads::lookup::known;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_core::Replica;

/// Answer of `DELETE /workloads/{name}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedImage {
    /// Always true.
    deleted: bool,
    /// The image.
    image: String,
    /// The containers that were stopped and removed.
    removed: Vec<RemovedContainer>,
}

/// A container that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RemovedContainer {
    /// The engine's full identifier.
    container_id: String,
    /// Its name.
    name: String,
}

impl From<&Replica> for RemovedContainer {
    fn from(replica: &Replica) -> Self {
        Self { container_id: replica.id.to_string(), name: replica.name.clone() }
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Stop and remove every container of a workload, and forget the workload";
    Operation::new(summary, delete).answer::<DeletedImage>().errors(&[400, 404, 409])
}

async fn delete(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
) -> Result<Json<DeletedImage>, Problem> {
    let image = known(&state, &key)?.workload.image.to_string();
    let removed = detached::run(async move { state.controller.delete(&key).await }).await?;
    Ok(Json(DeletedImage { deleted: true, image, removed: removed.iter().map(RemovedContainer::from).collect() }))
}

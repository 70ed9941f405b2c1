//! `GET /containers`.

use crate::ApiState;
use crate::access::Caller;
use crate::containers::summary::ContainerSummary;
use crate::operation::Operation;
use crate::query::NoQuery;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `GET /containers`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContainerList {
    /// Every container of this Windlass instance.
    containers: Vec<ContainerSummary>,
}

pub(crate) fn operation() -> Operation {
    Operation::new("List every container, as last observed", list).answer::<ContainerList>()
}

/// The containers as last observed; those of unknown workloads come last.
async fn list(
    State(state): State<ApiState>,
    Extension(Caller { scope, .. }): Extension<Caller>,
    _: NoQuery,
) -> Json<ContainerList> {
    let (replicas, orphans) = (state.controller.replicas(), state.controller.orphans());
    let containers = replicas.iter().chain(&orphans);
    let containers = containers.filter(|replica| scope.includes(&replica.workload)).map(ContainerSummary::from);
    Json(ContainerList { containers: containers.collect() })
}

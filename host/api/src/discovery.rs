//! `/discovery/prometheus`: who can be reached where.

use crate::ApiState;
use crate::request::TargetQuery;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_discovery;

/// Answer of `GET /discovery/prometheus`.
#[derive(Serialize, ToSchema)]
pub struct TargetGroups(pub Vec<TargetGroup>);

/// One port of one replica.
#[derive(Serialize, ToSchema)]
pub struct TargetGroup {
    /// Where it is reached: one host and port.
    pub targets: Vec<String>,
    /// What is known of it, under names that begin with `__meta_windlass_`.
    pub labels: BTreeMap<String, String>,
}

/// The targets asked for. Of a workload that is not there they are none: it may come.
pub async fn prometheus(State(state): State<ApiState>, asked: TargetQuery) -> Json<Value> {
    let mut targets = state.discovery.targets();
    targets.retain(|target| {
        asked.workload.as_ref().is_none_or(|workload| *workload == target.workload)
            && asked.port.is_none_or(|port| port == target.port)
            && (target.ready || !asked.ready)
    });
    Json(windlass_discovery::prometheus(&targets))
}

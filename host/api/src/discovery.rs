//! `GET /discovery/prometheus`: the addresses of replicas.

use crate::ApiState;
use crate::access::Caller;
use crate::error::Problem;
use crate::operation::Operation;
use crate::query::{Parameters, Query, boolean, wrong};
use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_core::WorkloadKey;

/// Query of `GET /discovery/prometheus`; without parameters, every target is returned.
#[derive(Default)]
pub(crate) struct TargetQuery {
    workload: Option<String>,
    port: Option<u16>,
    ready: bool,
}

impl Parameters for TargetQuery {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let port = json!({"type": "integer", "minimum": 1, "maximum": 65535});
        let ready = json!({"type": "boolean", "default": false});
        vec![
            ("workload", "Only targets of this workload: its image or name.", json!({"type": "string"})),
            ("port", "Only this port inside the replicas.", port),
            ("ready", "Only replicas that are ready for requests.", ready),
        ]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        match name {
            "workload" => self.workload = Some(value),
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.port = Some(port.ok_or_else(|| wrong(name, "expected a port, 1 to 65535"))?);
            }
            _ => self.ready = boolean(name, &value)?,
        }
        Ok(())
    }
}

/// Answer of `GET /discovery/prometheus`.
#[derive(Serialize, ToSchema)]
pub(crate) struct TargetGroups(Vec<TargetGroup>);

/// One port of one replica.
#[derive(Serialize, ToSchema)]
pub(crate) struct TargetGroup {
    /// Its address: one host and port.
    targets: Vec<String>,
    /// Labels of the replica, with names that begin with `__meta_windlass_`.
    labels: BTreeMap<String, String>,
}

pub(crate) fn operation() -> Operation {
    let summary = "List the address of each port of each running replica, as Prometheus' HTTP service discovery";
    Operation::new(summary, prometheus).answer::<TargetGroups>()
}

/// The targets of the query. An unknown workload has none, and no error: it may be started later.
async fn prometheus(
    State(state): State<ApiState>,
    Extension(Caller { scope, .. }): Extension<Caller>,
    Query(query): Query<TargetQuery>,
) -> Json<Value> {
    let mut targets = state.discovery.targets();
    targets.retain(|target| {
        query.workload.as_ref().is_none_or(|workload| *workload == target.workload)
            && query.port.is_none_or(|port| port == target.port)
            && (target.ready || !query.ready)
            && scope.includes(&WorkloadKey::stored(target.workload.as_str()))
    });
    Json(windlass_discovery::prometheus(&targets))
}

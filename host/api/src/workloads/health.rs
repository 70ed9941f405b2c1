//! `GET /workloads/{name}/health`.

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
use windlass_core::Replica;
use windlass_core::contract::HealthStatus;

/// Answer of `GET /workloads/{name}/health`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageHealth {
    /// The image.
    image: String,
    /// Its containers, oldest first; empty if the workload is unknown.
    health: Vec<ContainerHealth>,
}

/// One container with its health.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ContainerHealth {
    /// The container.
    #[serde(flatten)]
    summary: ContainerSummary,
    /// Its process runs, and the health policy does not assess it as unhealthy.
    pub(crate) server_alive: bool,
    /// CPU in percent of one core, as in `docker stats`; null before the first sample.
    pub(crate) cpu_percent: Option<f64>,
    /// Memory without page cache in percent of the container's limit; null before the first sample.
    pub(crate) mem_percent: Option<f64>,
    /// Free bytes on the root file system of the machine on which Windlass runs; null if unknown.
    pub(crate) fs_free_bytes: Option<u64>,
}

impl ContainerHealth {
    /// The health of one replica. `memory_limit` is that of its workload, for a replica without one of its own;
    /// `fs_free_bytes` is in bytes. Both are `None` if unknown.
    pub(crate) fn of(
        replica: &Replica,
        health: Option<HealthStatus>,
        memory_limit: Option<u64>,
        fs_free_bytes: Option<u64>,
    ) -> Self {
        // The usage of a process that has ended is out of date.
        let usage = replica.usage.filter(|_| replica.status == "running");
        #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
        let percent = |used: u64, limit: u64| used as f64 * 100.0 / limit as f64;
        Self {
            summary: replica.into(),
            server_alive: replica.is_running() && health != Some(HealthStatus::Unhealthy),
            cpu_percent: usage.map(|usage| usage.cpu_cores * 100.0),
            mem_percent: usage
                .zip(replica.limits.memory_bytes.or(memory_limit))
                .map(|(usage, limit)| percent(usage.memory_bytes, limit)),
            fs_free_bytes,
        }
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Show the health of a workload's containers, from the last observation and samples";
    Operation::new(summary, health).answer::<ImageHealth>()
}

async fn health(State(state): State<ApiState>, WorkloadPath(key): WorkloadPath, _: NoQuery) -> Json<ImageHealth> {
    let free = free_bytes();
    let (image, health) = match state.controller.view(&key) {
        Some(view) => {
            let limit = view.workload.limits().memory_bytes;
            let of = |replica| ContainerHealth::of(replica, view.health.get(&replica.id).copied(), limit, free);
            (view.workload.image.to_string(), view.replicas.iter().map(of).collect())
        }
        None => {
            let orphans = orphans_of(&state, &key);
            let health = orphans.iter().map(|replica| ContainerHealth::of(replica, None, None, free));
            (key.to_string(), health.collect())
        }
    };
    Json(ImageHealth { image, health })
}

/// Bytes of the root file system that unprivileged processes may use.
fn free_bytes() -> Option<u64> {
    let stat = rustix::fs::statvfs("/").ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

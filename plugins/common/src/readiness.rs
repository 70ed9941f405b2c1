//! Which replicas of the observation carry load: the ready ones, and on the way up those that fail under it.

use crate::bindings::windlass::policy::types::{HealthStatus, Phase, Replica};

/// Whether a replica serves: its process is running, and its health is not `Starting` or `Unhealthy`.
pub fn is_ready(replica: &Replica) -> bool {
    replica.phase == Phase::Running && !matches!(replica.health, HealthStatus::Starting | HealthStatus::Unhealthy)
}

/// Whether a replica fails that was ready: its load exists, and other replicas must take it. A replica that never was ready
/// has no load.
pub fn fails_under_load(replica: &Replica) -> bool {
    replica.phase == Phase::Running && !is_ready(replica) && first_ready_at(&replica.id).is_some()
}

/// The time at which a replica's process was first ready, in milliseconds since 1970.
#[cfg(target_arch = "wasm32")]
fn first_ready_at(replica: &str) -> Option<u64> {
    crate::bindings::windlass::policy::readiness::first_ready_at(replica)
}

/// Outside of a component there is no host: tests say which replicas were ready.
#[cfg(not(target_arch = "wasm32"))]
fn first_ready_at(replica: &str) -> Option<u64> {
    crate::fixtures::first_ready_at(replica)
}

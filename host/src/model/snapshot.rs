//! What one look at the engine and the host's own records showed of a workload.

use super::facts::{HealthStatus, ProbeResult};
use super::{ContainerId, Replica, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A workload as one pass saw it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// When the look was taken.
    pub at: Timestamp,
    /// Its replicas, oldest first; held ones bear [`super::Phase::Held`].
    pub replicas: Vec<Replica>,
    /// What the health policy last said of each; absent: nothing yet.
    pub health: BTreeMap<ContainerId, HealthStatus>,
    /// The probe results kept of each, oldest first.
    pub probes: BTreeMap<ContainerId, Vec<ProbeResult>>,
    /// Replicas an operator stopped.
    pub held: BTreeSet<ContainerId>,
}

impl Snapshot {
    /// The replica with this identifier.
    pub fn replica(&self, id: &ContainerId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.id == *id)
    }

    /// What was last known of a replica's health.
    pub fn health_of(&self, id: &ContainerId) -> HealthStatus {
        self.health.get(id).copied().unwrap_or_default()
    }
}

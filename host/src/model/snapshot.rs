//! What one look at the engine and the host's own records showed of a workload.

use super::facts::{HealthReport, HealthStatus, ProbeResult};
use super::{ContainerId, Phase, Replica, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A workload as one pass saw it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// When the look was taken.
    pub at: Timestamp,
    /// Its replicas, oldest first; held ones bear [`Phase::Held`].
    pub replicas: Vec<Replica>,
    /// What the health policy last said of each; absent: nothing yet.
    pub health: BTreeMap<ContainerId, HealthStatus>,
    /// The probe results kept of each, oldest first.
    pub probes: BTreeMap<ContainerId, Vec<ProbeResult>>,
    /// Replicas an operator stopped.
    pub held: BTreeSet<ContainerId>,
}

impl Snapshot {
    /// Takes over what the health policy said of the replicas; those it left out keep their old status.
    pub fn assess(&mut self, report: &HealthReport) {
        for assessment in &report.assessments {
            let id = ContainerId(assessment.replica_id.clone());
            if self.replica(&id).is_some() {
                self.health.insert(id, assessment.status);
            }
        }
    }

    /// The replicas that count towards the workload's target: neither held nor on their way out.
    pub fn counted(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| !matches!(replica.phase, Phase::Held | Phase::Stopping))
    }

    /// The replica with this identifier.
    pub fn replica(&self, id: &ContainerId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.id == *id)
    }

    /// What was last known of a replica's health.
    pub fn health_of(&self, id: &ContainerId) -> HealthStatus {
        self.health.get(id).copied().unwrap_or_default()
    }
}

//! What one look at the engine and the host's own records showed of a workload.

use super::facts::{HealthReport, HealthStatus, ProbeResult};
use super::{ContainerId, Phase, Replica, Timestamp, WorkloadKey};
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
    /// Replicas that ended soon after somebody asked them to, through the engine and not through the host.
    pub stopped_outside: BTreeSet<ContainerId>,
    /// When the host last began to know an engine, or lost one that it knew.
    pub engine_lost: Timestamp,
    /// The workloads that this one depends on.
    pub dependencies: BTreeMap<WorkloadKey, DependencySeen>,
}

/// How a workload that another depends on was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencySeen {
    /// No pass has looked at it yet.
    Unknown,
    /// No replica of it serves.
    Down,
    /// Some replica serves.
    Up {
        /// When it last ceased to serve, if it did since the host began.
        fell: Option<Timestamp>,
    },
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

    /// Whether it serves: a replica that counts runs, and the health policy says that it is well. One of which nothing was
    /// said yet has only just begun.
    pub fn is_up(&self) -> bool {
        let is_well = |id| matches!(self.health_of(id), HealthStatus::Healthy | HealthStatus::Degraded);
        self.counted().any(|replica| replica.is_alive() && is_well(&replica.id))
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

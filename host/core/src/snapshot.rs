//! A snapshot: one observation of a workload, from the engine and the host's own records.

use crate::contract::{HealthReport, HealthStatus, ProbeResult};
use crate::{ContainerId, Phase, Replica, ServiceState, Timestamp, WorkloadKey};
use std::collections::{BTreeMap, BTreeSet};

/// A workload as one pass observed it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Time of the observation.
    pub at: Timestamp,
    /// Its replicas, oldest first; held ones have [`Phase::Held`].
    pub replicas: Vec<Replica>,
    /// Each replica's latest status from the health policy; absent if there is none yet.
    pub health: BTreeMap<ContainerId, HealthStatus>,
    /// The probe results kept of each replica, oldest first.
    pub probes: BTreeMap<ContainerId, Vec<ProbeResult>>,
    /// Replicas stopped by an operator.
    pub held: BTreeSet<ContainerId>,
    /// Replicas that were stopped through the engine, not through the host.
    pub stopped_outside: BTreeSet<ContainerId>,
    /// Replicas whose process has just ended, perhaps by a stop that the engine has not recorded yet, and the time until
    /// which the record may come.
    pub stop_unclear: BTreeMap<ContainerId, Timestamp>,
    /// Containers with the labels of a replica that the host did not create, as after `docker commit`. They are listed
    /// and never touched.
    pub strangers: Vec<Replica>,
    /// Replicas that the engine failed to remove. Removal is tried again; they are no capacity.
    pub unremovable: BTreeSet<ContainerId>,
    /// When the host last established contact with an engine, or lost it.
    pub engine_lost: Timestamp,
    /// The workloads that this one depends on.
    pub dependencies: BTreeMap<WorkloadKey, DependencySeen>,
    /// The service, if the engine keeps a number of replicas by itself.
    pub service: ServiceSeen,
    /// The node of each replica that has one, on an engine of several nodes.
    pub nodes: BTreeMap<ContainerId, String>,
}

/// The latest observation of a workload's service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ServiceSeen {
    /// The host creates, starts and removes each replica; there are no services.
    #[default]
    NotUsed,
    /// The engine keeps the replicas of services, and has none for the workload.
    Missing,
    /// The engine keeps the replicas of this service.
    Found(ServiceState),
}

impl ServiceSeen {
    /// The service, if there is one.
    pub fn state(&self) -> Option<&ServiceState> {
        match self {
            Self::Found(service) => Some(service),
            Self::NotUsed | Self::Missing => None,
        }
    }
}

/// The latest observation of a workload that another depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencySeen {
    /// No pass has observed it yet.
    Unknown,
    /// No replica serves.
    Down,
    /// At least one replica serves.
    Up {
        /// When it last stopped serving, if it did since the host's start.
        fell: Option<Timestamp>,
    },
}

impl Snapshot {
    /// Applies a health report; replicas that it leaves out keep their status.
    pub fn assess(&mut self, report: &HealthReport) {
        let ids: BTreeSet<&ContainerId> = self.replicas.iter().map(|replica| &replica.id).collect();
        for assessment in &report.assessments {
            let id = ContainerId(assessment.replica_id.clone());
            if ids.contains(&id) {
                self.health.insert(id, assessment.status);
            }
        }
    }

    /// The replicas that count towards the target: neither held nor stopping, and not waiting for their removal.
    pub fn counted(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| {
            !matches!(replica.phase, Phase::Held | Phase::Stopping | Phase::Dead)
                && !self.unremovable.contains(&replica.id)
        })
    }

    /// Whether a counted replica runs and the health policy reports it as healthy or degraded. A replica without a
    /// status has only just started.
    pub fn is_up(&self) -> bool {
        self.serving().next().is_some()
    }

    fn serving(&self) -> impl Iterator<Item = &Replica> {
        let is_well = |id| matches!(self.health_of(id), HealthStatus::Healthy | HealthStatus::Degraded);
        self.counted().filter(move |replica| replica.phase == Phase::Running && is_well(&replica.id))
    }

    /// Whether it served before, and none of the serving processes still does: it is down, or was between the two
    /// observations.
    pub fn fell_since(&self, before: &Self) -> bool {
        let goes_on = |was: &Replica| self.serving().any(|is| is.id == was.id && is.started_at == was.started_at);
        before.is_up() && !before.serving().any(goes_on)
    }

    /// The replica with this identifier.
    pub fn replica(&self, id: &ContainerId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.id == *id)
    }

    /// A replica's last known status.
    pub fn health_of(&self, id: &ContainerId) -> HealthStatus {
        self.health.get(id).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{exited, running, workload};

    #[test]
    fn a_fall_is_seen_also_where_it_is_over() {
        let db = workload("db", 1, 3);
        let seen = |replicas: Vec<Replica>| {
            let health = replicas.iter().map(|replica| (replica.id.clone(), HealthStatus::Healthy)).collect();
            Snapshot { replicas, health, ..Snapshot::default() }
        };
        let (one, other) = (running(&db, 1, 1_000), running(&db, 2, 1_000));
        let restarted = Replica { started_at: Some(Timestamp(2_000)), ..one.clone() };
        let before = seen(vec![one.clone(), other.clone()]);
        for (after, fell) in [
            (vec![one.clone(), other.clone()], false),
            (vec![restarted.clone(), other.clone()], false),
            (vec![restarted.clone()], true),
            (vec![running(&db, 3, 2_000)], true),
            (vec![exited(one.clone(), 0)], true),
            (vec![], true),
        ] {
            assert_eq!(seen(after.clone()).fell_since(&before), fell, "{after:?}");
        }
        assert!(!seen(vec![restarted]).fell_since(&seen(vec![])), "what was not up did not fall");
        let starting =
            Snapshot { health: BTreeMap::from([(one.id.clone(), HealthStatus::Starting)]), ..seen(vec![one]) };
        assert!(starting.fell_since(&before) && !before.fell_since(&starting));
    }
}

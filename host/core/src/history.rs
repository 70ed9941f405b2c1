//! The host's memory of a workload from one pass to the next.

use crate::contract::HealthStatus;
use crate::workload::Mode;
use crate::{
    Blocked, Bounds, ComposeHistory, ContainerId, Generation, MemoryOwner, Phase, Replica, RolloutHistory,
    ServiceHistory, Slot, Snapshot, Timestamp, Trouble, Unremovable, Workload, WorkloadKey,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Restart counters of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SlotHistory {
    /// Restarts and replacements in a row since the slot was last healthy for long enough.
    pub restarts: u32,
    /// Time of the last one.
    pub last_restart: Option<Timestamp>,
    /// Restarts of the process of the container now in the slot.
    pub process_restarts: u32,
    /// When the slot was given up after too many restarts in a row. `None` if it is still repaired.
    #[serde(default)]
    pub given_up: Option<Timestamp>,
    /// Since when the replica of a given-up slot has been healthy. `None` if it is not, or the slot is not given up.
    #[serde(default)]
    pub well_since: Option<Timestamp>,
}

/// The suspicion that the path between the host and the replicas is broken, rather than the replicas: most probes fail
/// at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Suspicion {
    /// Start of the suspicion.
    pub since: Timestamp,
    /// When a replica was last repaired during the suspicion.
    pub healed_at: Option<Timestamp>,
    /// The slot of that replica, until it serves.
    #[serde(default)]
    pub healed: Option<Slot>,
    /// Number of repairs since a repaired replica last served.
    #[serde(default)]
    pub in_vain: u32,
}

/// The input of `decide` besides the snapshot. It is stored, so a restart of the host keeps backoffs and windows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// The replica count that the host aims for. `None` before the first pass. The store keeps it in a column of its own.
    #[serde(skip)]
    pub target: Option<u32>,
    /// One entry for each slot that was ever filled and not removed by scale-in.
    pub slots: BTreeMap<Slot, SlotHistory>,
    /// Bytes that the scaling policy returned last time.
    pub scaling_memory: Vec<u8>,
    /// The owner of these bytes. `None` if there is none yet.
    #[serde(default)]
    pub scaling_memory_of: Option<MemoryOwner>,
    /// Bytes that the health policy returned last time.
    pub health_memory: Vec<u8>,
    /// The owner of these bytes. `None` if there is none yet.
    #[serde(default)]
    pub health_memory_of: Option<MemoryOwner>,
    /// Proposals within the longest window, by time. Consecutive equal ones are merged, with the latest time.
    #[serde(default)]
    pub proposals: Vec<Proposal>,
    /// Changes of the count within the longest rate period or cooldown, by time.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// When the host first observed the workload. `None` if it has not yet.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Consecutive observations without any metric value. `None` if the last one had a value.
    #[serde(default)]
    pub blind: Option<Blindness>,
    /// Replicas that were stopped through the engine, not through the host.
    #[serde(default)]
    pub stopped_outside: BTreeMap<ContainerId, StoppedOutside>,
    /// Since when chosen policies have not acted as chosen, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stand_ins: BTreeMap<String, Timestamp>,
    /// Replicas that an operator protects from scale-in by a policy.
    #[serde(default)]
    pub protected: BTreeSet<ContainerId>,
    /// The last known state of the workloads this one depends on.
    #[serde(default)]
    pub dependencies: BTreeMap<WorkloadKey, Dependency>,
    /// The replicas whose current process has been ready.
    #[serde(default)]
    pub ready: BTreeMap<ContainerId, FirstReady>,
    /// The suspicion that probes do not reach the replicas. `None` if there is none.
    #[serde(default)]
    pub probe_path: Option<Suspicion>,
    /// The rollout in progress. `None` if every replica is up to date.
    #[serde(default)]
    pub rollout: Option<RolloutHistory>,
    /// The newest generation of which a replica was ready for long enough.
    #[serde(default)]
    pub proven: Option<Generation>,
    /// Since when there have been outdated replicas that nothing replaces. `None` if there are none.
    #[serde(default)]
    pub outdated: Option<Timestamp>,
    /// The slots that cannot be filled for a reason outside of their replicas.
    #[serde(default)]
    pub blocked: BTreeMap<Slot, Blocked>,
    /// The replicas that the engine failed to remove.
    #[serde(default)]
    pub unremovable: BTreeMap<ContainerId, Unremovable>,
    /// The replicas whose state concerns a person, with the start of that state.
    #[serde(default)]
    pub troubles: BTreeMap<ContainerId, Trouble>,
    /// The containers that were seen as replicas under the names of their slots. `None` if an earlier version wrote the
    /// history: then every container with the workload's labels is a replica.
    #[serde(default)]
    pub containers: Option<BTreeSet<ContainerId>>,
    /// The memory of a service of Compose. `None` for any other workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposeHistory>,
    /// The memory of the service, if the engine keeps the replicas.
    #[serde(default)]
    pub service: ServiceHistory,
}

impl History {
    /// The replica count that the host aims for; [`Bounds::initial`] before the first pass.
    pub fn target_or_initial(&self, bounds: Bounds) -> u32 {
        self.target.unwrap_or_else(|| bounds.initial())
    }

    /// The count from which a pass begins: the target. While the host only observes a service, somebody else may set its
    /// count, so the pass begins from that one: before the first pass, in mode `recommend`, and while an operator paused
    /// scaling. A deploy that reset the count of a paused workload does not count as that.
    pub fn current(&self, desired: &Workload, snapshot: &Snapshot) -> u32 {
        let target = self.target_or_initial(desired.bounds);
        let Some(service) = snapshot.service.state() else { return target };
        let recommends = desired.policies.mode.unwrap_or_default() == Mode::Recommend;
        let is_paused = desired.overrides.paused && !service.is_redeployed;
        if self.since.is_none() || recommends || is_paused { desired.bounds.clamp(service.count) } else { target }
    }

    /// When the current process of a replica was first ready. `None` if it never was.
    pub fn first_ready_at(&self, replica: &Replica) -> Option<Timestamp> {
        let ready = self.ready.get(&replica.id)?;
        (replica.started_at == Some(ready.started)).then_some(ready.at)
    }

    /// Records the replicas that are ready now, and forgets processes that have ended.
    pub fn note_ready(&mut self, snapshot: &Snapshot) {
        let known = std::mem::take(&mut self.ready);
        for replica in &snapshot.replicas {
            if replica.phase == Phase::Unknown {
                self.ready.extend(known.get_key_value(&replica.id).map(|(id, ready)| (id.clone(), *ready)));
            }
            let Some(started) = replica.started_at.filter(|_| replica.is_alive()) else { continue };
            let before = known.get(&replica.id).filter(|ready| ready.started == started).copied();
            let is_ready = matches!(snapshot.health_of(&replica.id), HealthStatus::Healthy | HealthStatus::Degraded);
            let now = is_ready.then_some(FirstReady { started, at: snapshot.at });
            if let Some(ready) = before.or(now) {
                self.ready.insert(replica.id.clone(), ready);
            }
        }
    }

    /// The same history without times later than `now`.
    ///
    /// After the machine's clock is set back, future times become `now`. Delays, windows and cooldowns therefore never
    /// last longer than configured.
    #[must_use]
    pub fn none_later_than(mut self, now: Timestamp) -> Self {
        let slots = self.slots.values_mut();
        let of_slots = slots.flat_map(|slot| [&mut slot.last_restart, &mut slot.given_up, &mut slot.well_since]);
        let of_path = self.probe_path.iter_mut().map(|path| &mut path.healed_at);
        let maybe = of_slots.chain(of_path).chain([&mut self.since, &mut self.outdated]).flatten();
        let proposals = self.proposals.iter_mut().map(|proposal| &mut proposal.at);
        let changes = self.changes.iter_mut().map(|change| &mut change.at);
        let stopped = self.stopped_outside.values_mut().map(|stopped| &mut stopped.seen);
        let blocked = self.blocked.values_mut().flat_map(|blocked| [&mut blocked.since, &mut blocked.last]);
        let unremovable = self.unremovable.values_mut().flat_map(|it| [&mut it.since, &mut it.last]);
        let troubles = self.troubles.values_mut().map(|trouble| &mut trouble.since);
        let waiting = blocked.chain(unremovable).chain(troubles).chain(self.stand_ins.values_mut());
        let blind = self.blind.iter_mut().map(|blind| &mut blind.last);
        let ready = self.ready.values_mut().map(|ready| &mut ready.at);
        let back = self.dependencies.values_mut().filter_map(|dependency| match dependency {
            Dependency::Up { back, .. } => back.as_mut(),
            Dependency::Down => None,
        });
        let rollout = self.rollout.iter_mut().flat_map(RolloutHistory::times);
        let changes = changes.chain(rollout).chain(self.service.times());
        let changes = changes.chain(self.compose.iter_mut().flat_map(ComposeHistory::times));
        for at in
            maybe.chain(back).chain(proposals).chain(changes).chain(stopped).chain(blind).chain(waiting).chain(ready)
        {
            *at = (*at).min(now);
        }
        self
    }
}

/// A process that has been ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstReady {
    /// The start of the process, by the engine's clock.
    pub started: Timestamp,
    /// When the host first observed that it was ready.
    pub at: Timestamp,
}

/// A replica that was stopped through the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedOutside {
    /// When the host first observed the stop.
    pub seen: Timestamp,
    /// The engine kept responding for long enough afterwards, so neither the engine nor the machine was shutting down.
    pub is_settled: bool,
}

/// The state of a workload that another depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dependency {
    /// At least one replica serves.
    Up {
        /// Since when, if it was down before. Replicas that started earlier ran without it.
        back: Option<Timestamp>,
        /// When it last stopped serving, if that was already taken into account here.
        #[serde(default)]
        fell: Option<Timestamp>,
    },
    /// No replica serves.
    Down,
}

/// Consecutive observations without any metric value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blindness {
    /// Their number.
    pub looks: u32,
    /// Time of the last observation that was counted.
    pub last: Timestamp,
}

/// A proposed count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Time of the latest such proposal.
    pub at: Timestamp,
    /// The count, within the bounds at that time.
    pub count: u32,
}

/// A change of the target count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Time of the change.
    pub at: Timestamp,
    /// The count before.
    pub from: u32,
    /// The count after.
    pub to: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{exited, running, workload};

    #[test]
    fn a_process_is_ready_from_the_first_time_until_it_ends() {
        let web = workload("web", 1, 3);
        let replica = running(&web, 1, 1_000);
        let restarted = Replica { started_at: Some(Timestamp(9_000)), ..replica.clone() };
        let mut history = History::default();
        let mut ready_at = |replica: &Replica, at: u64, health| {
            let health = [(replica.id.clone(), health)].into();
            history.note_ready(&Snapshot {
                at: Timestamp(at),
                replicas: vec![replica.clone()],
                health,
                ..Snapshot::default()
            });
            history.first_ready_at(replica).map(|at| at.0)
        };
        assert_eq!(ready_at(&replica, 2_000, HealthStatus::Starting), None);
        assert_eq!(ready_at(&replica, 3_000, HealthStatus::Unhealthy), None, "it never was ready");
        assert_eq!(ready_at(&replica, 4_000, HealthStatus::Healthy), Some(4_000));
        let unknown = Replica { phase: Phase::Unknown, started_at: None, ..replica.clone() };
        assert_eq!(ready_at(&unknown, 4_500, HealthStatus::Unknown), None);
        assert_eq!(ready_at(&replica, 5_000, HealthStatus::Unhealthy), Some(4_000), "it was ready");
        assert_eq!(ready_at(&restarted, 9_500, HealthStatus::Starting), None, "a new process");
        assert_eq!(ready_at(&restarted, 9_900, HealthStatus::Degraded), Some(9_900));
        assert_eq!(ready_at(&exited(restarted.clone(), 1), 10_000, HealthStatus::Unknown), None);
    }

    #[test]
    fn what_was_stored_before_slots_were_given_up_is_read() {
        let slot = r#"{"restarts": 3, "last_restart": 5, "process_restarts": 1}"#;
        let stored = format!(r#"{{"slots": {{"1": {slot}}}, "scaling_memory": [], "health_memory": []}}"#);
        let history: History = serde_json::from_str(&stored).expect("an older history");
        let expected = SlotHistory {
            restarts: 3,
            last_restart: Some(Timestamp(5)),
            process_restarts: 1,
            ..SlotHistory::default()
        };
        assert_eq!(history, History { slots: [(Slot(1), expected)].into(), ..History::default() });
    }
}

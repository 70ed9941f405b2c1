//! What the host remembers of a workload from one pass to the next.

use crate::{Bounds, ContainerId, MemoryOwner, Slot, Timestamp, WorkloadKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Restart counters of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SlotHistory {
    /// How many times its process was started again, by a restart or a replacement, since it was last
    /// healthy for long enough.
    pub restarts: u32,
    /// When that last happened.
    pub last_restart: Option<Timestamp>,
    /// How many times the process of the container now in the slot was started again.
    pub process_restarts: u32,
    /// When it was given up after too many restarts in a row; none: it is healed.
    #[serde(default)]
    pub given_up: Option<Timestamp>,
    /// Since when its replica has been well, where it was given up; none: it is not, or nobody counts.
    #[serde(default)]
    pub well_since: Option<Timestamp>,
}

/// Most probes failed at once: what lies between the host and the replicas may be broken, not the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Suspicion {
    /// Since when.
    pub since: Timestamp,
    /// When a replica was last healed under it.
    pub healed_at: Option<Timestamp>,
    /// Which, as long as it has not served since.
    #[serde(default)]
    pub healed: Option<Slot>,
    /// How many were healed since one of them served.
    #[serde(default)]
    pub in_vain: u32,
}

/// What `decide` needs beside the snapshot; stored, so that a restart of the host forgets no backoff.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// The replica count that the host steers to. `None` before the first pass. The store keeps it apart.
    #[serde(skip)]
    pub target: Option<u32>,
    /// One for each slot that was ever filled and not scaled away.
    pub slots: BTreeMap<Slot, SlotHistory>,
    /// Bytes the scaling policy returned last time.
    pub scaling_memory: Vec<u8>,
    /// Whose they are; none: nobody's yet.
    #[serde(default)]
    pub scaling_memory_of: Option<MemoryOwner>,
    /// Bytes the health policy returned last time.
    pub health_memory: Vec<u8>,
    /// Whose they are; none: nobody's yet.
    #[serde(default)]
    pub health_memory_of: Option<MemoryOwner>,
    /// What was proposed within the longest window, by time; equal ones in a row are one, of the time of the last.
    #[serde(default)]
    pub proposals: Vec<Proposal>,
    /// How the count changed within the longest time that matters, by time.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// When the host first looked after the workload; none: it has not yet.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Looks in a row at which no metric had a value; none: the last found one.
    #[serde(default)]
    pub blind: Option<Blindness>,
    /// Replicas that somebody stopped through the engine, not through the host.
    #[serde(default)]
    pub stopped_outside: BTreeMap<ContainerId, StoppedOutside>,
    /// Replicas that an operator protects from a policy that wants fewer.
    #[serde(default)]
    pub protected: BTreeSet<ContainerId>,
    /// How the workloads were that this one depends on, when they were last known.
    #[serde(default)]
    pub dependencies: BTreeMap<WorkloadKey, Dependency>,
    /// The path to its replicas is suspected; none: it is not.
    #[serde(default)]
    pub probe_path: Option<Suspicion>,
}

impl History {
    /// The replica count that the host steers to; [`Bounds::initial`] before the first pass.
    pub fn target_or_initial(&self, bounds: Bounds) -> u32 {
        self.target.unwrap_or_else(|| bounds.initial())
    }

    /// The same, with nothing in it that is later than `now`: after the machine's clock was set back, what happened is as
    /// old as it can be, and waits, windows and cooldowns last no longer than they are said to.
    #[must_use]
    pub fn none_later_than(mut self, now: Timestamp) -> Self {
        let slots = self.slots.values_mut();
        let of_slots = slots.flat_map(|slot| [&mut slot.last_restart, &mut slot.given_up, &mut slot.well_since]);
        let of_path = self.probe_path.iter_mut().map(|path| &mut path.healed_at);
        let maybe = of_slots.chain(of_path).chain([&mut self.since]).flatten();
        let proposals = self.proposals.iter_mut().map(|proposal| &mut proposal.at);
        let changes = self.changes.iter_mut().map(|change| &mut change.at);
        let stopped = self.stopped_outside.values_mut().map(|stopped| &mut stopped.seen);
        let blind = self.blind.iter_mut().map(|blind| &mut blind.last);
        let back = self.dependencies.values_mut().filter_map(|dependency| match dependency {
            Dependency::Up { back, .. } => back.as_mut(),
            Dependency::Down => None,
        });
        for at in maybe.chain(back).chain(proposals).chain(changes).chain(stopped).chain(blind) {
            *at = (*at).min(now);
        }
        self
    }
}

/// A replica that was stopped through the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedOutside {
    /// When the host first saw it.
    pub seen: Timestamp,
    /// The engine went on answering for long enough after that: it was no engine, and no machine, that was shutting down.
    pub is_settled: bool,
}

/// A workload that another depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dependency {
    /// Some replica of it serves.
    Up {
        /// Since when, if it was down before: what started earlier ran without it.
        back: Option<Timestamp>,
        /// When it last ceased to serve, as far as was taken into account here.
        #[serde(default)]
        fell: Option<Timestamp>,
    },
    /// None does.
    Down,
}

/// Looks in a row at which no metric had a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blindness {
    /// How many.
    pub looks: u32,
    /// When the last was that counted.
    pub last: Timestamp,
}

/// A count that was proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// When last.
    pub at: Timestamp,
    /// Within the bounds of then.
    pub count: u32,
}

/// A change of the count steered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// The count before.
    pub from: u32,
    /// The count after.
    pub to: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

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

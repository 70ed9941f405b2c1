//! The host's memory of a rollout.

use crate::{ContainerId, Generation, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The host's memory of the rollout of one generation, from the first outdated replica to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutHistory {
    /// The generation that is rolled out.
    pub generation: Generation,
    /// New replicas that failed in a row: not created, not ready in time, or ill.
    pub failures: u32,
    /// Time of the last failure.
    pub failed_at: Option<Timestamp>,
    /// Why the last one failed; empty if none did.
    pub last_failure: String,
    /// Whether the last failure stopped no replica, so that another attempt after a while does no harm.
    pub is_harmless: bool,
    /// The failed processes that were counted, each with its start.
    pub failed: BTreeMap<ContainerId, Option<Timestamp>>,
    /// Since when each new replica has been ready.
    pub ready_since: BTreeMap<ContainerId, Timestamp>,
    /// New replicas that were ready for long enough.
    pub available: BTreeSet<ContainerId>,
    /// When the rollout paused after too many failures. `None` if it goes on.
    pub paused: Option<Timestamp>,
}

impl RolloutHistory {
    /// The beginning of a rollout.
    pub fn of(generation: Generation) -> Self {
        Self {
            generation,
            failures: 0,
            failed_at: None,
            last_failure: String::new(),
            is_harmless: false,
            failed: BTreeMap::new(),
            ready_since: BTreeMap::new(),
            available: BTreeSet::new(),
            paused: None,
        }
    }

    /// Counts a new replica that failed.
    pub fn fail(&mut self, why: impl Into<String>, is_harmless: bool, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(now);
        self.last_failure = why.into();
        self.is_harmless = is_harmless;
    }

    /// The times in it.
    pub(crate) fn times(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        let maybe = [&mut self.failed_at, &mut self.paused].into_iter().flatten();
        maybe.chain(self.ready_since.values_mut())
    }
}

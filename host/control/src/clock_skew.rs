//! Corrects replica times in the future: the host's clock was set back, or the engine's machine has another clock.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use windlass_core::{ContainerId, Replica, Timestamp};

/// Remembers when a replica's time was first observed in the future, and replaces it by that moment from then on. So later
/// events stay later, and one process keeps one start time.
#[derive(Debug, Default)]
pub(crate) struct ClockSkew {
    /// The time of the first observation, by replica and engine time.
    first_seen: Mutex<HashMap<(ContainerId, Timestamp), Timestamp>>,
}

impl ClockSkew {
    /// Corrects the times that the engine just reported about a replica.
    pub(crate) fn correct(&self, replica: &mut Replica, now: Timestamp) {
        let mut first_seen = self.first_seen.lock();
        let Replica { id, created_at, started_at, finished_at, .. } = replica;
        for time in [Some(created_at), started_at.as_mut(), finished_at.as_mut()].into_iter().flatten() {
            if *time <= now && first_seen.is_empty() {
                continue;
            }
            let key = (id.clone(), *time);
            if *time > now {
                first_seen.entry(key.clone()).or_insert(now);
            }
            if let Some(first) = first_seen.get(&key) {
                *time = *first;
            }
        }
    }

    /// Forgets every other replica.
    pub(crate) fn keep_only<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>) {
        let mut first_seen = self.first_seen.lock();
        if first_seen.is_empty() {
            return;
        }
        let ids: HashSet<&ContainerId> = ids.collect();
        first_seen.retain(|(id, _), _| ids.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::fixtures::{running, workload};

    #[test]
    fn what_lies_ahead_is_shown_as_of_its_first_look_and_stays_so() {
        let (skew, now) = (ClockSkew::default(), Timestamp(1_000_000));
        let corrected = |started, at| {
            let mut replica = running(&workload("web", 1, 1), 0, 500_000);
            replica.started_at = Some(Timestamp(started));
            skew.correct(&mut replica, at);
            replica.started_at
        };
        assert_eq!(corrected(900_000, now), Some(Timestamp(900_000)), "a past time stays");
        assert_eq!(corrected(4_600_000, now), Some(now));
        assert_eq!(corrected(4_600_000, now.plus(std::time::Duration::from_secs(9))), Some(now));
        assert_eq!(corrected(4_600_000, Timestamp(5_000_000)), Some(now), "also after the clock has caught up");
        let later = now.plus(std::time::Duration::from_secs(60));
        assert_eq!(corrected(4_700_000, later), Some(later), "a new process has a new start");
        skew.keep_only([].iter());
        assert_eq!(corrected(4_600_000, Timestamp(5_000_000)), Some(Timestamp(4_600_000)));
    }
}

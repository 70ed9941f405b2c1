//! Times that lie ahead of the host's clock: it was set back, or the engine's machine has another one.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use windlass_core::{ContainerId, Replica, Timestamp};

/// Remembers when a time of a replica was first seen to lie ahead. It is shown as that moment from then on, so that what
/// happens later is later than it, and one process keeps one start.
#[derive(Debug, Default)]
pub struct Ahead {
    /// By the replica, and the time that the engine tells.
    first_seen: Mutex<HashMap<(ContainerId, Timestamp), Timestamp>>,
}

impl Ahead {
    /// Brings the times of a replica that the engine just told to the host's clock.
    pub fn bring_back(&self, replica: &mut Replica, now: Timestamp) {
        let mut first_seen = self.first_seen.lock();
        let Replica { id, created_at, started_at, finished_at, .. } = replica;
        for told in [Some(created_at), started_at.as_mut(), finished_at.as_mut()].into_iter().flatten() {
            let seen = (id.clone(), *told);
            if *told > now {
                first_seen.entry(seen.clone()).or_insert(now);
            }
            if let Some(first) = first_seen.get(&seen) {
                *told = *first;
            }
        }
    }

    /// Forgets every replica that is not among these.
    pub fn keep_only<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>) {
        let ids: HashSet<&ContainerId> = ids.collect();
        self.first_seen.lock().retain(|(id, _), _| ids.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::fixtures::{running, workload};

    #[test]
    fn what_lies_ahead_is_shown_as_of_its_first_look_and_stays_so() {
        let (ahead, now) = (Ahead::default(), Timestamp(1_000_000));
        let told = |started| {
            let mut told = running(&workload("web", 1, 1), 0, 500_000);
            told.started_at = Some(Timestamp(started));
            told
        };
        let shown = |started, at| {
            let mut replica = told(started);
            ahead.bring_back(&mut replica, at);
            replica.started_at
        };
        assert_eq!(shown(900_000, now), Some(Timestamp(900_000)), "what is past is left alone");
        assert_eq!(shown(4_600_000, now), Some(now));
        assert_eq!(shown(4_600_000, now.plus(std::time::Duration::from_secs(9))), Some(now));
        assert_eq!(shown(4_600_000, Timestamp(5_000_000)), Some(now), "once the clock has caught up, too");
        let later = now.plus(std::time::Duration::from_secs(60));
        assert_eq!(shown(4_700_000, later), Some(later), "another process of it is another start");
        ahead.keep_only([].iter());
        assert_eq!(shown(4_600_000, Timestamp(5_000_000)), Some(Timestamp(4_600_000)));
    }
}

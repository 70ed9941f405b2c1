//! Corrects replica times of an engine whose clock differs from the host's, and times from before the host's clock was set
//! back.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use windlass_core::{ContainerId, Replica, Timestamp};

/// A smaller difference between two clocks has no effect that anybody notices.
const WORTH_A_WARNING: Duration = Duration::from_secs(2);

/// A time that the engine reported about a replica.
#[derive(Debug)]
struct Reported {
    time: Timestamp,
    /// `None` if the time is possible.
    replacement: Option<Timestamp>,
}

/// Remembers the times that the engine reported about replicas, and replaces impossible ones by the moment of their first
/// observation. So later events stay later, and one process keeps one start time.
///
/// Two kinds of times are impossible: times in the future, and times that are new in this observation and lie before the
/// one before it.
#[derive(Debug, Default)]
pub(crate) struct ClockSkew {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The times of the last observation.
    times: HashMap<ContainerId, Vec<Reported>>,
    /// The last complete observation. `None` before the first one: nothing is known about earlier events then.
    observed: Option<Timestamp>,
}

impl ClockSkew {
    /// Corrects the times that the engine just reported about a replica. Returns the largest difference between the clocks
    /// that they show.
    pub(crate) fn correct(&self, replica: &mut Replica, now: Timestamp) -> Duration {
        let mut known = self.known.lock();
        let observed = known.observed;
        let Replica { id, created_at, started_at, finished_at, .. } = replica;
        let before = known.times.get_mut(id).map(std::mem::take).unwrap_or_default();
        let mut difference = Duration::ZERO;
        let mut times = Vec::with_capacity(3);
        for time in [Some(created_at), started_at.as_mut(), finished_at.as_mut()].into_iter().flatten() {
            let reported = *time;
            let replacement = match before.iter().find(|known| known.time == reported) {
                // The clock may have been set back since an observation that found nothing wrong.
                Some(known) => known.replacement.or_else(|| (reported > now).then_some(now)),
                None => {
                    let is_too_early = observed.is_some_and(|observed| reported < observed);
                    difference = difference.max(match observed {
                        _ if reported > now => reported.since(now),
                        Some(observed) if is_too_early => observed.since(reported),
                        _ => Duration::ZERO,
                    });
                    (reported > now || is_too_early).then_some(now)
                }
            };
            times.push(Reported { time: reported, replacement });
            *time = replacement.unwrap_or(reported);
        }
        match known.times.get_mut(id) {
            Some(known) => *known = times,
            None => drop(known.times.insert(id.clone(), times)),
        }
        difference
    }

    /// Notes a complete observation of these replicas, whose listing may be this old, and forgets every other one.
    pub(crate) fn observed<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>, at: Timestamp, age: Duration) {
        let mut known = self.known.lock();
        let ids: HashSet<&ContainerId> = ids.collect();
        known.times.retain(|id, _| ids.contains(id));
        known.observed = Some(at.minus(age));
    }
}

/// Warns once about an engine with another clock.
#[derive(Debug, Default)]
pub(crate) struct SkewWarning {
    was_given: AtomicBool,
}

impl SkewWarning {
    /// Warns if the difference is noticeable and no warning was given yet.
    pub(crate) fn note(&self, difference: Duration) {
        if difference >= WORTH_A_WARNING && !self.was_given.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                difference_seconds = difference.as_secs(),
                "the engine's clock differs from this machine's by at least this time, or this machine's clock was set \
                 back; set both by a time server. Windlass uses the time at which it first saw a change"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::fixtures::{running, workload};

    /// The start time that is used for a reported one, and the difference that it shows.
    fn corrected(skew: &ClockSkew, started: u64, at: Timestamp) -> (Timestamp, Duration) {
        let mut replica = running(&workload("web", 1, 1), 0, 500_000);
        replica.started_at = Some(Timestamp(started));
        let difference = skew.correct(&mut replica, at);
        skew.observed([&replica.id].into_iter(), at, Duration::ZERO);
        (replica.started_at.unwrap_or_default(), difference)
    }

    #[test]
    fn what_lies_ahead_is_shown_as_of_its_first_look_and_stays_so() {
        let (skew, now) = (ClockSkew::default(), Timestamp(1_000_000));
        let start = |started, at| corrected(&skew, started, at).0;
        assert_eq!(start(900_000, now), Timestamp(900_000), "a past time stays");
        assert_eq!(start(4_600_000, now), now);
        assert_eq!(start(4_600_000, now.plus(Duration::from_secs(9))), now);
        assert_eq!(start(4_600_000, Timestamp(5_000_000)), now, "also after the clock has caught up");
        let later = now.plus(Duration::from_secs(60));
        assert_eq!(start(8_700_000, later), later, "a new process has a new start");
        skew.observed([].iter(), later, Duration::ZERO);
        assert_eq!(start(4_600_000, Timestamp(4_600_000)), Timestamp(4_600_000), "it is forgotten with its replica");
    }

    #[test]
    fn a_start_that_is_new_lies_after_the_observation_before_it() {
        let (skew, now) = (ClockSkew::default(), Timestamp(10_000_000));
        assert_eq!(corrected(&skew, 1_000_000, now).0, Timestamp(1_000_000), "it ran before the host started");
        let next = now.plus(Duration::from_secs(15));
        // The engine's clock is an hour behind.
        let behind = Timestamp(next.0 - 3_600_000);
        let hour = Duration::from_secs(3_600 - 15);
        assert_eq!(corrected(&skew, behind.0, next), (next, hour));
        let later = next.plus(Duration::from_secs(15));
        assert_eq!(corrected(&skew, behind.0, later), (next, Duration::ZERO), "one process keeps one start");
        let between = Timestamp(later.0 + 5_000);
        assert_eq!(corrected(&skew, between.0, later.plus(Duration::from_secs(15))).0, between, "clocks agree again");
    }

    #[test]
    fn a_start_within_the_age_of_a_listing_is_no_sign_of_another_clock() {
        let (skew, now) = (ClockSkew::default(), Timestamp(10_000_000));
        let age = Duration::from_secs(8);
        skew.observed([].iter(), now, age);
        let next = now.plus(Duration::from_secs(1));
        let begun = Timestamp(now.0 - 5_000);
        let mut replica = running(&workload("web", 1, 1), 0, begun.0);
        assert_eq!((skew.correct(&mut replica, next), replica.started_at), (Duration::ZERO, Some(begun)));
        let mut earlier = running(&workload("web", 1, 1), 1, begun.0);
        earlier.started_at = Some(Timestamp(now.0 - 60_000));
        assert_eq!(skew.correct(&mut earlier, next), Duration::from_secs(52));
    }

    #[test]
    fn one_warning_is_enough() {
        let warning = SkewWarning::default();
        warning.note(Duration::from_secs(1));
        assert!(!warning.was_given.load(Ordering::Relaxed));
        warning.note(Duration::from_secs(3));
        assert!(warning.was_given.load(Ordering::Relaxed));
    }
}

//! The probation of a revision that starts to act: its first calls are counted, without a lock.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyFailure, Timestamp};

/// Counts calls until the probation has an outcome.
#[derive(Debug)]
pub(crate) struct Probation {
    /// Calls that end it.
    max_calls: u32,
    /// Failures that end it.
    max_failures: u32,
    is_over: AtomicBool,
    calls: AtomicU32,
    failures: AtomicU32,
}

/// The outcome of a probation.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) calls: u32,
    /// Failed calls among them.
    pub(crate) failures: u32,
    /// The last failure, if there were too many. `None` if the revision passed.
    pub(crate) failed: Option<PolicyFailure>,
}

/// Learns the outcome of probations.
pub(crate) trait ProbationObserver: std::fmt::Debug + Send + Sync {
    /// The probation of a revision ended with a call at this time. If it failed, the revision does not act any more when
    /// this returns.
    fn probation_ended(&self, revision: u32, outcome: Outcome, at: Timestamp);
}

impl Probation {
    pub(crate) fn new(limits: &PolicyLimits) -> Self {
        Self {
            max_calls: limits.trial_calls,
            max_failures: limits.trial_failures,
            is_over: AtomicBool::default(),
            calls: AtomicU32::default(),
            failures: AtomicU32::default(),
        }
    }

    /// Starts again from zero. A proved revision has no probation.
    pub(crate) fn begin(&self, is_proved: bool) {
        self.calls.store(0, Ordering::SeqCst);
        self.failures.store(0, Ordering::SeqCst);
        self.is_over.store(is_proved, Ordering::SeqCst);
    }

    /// Counts a call. Of several concurrent calls, exactly one gets the outcome.
    pub(crate) fn count(&self, failure: Option<&PolicyFailure>) -> Option<Outcome> {
        if self.is_over.load(Ordering::SeqCst) {
            return None;
        }
        let calls = self.calls.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let failed = u32::from(failure.is_some());
        let failures = self.failures.fetch_add(failed, Ordering::SeqCst).saturating_add(failed);
        let failed = failure.filter(|_| failures >= self.max_failures).cloned();
        let is_outcome = failed.is_some() || calls >= self.max_calls;
        (is_outcome && !self.is_over.swap(true, Ordering::SeqCst)).then_some(Outcome { calls, failures, failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::FailureKind;

    fn outcomes(probation: &Probation, calls: &[bool]) -> Vec<Option<(u32, u32, bool)>> {
        let failure = PolicyFailure::new(FailureKind::Trap, "unreachable");
        let counted = calls.iter().map(|is_good| probation.count((!is_good).then_some(&failure)));
        counted.map(|outcome| outcome.map(|it| (it.calls, it.failures, it.failed.is_some()))).collect()
    }

    #[test]
    fn enough_failures_or_enough_calls_end_it_once() {
        let limits = PolicyLimits { trial_calls: 4, trial_failures: 2, ..PolicyLimits::default() };
        let probation = Probation::new(&limits);
        assert_eq!(outcomes(&probation, &[true, false, false, false]), [None, None, Some((3, 2, true)), None]);
        probation.begin(false);
        assert_eq!(
            outcomes(&probation, &[false, true, true, true, false, false]),
            [None, None, None, Some((4, 1, false)), None, None]
        );
        probation.begin(true);
        assert_eq!(outcomes(&probation, &[false, false, false]), [None, None, None]);
    }
}

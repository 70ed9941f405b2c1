//! The trial of a revision that begins to act: its first calls are counted, without a lock.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use windlass_core::PolicyFailure;
use windlass_core::settings::PolicyLimits;

/// Counts calls until they come to a verdict.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    is_over: AtomicBool,
    calls: AtomicU32,
    failures: AtomicU32,
}

/// What a trial came to.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) calls: u32,
    /// How many of them failed.
    pub(crate) failures: u32,
    /// The failure that was one too many; none: it has proved itself.
    pub(crate) failed: Option<PolicyFailure>,
}

impl Trial {
    /// Begins anew, for one that did not prove itself before.
    pub(crate) fn begin(&self, is_proved: bool) {
        self.calls.store(0, Ordering::SeqCst);
        self.failures.store(0, Ordering::SeqCst);
        self.is_over.store(is_proved, Ordering::SeqCst);
    }

    /// Counts a call. Of calls at once only one is told the verdict.
    pub(crate) fn count(&self, failure: Option<&PolicyFailure>, limits: &PolicyLimits) -> Option<Verdict> {
        if self.is_over.load(Ordering::SeqCst) {
            return None;
        }
        let calls = self.calls.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let failed = u32::from(failure.is_some());
        let failures = self.failures.fetch_add(failed, Ordering::SeqCst).saturating_add(failed);
        let failed = failure.filter(|_| failures >= limits.trial_failures).cloned();
        let is_verdict = failed.is_some() || calls >= limits.trial_calls;
        (is_verdict && !self.is_over.swap(true, Ordering::SeqCst)).then_some(Verdict { calls, failures, failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::FailureKind;

    fn verdict(trial: &Trial, outcomes: &[bool]) -> Vec<Option<(u32, u32, bool)>> {
        let limits = PolicyLimits { trial_calls: 4, trial_failures: 2, ..PolicyLimits::default() };
        let failure = PolicyFailure::new(FailureKind::Trap, "unreachable");
        let told = outcomes.iter().map(|is_good| trial.count((!is_good).then_some(&failure), &limits));
        told.map(|told| told.map(|it| (it.calls, it.failures, it.failed.is_some()))).collect()
    }

    #[test]
    fn enough_failures_or_enough_calls_end_it_once() {
        let trial = Trial::default();
        assert_eq!(verdict(&trial, &[true, false, false, false]), [None, None, Some((3, 2, true)), None]);
        trial.begin(false);
        assert_eq!(
            verdict(&trial, &[false, true, true, true, false, false]),
            [None, None, None, Some((4, 1, false)), None, None]
        );
        trial.begin(true);
        assert_eq!(verdict(&trial, &[false, false, false]), [None, None, None]);
    }
}

//! The limits of a simulation, so that a small input never runs for long.

use std::time::Duration;
use windlass_core::PolicyFailure;
use windlass_core::text::show_duration;

/// The most passes of one policy: 34 days at the default interval of 15 s.
pub(crate) const MAX_PASSES: u32 = 200_000;

/// The longest simulated time.
pub(crate) const MAX_SPAN: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The most steps of the model of the service, which are at least 1 s long.
pub(crate) const MAX_STEPS: u32 = 4_000_000;

/// The most replicas and metrics that all passes of a run observe, counted once a pass. One takes about a microsecond.
const MAX_OBSERVED: u64 = 20_000_000;

/// A run ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The policy did not return its requirements.
    #[error(transparent)]
    Policy(#[from] PolicyFailure),
    /// The trace is too long for the interval.
    #[error(
        "the load spans {} days and the interval is {}, which makes more than {MAX_PASSES} passes; shorten the trace, or raise \
         `--interval` to {}",
        days(.span),
        shown(.interval),
        shown(.enough)
    )]
    Interval {
        /// The time between the first and the last value of the load.
        span: Duration,
        /// The time between two passes.
        interval: Duration,
        /// An interval that is long enough.
        enough: Duration,
    },
    /// The policy requests its next pass too soon, too often.
    #[error(
        "the run has more than {MAX_PASSES} passes; shorten the input, or let the policy request its next pass later \
         (`evaluate-after`)"
    )]
    Passes,
    /// The passes observe too many replicas and metrics.
    #[error(
        "the passes observe more than {MAX_OBSERVED} replicas and metrics in total; shorten the input, raise `--interval`, or \
         use fewer replicas or columns"
    )]
    Observed,
}

fn days(duration: &Duration) -> u64 {
    duration.as_secs() / (24 * 60 * 60)
}

fn shown(duration: &Duration) -> String {
    show_duration(*duration)
}

/// Counts the passes of a run.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    passes: u32,
    observed: u64,
}

impl Budget {
    /// Counts a pass that observes this many replicas and metrics.
    ///
    /// # Errors
    /// If the run exceeds its limits.
    pub(crate) fn pass(&mut self, replicas: usize, metrics: usize) -> Result<(), RunError> {
        self.passes += 1;
        self.observed += 1 + replicas as u64 + metrics as u64;
        if self.passes > MAX_PASSES {
            return Err(RunError::Passes);
        }
        if self.observed > MAX_OBSERVED { Err(RunError::Observed) } else { Ok(()) }
    }
}

/// Checks that a trace of this length has few enough passes.
///
/// # Errors
/// [`RunError::Interval`], with an interval that is long enough.
pub(crate) fn check_interval(span: Duration, interval: Duration) -> Result<(), RunError> {
    let most = span.as_secs_f64() / interval.as_secs_f64();
    if most < f64::from(MAX_PASSES) {
        return Ok(());
    }
    let seconds = span.as_secs() / u64::from(MAX_PASSES) + 1;
    Err(RunError::Interval { span, interval, enough: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_is_too_long_for_its_interval_is_refused_with_one_that_is_long_enough() {
        let seconds = Duration::from_secs;
        assert!(check_interval(seconds(34 * 86_400), seconds(15)).is_ok());
        assert!(check_interval(Duration::ZERO, seconds(1)).is_ok());
        let RunError::Interval { enough, .. } = check_interval(MAX_SPAN, seconds(15)).expect_err("refused") else {
            panic!("another error");
        };
        assert_eq!(enough, seconds(159));
        assert!(check_interval(MAX_SPAN, enough).is_ok());
    }

    #[test]
    fn passes_and_what_they_observe_are_counted() {
        let mut budget = Budget::default();
        assert!((0..MAX_PASSES).all(|_| budget.pass(10, 2).is_ok()));
        assert!(matches!(budget.pass(10, 2), Err(RunError::Passes)));
        let mut budget = Budget::default();
        let passes = (0..MAX_PASSES).take_while(|_| budget.pass(900, 99).is_ok()).count();
        assert_eq!(passes, 20_000);
    }
}

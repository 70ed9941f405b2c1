//! The limits of a simulation, so that a small input never runs for long.

use std::time::Duration;
use tokio::time::Instant;
use windlass_core::text::show_duration;
use windlass_core::{PolicyFailure, Timestamp};

/// The most passes of one policy: 34 days at the default interval of 15 s.
pub(crate) const MAX_PASSES: u32 = 200_000;

/// The longest simulated time.
pub(crate) const MAX_SPAN: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The most steps of the model of the service, which are at least 1 s long.
pub(crate) const MAX_STEPS: u32 = 4_000_000;

/// The most replicas and metrics that all passes of a run observe, counted once a pass. One takes about a microsecond.
const MAX_OBSERVED: u64 = 20_000_000;

/// A limit of the time that a simulation takes, counted from the creation of the value. Several runs may share one.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit {
    limit: Duration,
    begun: Instant,
}

impl TimeLimit {
    /// A limit that begins now.
    #[must_use]
    pub fn from_now(limit: Duration) -> Self {
        Self { limit, begun: Instant::now() }
    }
}

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
    /// The run took too long.
    #[error(
        "the time limit of {} (`--time-limit`) ended at pass {pass}, at {} of the simulated time, {percent} % of the input; \
         raise `--time-limit` to {}, shorten the input, or let the policy take less time for a call",
        shown(.limit),
        .at.to_rfc3339(),
        shown(.enough)
    )]
    Time {
        /// The time that the run may take.
        limit: Duration,
        /// The number of passes that were begun.
        pass: u32,
        /// The simulated time of the last one.
        at: Timestamp,
        /// The completed share of the input.
        percent: u8,
        /// A limit that is probably high enough.
        enough: Duration,
    },
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
    time: Option<TimeLimit>,
}

/// The most that a longer time limit is recommended for: a run that would take longer needs a shorter input.
const MOST_RECOMMENDED: Duration = Duration::from_secs(24 * 60 * 60);

impl Budget {
    /// A budget that also has a limit of time.
    pub(crate) fn within(time: Option<TimeLimit>) -> Self {
        Self { time, ..Self::default() }
    }

    /// Checks the time before a pass at `at`. `done` is the completed share of the input, 0 to 1.
    ///
    /// # Errors
    /// [`RunError::Time`], with a limit that is probably high enough.
    pub(crate) fn check_time(&self, at: Timestamp, done: f64) -> Result<(), RunError> {
        let Some(TimeLimit { limit, begun }) = self.time else { return Ok(()) };
        let elapsed = begun.elapsed();
        if elapsed < limit {
            return Ok(());
        }
        // Half as much again, and whole seconds. Without a completed share, nothing is known.
        let whole = elapsed.as_secs_f64() / done.max(0.001) * 1.5;
        let enough = Duration::from_secs_f64(whole.ceil().clamp(1.0, MOST_RECOMMENDED.as_secs_f64()));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
        let percent = (done * 100.0) as u8;
        Err(RunError::Time { limit, pass: self.passes + 1, at, percent, enough: enough.max(limit * 2) })
    }

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

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_run_is_limited_and_the_error_names_a_limit_that_is_enough() {
        let seconds = Duration::from_secs;
        let budget = Budget::within(Some(TimeLimit::from_now(seconds(60))));
        tokio::time::advance(seconds(59)).await;
        assert!(budget.check_time(Timestamp(0), 0.2).is_ok());
        assert!(Budget::default().check_time(Timestamp(0), 0.2).is_ok());
        tokio::time::advance(seconds(1)).await;
        let error = budget.check_time(Timestamp(1_767_225_600_000), 0.25).expect_err("too long").to_string();
        assert_eq!(
            error,
            "the time limit of 1m (`--time-limit`) ended at pass 1, at 2026-01-01T00:00:00Z of the simulated time, 25 % of the \
             input; raise `--time-limit` to 6m, shorten the input, or let the policy take less time for a call"
        );
        let RunError::Time { enough, .. } = budget.check_time(Timestamp(0), 0.0).expect_err("too long") else {
            panic!("another error");
        };
        assert_eq!(enough, MOST_RECOMMENDED);
    }
}

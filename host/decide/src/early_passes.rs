//! The budget of passes that a policy itself causes, by requesting its next evaluation before the usual pass.

use std::time::Duration;
use windlass_core::Timestamp;

/// Time for which a policy may use its budget in advance: a policy that was quiet may cause many passes in a row.
const ADVANCE: Duration = Duration::from_secs(300);

/// The early passes of one workload. Without it, a policy could make a pass, and a record of it, every second for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EarlyPasses {
    /// When the passes so far are paid for. A pass may be early while this is less than [`ADVANCE`] ahead.
    paid_until: Timestamp,
}

impl EarlyPasses {
    /// The time until the next pass. `requested` is the time until the evaluation that the policy requests, and `usual`
    /// that until the usual pass. An early pass counts against `per_hour`. If none is left, the pass waits for the
    /// next one, at most the usual time.
    pub fn wait(&mut self, requested: Option<Duration>, usual: Duration, per_hour: u32, now: Timestamp) -> Duration {
        let Some(requested) = requested.filter(|requested| *requested < usual && per_hour > 0) else { return usual };
        let price = Duration::from_secs(3_600) / per_hour;
        // The clock may have been set back.
        let latest = now.plus(ADVANCE + price);
        let paid_until = self.paid_until.clamp(now, latest);
        let earliest = paid_until.minus(ADVANCE).since(now);
        let wait = requested.max(earliest);
        if wait >= usual {
            return usual;
        }
        self.paid_until = paid_until.plus(price);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(15);
    const PER_HOUR: u32 = 720;

    /// The passes in an hour of a policy that requests every evaluation after this time.
    fn passes_in_an_hour(requested: Duration, per_hour: u32) -> u64 {
        let (mut budget, mut now, mut passes) = (EarlyPasses::default(), Timestamp(1_000_000), 0);
        let end = now.plus(Duration::from_secs(3_600));
        while now < end {
            now = now.plus(budget.wait(Some(requested), USUAL, per_hour, now));
            passes += 1;
        }
        passes
    }

    #[test]
    fn a_policy_causes_no_more_passes_than_its_budget() {
        let second = Duration::from_secs(1);
        assert!((720..=785).contains(&passes_in_an_hour(second, PER_HOUR)), "{}", passes_in_an_hour(second, PER_HOUR));
        assert_eq!(passes_in_an_hour(second, 0), 240, "the usual passes");
        assert_eq!(passes_in_an_hour(second, 3_600), 3_600);
        assert_eq!(
            passes_in_an_hour(Duration::from_secs(10), PER_HOUR),
            360,
            "a policy within its budget is not slowed"
        );
        assert_eq!(passes_in_an_hour(Duration::from_secs(60), PER_HOUR), 240);
    }

    #[test]
    fn a_quiet_policy_may_cause_many_passes_in_a_row() {
        let (mut budget, mut now) = (EarlyPasses::default(), Timestamp(1_000_000));
        let second = Duration::from_secs(1);
        for pass in 0..60 {
            assert_eq!(budget.wait(Some(second), USUAL, PER_HOUR, now), second, "pass {pass}");
            now = now.plus(second);
        }
        assert_eq!(EarlyPasses::default().wait(None, USUAL, PER_HOUR, now), USUAL);
    }

    #[test]
    fn a_clock_that_is_set_back_takes_no_budget_away() {
        let mut budget = EarlyPasses::default();
        budget.wait(Some(Duration::from_secs(1)), USUAL, PER_HOUR, Timestamp(9_000_000_000));
        let early = budget.wait(Some(Duration::from_secs(1)), USUAL, PER_HOUR, Timestamp(1_000_000));
        assert!(early <= Duration::from_secs(5), "{early:?}");
    }
}

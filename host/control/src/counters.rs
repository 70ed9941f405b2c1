//! What the loop counted since Windlass began: passes, actions, calls of policies.

use crate::reconcile::evaluate::Evaluation;
use crate::report::{Action, ActionKind};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::{FailureKind, Plan, PolicyKind, PolicyOutcome, Step};

/// What was counted of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadCounters {
    /// Passes that were made.
    pub passes: u64,
    /// Passes that could not look at the engine.
    pub blind_passes: u64,
    /// Decisions that were written down.
    pub decisions: u64,
    /// What was done to the engine, and whether it succeeded.
    pub actions: BTreeMap<(ActionKind, bool), u64>,
    /// Replicas that were restarted or replaced since they were ill.
    pub heals: u64,
    /// Metrics without a value that the last pass asked for.
    pub failed_metrics: u64,
    /// The same, summed over all passes.
    pub metric_failures: u64,
    /// What the scaling policy proposed in the last pass; none: it gave no answer.
    pub proposed: Option<u32>,
    /// Whether the health policy and the scaling policy answered in the last pass; none: there was none yet.
    pub answered: Option<(bool, bool)>,
}

impl WorkloadCounters {
    /// Counts a pass in which nothing could be seen.
    pub(crate) fn count_blind_pass(&mut self) {
        self.blind_passes += 1;
    }

    /// Counts what a pass came to.
    pub(crate) fn count_pass(&mut self, plan: &Plan, evaluation: &Evaluation, actions: &[Action], recorded: bool) {
        let verdict = &evaluation.verdict;
        self.passes += 1;
        self.decisions += u64::from(recorded);
        for action in actions {
            *self.actions.entry((action.kind, action.error.is_none())).or_default() += 1;
        }
        let heals = plan.steps.iter().filter(|step| matches!(step, Step::Restart { .. } | Step::Replace { .. }));
        self.heals += heals.count() as u64;
        self.failed_metrics = verdict.failed_metrics.failed.len() as u64;
        self.metric_failures += self.failed_metrics;
        self.proposed = verdict.scaling.answer.as_ref().ok().map(|decision| decision.replicas);
        self.answered = Some((verdict.health.answer.is_ok(), verdict.scaling.answer.is_ok()));
    }
}

/// What was counted of each policy that acts, by its kind and name; several that are asked as one go by all their names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyCounters(pub BTreeMap<(PolicyKind, String), PolicyTally>);

/// What was counted of one policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyTally {
    /// Calls without an answer, by what went wrong.
    pub failures: BTreeMap<FailureKind, u64>,
    /// How long the calls took, the wait for a place with it.
    pub times: CallTimes,
}

/// How long calls took.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallTimes {
    /// In seconds, all of them together.
    pub sum: f64,
    /// Calls up to each bound of [`CallTimes::BOUNDS`] and above the one before; the last: above all of them.
    pub buckets: [u64; Self::BOUNDS.len() + 1],
}

impl CallTimes {
    /// In seconds: from a call in a fresh sandbox to the longest a decision may take.
    pub const BOUNDS: [f64; 12] =
        [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

    fn count(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.sum += took;
        self.buckets[Self::BOUNDS.partition_point(|bound| *bound < took)] += 1;
    }

    /// All calls.
    pub fn calls(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl PolicyCounters {
    /// Counts the calls of one pass.
    pub(crate) fn count(&mut self, evaluation: &Evaluation) {
        let verdict = &evaluation.verdict;
        self.count_one(PolicyKind::Health, &verdict.health, evaluation.health_took);
        self.count_one(PolicyKind::Scaling, &verdict.scaling, evaluation.scaling_took);
    }

    fn count_one<T>(&mut self, kind: PolicyKind, outcome: &PolicyOutcome<T>, took: Duration) {
        let tally = self.0.entry((kind, outcome.policy.name.clone())).or_default();
        tally.times.count(took);
        if let Err(failure) = &outcome.answer {
            *tally.failures.entry(failure.kind).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::{PolicyFailure, PolicyIdentity};

    #[test]
    fn calls_are_counted_by_time_and_by_what_went_wrong() {
        let mut tallies = PolicyCounters::default();
        let policy = PolicyIdentity { name: "queue".to_owned(), ..PolicyIdentity::default() };
        let failed = PolicyOutcome::<u32> {
            policy: policy.clone(),
            answer: Err(PolicyFailure::new(FailureKind::Time, "too slow")),
        };
        tallies.count_one(PolicyKind::Scaling, &failed, Duration::from_secs(2));
        let answered = PolicyOutcome { policy, answer: Ok(1_u32) };
        tallies.count_one(PolicyKind::Scaling, &answered, Duration::from_millis(1));
        let tally = &tallies.0[&(PolicyKind::Scaling, "queue".to_owned())];
        assert_eq!(tally.failures, BTreeMap::from([(FailureKind::Time, 1)]));
        // A call that takes as long as a bound is below it, as Prometheus counts.
        assert_eq!((tally.times.calls(), tally.times.buckets[3], tally.times.buckets[12]), (2, 1, 1));
        assert!((tally.times.sum - 2.001).abs() < 1e-9);
    }
}

//! Counters since Windlass started: passes, actions, calls of policies.

use crate::action::ActionKind;
use crate::reconcile::evaluate::Evaluation;
use crate::reconcile::result::PassResult;
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::{FailureKind, PolicyKind, PolicyOutcome, Step};

/// The counters of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadCounters {
    /// Complete passes.
    pub passes: u64,
    /// Passes that could not observe the engine.
    pub blind_passes: u64,
    /// Recorded decisions.
    pub decisions: u64,
    /// Actions on the engine, by kind and whether they succeeded.
    pub actions: BTreeMap<(ActionKind, bool), u64>,
    /// Restarts and replacements of replicas.
    pub heals: u64,
    /// Metrics without a value that the last pass requested.
    pub failed_metrics: u64,
    /// The same, summed over all passes.
    pub metric_failures: u64,
    /// The proposal of the scaling policy in the last pass. `None` if it returned no answer.
    pub proposed: Option<u32>,
    /// The answers in the last pass: true if the health policy gave one, and if the scaling policy did. `None` before the
    /// first pass.
    pub answered: Option<(bool, bool)>,
}

impl WorkloadCounters {
    /// Counts a pass that could not observe the engine.
    pub(crate) fn count_blind_pass(&mut self) {
        self.blind_passes += 1;
    }

    /// Counts a complete pass, and its decision if it was recorded.
    pub(crate) fn count_pass(&mut self, result: &PassResult, is_recorded: bool) {
        let verdict = &result.evaluation.verdict;
        self.passes += 1;
        self.decisions += u64::from(is_recorded);
        for action in &result.outcome.actions {
            *self.actions.entry((action.kind, action.error.is_none())).or_default() += 1;
        }
        let is_repair =
            |step: &&Step| matches!(step, Step::Restart { .. } | Step::Replace { .. } | Step::Supersede { .. });
        self.heals += result.plan.steps.iter().filter(is_repair).count() as u64;
        self.failed_metrics = verdict.failed_metrics.failed.len() as u64;
        self.metric_failures += self.failed_metrics;
        self.proposed = verdict.scaling.answer.as_ref().ok().map(|decision| decision.replicas);
        self.answered = Some((verdict.health.answer.is_ok(), verdict.scaling.answer.is_ok()));
    }
}

/// The counters of each acting policy, by kind and name. The name of a combined policy contains the names of its parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyCounters(pub BTreeMap<(PolicyKind, String), CallCounters>);

/// The counters of one policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallCounters {
    /// Calls without an answer, by kind of failure.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Durations of the calls, including the wait for a free call slot.
    pub times: CallTimes,
}

/// A histogram of call durations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallTimes {
    /// The sum of all durations, in seconds.
    pub sum: f64,
    /// Calls up to each bound of [`CallTimes::BOUNDS`] and above the one before. The last counts calls above all bounds.
    pub buckets: [u64; Self::BOUNDS.len() + 1],
}

impl CallTimes {
    /// Upper bounds in seconds, from a call in a fresh sandbox to the time limit of a decision.
    pub const BOUNDS: [f64; 12] =
        [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

    fn count(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.sum += took;
        self.buckets[Self::BOUNDS.partition_point(|bound| *bound < took)] += 1;
    }

    /// The number of calls.
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
        let counters = self.0.entry((kind, outcome.policy.name.clone())).or_default();
        counters.times.count(took);
        if let Err(failure) = &outcome.answer {
            *counters.failures.entry(failure.kind).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::{PolicyFailure, PolicyIdentity};

    #[test]
    fn calls_are_counted_by_time_and_by_what_went_wrong() {
        let mut all = PolicyCounters::default();
        let policy = PolicyIdentity { name: "queue".to_owned(), ..PolicyIdentity::default() };
        let failed = PolicyOutcome::<u32> {
            policy: policy.clone(),
            answer: Err(PolicyFailure::new(FailureKind::Time, "too slow")),
        };
        all.count_one(PolicyKind::Scaling, &failed, Duration::from_secs(2));
        let answered = PolicyOutcome { policy, answer: Ok(1_u32) };
        all.count_one(PolicyKind::Scaling, &answered, Duration::from_millis(1));
        let counters = &all.0[&(PolicyKind::Scaling, "queue".to_owned())];
        assert_eq!(counters.failures, BTreeMap::from([(FailureKind::Time, 1)]));
        // A bound is inclusive, as in Prometheus.
        assert_eq!((counters.times.calls(), counters.times.buckets[3], counters.times.buckets[12]), (2, 1, 1));
        assert!((counters.times.sum - 2.001).abs() < 1e-9);
    }
}

//! The result of a complete pass, from which its report, its decision record and the counters derive.

use crate::action::Action;
use crate::reconcile::evaluate::Evaluation;
use std::collections::BTreeSet;
use std::sync::Arc;
use windlass_core::policy::Policies;
use windlass_core::{
    AlertKind, ContainerId, Failure, History, Overrides, Plan, PolicyFailure, PolicyIdentity, Recommendation, Slot,
    Snapshot, Workload,
};

/// Everything that one pass observed, decided and did.
pub(crate) struct PassResult {
    /// The desired state at the beginning of the pass.
    pub(crate) desired: Workload,
    /// The history at the beginning of the pass.
    pub(crate) before: History,
    /// The policies that acted.
    pub(crate) policies: Policies,
    /// The replicas before the actions, with the assessments of the health policy.
    pub(crate) observed: Snapshot,
    pub(crate) evaluation: Arc<Evaluation>,
    /// The plan. Its history contains the steps that failed.
    pub(crate) plan: Plan,
    pub(crate) outcome: Outcome,
    pub(crate) aftermath: Aftermath,
}

/// The outcome of a plan's steps.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The actions, in the order in which they ended.
    pub(crate) actions: Vec<Action>,
    /// The steps that failed because of the engine.
    pub(crate) failures: Vec<Failure>,
    /// The reason why outdated replicas were not replaced: no new one could be made. `None` if one could.
    pub(crate) unprepared: Option<String>,
    /// The service was changed between the observation and the action.
    pub(crate) is_stale: bool,
}

/// The replicas after the actions.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    /// The second observation. `None` if the plan had no steps or the engine did not answer.
    pub(crate) snapshot: Option<Snapshot>,
    /// Replicas that the pass created or started.
    pub(crate) begun: BTreeSet<ContainerId>,
    /// True if the workload went down since the pass before.
    pub(crate) fell: bool,
}

impl PassResult {
    /// The overrides that are in force.
    pub(crate) fn overrides(&self) -> Overrides {
        self.desired.overrides.in_force(self.observed.at)
    }

    /// The newest observation.
    pub(crate) fn latest(&self) -> &Snapshot {
        self.aftermath.snapshot.as_ref().unwrap_or(&self.observed)
    }

    /// The decision's distinguishing parts.
    pub(crate) fn summary(&self) -> DecisionSummary {
        let (plan, verdict) = (&self.plan, &self.evaluation.verdict);
        DecisionSummary {
            target: plan.target,
            reason: plan.reason.clone(),
            overrides: self.overrides(),
            health_policy: verdict.health.policy.clone(),
            health_failure: verdict.health.answer.as_ref().err().cloned(),
            scaling_policy: verdict.scaling.policy.clone(),
            scaling_failure: verdict.scaling.answer.as_ref().err().cloned(),
            deferred: plan.deferred.iter().map(|deferral| (deferral.slot, deferral.reason.clone())).collect(),
            alerts: plan.alerts.iter().map(|alert| (alert.kind, alert.slot)).collect(),
            recommended: plan.recommended.clone(),
        }
    }
}

/// The parts that distinguish a decision from the one before. A decision without steps that equals the last recorded one
/// is not recorded again. The due times of deferrals and the sentences of alerts may change while nothing else does, so
/// they are no part of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DecisionSummary {
    target: u32,
    reason: String,
    overrides: Overrides,
    health_policy: PolicyIdentity,
    health_failure: Option<PolicyFailure>,
    scaling_policy: PolicyIdentity,
    scaling_failure: Option<PolicyFailure>,
    deferred: Vec<(Slot, String)>,
    alerts: Vec<(AlertKind, Option<Slot>)>,
    recommended: Option<Recommendation>,
}

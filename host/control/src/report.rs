//! The published state of the loop: the report of a pass and the view of a workload.

use crate::action::Action;
use crate::counters::WorkloadCounters;
use crate::reconcile::result::PassResult;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use windlass_core::contract::HealthStatus;
use windlass_core::workload::Mode;
use windlass_core::{
    Alert, Bounds, ContainerId, Declaration, Deferral, HeldBy, ImageRef, Overrides, Phase, PolicyFailure,
    PolicyIdentity, PolicyOutcome, Recommendation, Replica, RolloutHistory, ShadowComparison, Timestamp, Workload,
    WorkloadKey,
};

/// Whether one policy answered in a pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyReport {
    /// The called policy.
    pub policy: PolicyIdentity,
    /// Why it returned no answer. `None` if it answered.
    pub unavailable: Option<PolicyFailure>,
}

impl PolicyReport {
    fn of<T>(outcome: &PolicyOutcome<T>) -> Self {
        Self { policy: outcome.policy.clone(), unavailable: outcome.answer.as_ref().err().cloned() }
    }
}

/// The result of one pass, for readers.
#[derive(Debug, Clone, PartialEq)]
pub struct PassReport {
    /// The time of the observation.
    pub at: Timestamp,
    /// The time at which the pass ended.
    pub finished_at: Timestamp,
    /// The number of its recorded decision. `None` if no decision was recorded.
    pub decision: Option<i64>,
    /// Why the count is what it is, or why the pass failed: one sentence.
    pub reason: String,
    /// The rule that holds the count. `None` if nothing does, or nothing was decided.
    pub held_by: Option<HeldBy>,
    /// Why the engine could not be observed. The pass did nothing then. `None` if it was observed.
    pub error: Option<String>,
    /// The call of the health policy. `None` if the engine could not be observed, or the workload is suspended.
    pub health_policy: Option<PolicyReport>,
    /// The call of the scaling policy. `None` if the engine could not be observed, or the workload is suspended.
    pub scaling_policy: Option<PolicyReport>,
    /// The actions, in the order in which they ended.
    pub actions: Vec<Action>,
    /// The repairs that wait, for the backoff or for the cap.
    pub deferred: Vec<Deferral>,
    /// The problems that a person should look into.
    pub alerts: Vec<Alert>,
    /// The recommended plan. `None` if the workload's mode is to act.
    pub recommended: Option<Recommendation>,
}

impl PassReport {
    /// The report of a complete pass.
    pub(crate) fn of(result: &PassResult, decision: Option<i64>, finished_at: Timestamp) -> Self {
        let PassResult { evaluation, plan, outcome, .. } = result;
        Self {
            at: result.observed.at,
            finished_at,
            decision,
            reason: plan.reason.clone(),
            held_by: plan.held_by,
            error: None,
            health_policy: Some(PolicyReport::of(&evaluation.verdict.health)),
            scaling_policy: Some(PolicyReport::of(&evaluation.verdict.scaling)),
            actions: outcome.actions.clone(),
            deferred: plan.deferred.clone(),
            alerts: plan.alerts.clone(),
            recommended: plan.recommended.clone(),
        }
    }

    /// The report of a pass that could not observe the engine, and therefore did nothing.
    pub(crate) fn blind(at: Timestamp, finished_at: Timestamp, error: String) -> Self {
        let reason = "the replicas stay as they are".to_owned();
        Self { error: Some(error), ..Self::idle(at, finished_at, reason) }
    }

    /// The report of a pass that called no policy and did nothing.
    pub(crate) fn idle(at: Timestamp, finished_at: Timestamp, reason: String) -> Self {
        Self {
            at,
            finished_at,
            decision: None,
            reason,
            held_by: None,
            error: None,
            health_policy: None,
            scaling_policy: None,
            actions: Vec::new(),
            deferred: Vec::new(),
            alerts: Vec::new(),
            recommended: None,
        }
    }
}

/// The current state of a workload, without a request to the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadView {
    /// The desired state.
    pub workload: Workload,
    /// The replica count that the host steers to.
    pub target: u32,
    /// Its replicas as last observed, oldest first, with their newest usage. Held ones have `Phase::Held`.
    pub replicas: Vec<Replica>,
    /// The number of replicas that count towards the target.
    pub counted: u32,
    /// Replicas that the engine failed to remove. They are no capacity.
    pub unremovable: BTreeSet<ContainerId>,
    /// Containers with the labels of a replica that Windlass did not create. They are never touched.
    pub strangers: Vec<Replica>,
    /// The health of each replica, as the health policy last assessed it.
    pub health: BTreeMap<ContainerId, HealthStatus>,
    /// The reasons of these assessments.
    pub health_reasons: BTreeMap<ContainerId, String>,
    /// Replicas that an operator stopped.
    pub held: BTreeSet<ContainerId>,
    /// Replicas that somebody stopped through the engine. They stay stopped.
    pub stopped_outside: BTreeSet<ContainerId>,
    /// Replicas that do not match the desired state.
    pub outdated: BTreeSet<ContainerId>,
    /// The rollout in progress. `None` if there is none.
    pub rollout: Option<RolloutHistory>,
    /// Replicas that an operator protects from scale-in by a policy.
    pub protected: BTreeSet<ContainerId>,
    /// The time of the last observation. `None` before the first one since Windlass started.
    pub seen: Option<Timestamp>,
    /// The end of the last pass that observed the engine. `None` before the first one since Windlass started.
    pub observed_at: Option<Timestamp>,
    /// The last pass. `None` before the first one.
    pub last_pass: Option<Arc<PassReport>>,
    /// The comparisons with its shadow policies.
    pub shadows: Vec<ShadowComparison>,
    /// The problems that a person should look into, from the last pass that observed the engine.
    pub alerts: Vec<Alert>,
    /// Replicas that are about to stop.
    pub leaving: BTreeSet<ContainerId>,
    /// Replicas that the last pass created or started. Their health is not known yet.
    pub begun: BTreeSet<ContainerId>,
    /// Its counters since Windlass started.
    pub counters: WorkloadCounters,
}

/// The state of a workload in a list: a list of many workloads copies no replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadBrief {
    /// Its key.
    pub key: WorkloadKey,
    /// Its image.
    pub image: ImageRef,
    /// The place where it is declared.
    pub declaration: Declaration,
    /// The bounds of its replica count.
    pub bounds: Bounds,
    /// The replica count that the host steers to.
    pub target: u32,
    /// The number of replicas that count towards the target.
    pub counted: u32,
    /// The number of replicas that may receive requests.
    pub ready: usize,
    /// Its mode: plans are carried out, or only recorded.
    pub mode: Mode,
    /// The operator's instructions that are in force.
    pub overrides: Overrides,
    /// The states of its replicas, oldest first.
    pub states: Vec<ReplicaState>,
    /// The end of the last pass that observed the engine. `None` before the first one since Windlass started.
    pub observed_at: Option<Timestamp>,
    /// The last pass. `None` before the first one.
    pub last_pass: Option<Arc<PassReport>>,
    /// The problems that a person should look into.
    pub alerts: Vec<Alert>,
}

/// The state of one replica in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaState {
    /// Its state in the engine.
    pub phase: Phase,
    /// Its health, as the health policy last assessed it.
    pub health: HealthStatus,
    /// True if an operator stopped it.
    pub is_held: bool,
    /// True if somebody stopped it through the engine.
    pub is_stopped_outside: bool,
    /// True if it may receive requests.
    pub is_ready: bool,
}

impl WorkloadBrief {
    /// The part of a brief that needs no pass.
    pub(crate) fn of(workload: &Workload, overrides: Overrides, target: u32, states: Vec<ReplicaState>) -> Self {
        Self {
            key: workload.key.clone(),
            image: workload.image.clone(),
            declaration: workload.declaration.clone(),
            bounds: workload.bounds,
            target,
            counted: 0,
            ready: states.iter().filter(|state| state.is_ready).count(),
            mode: workload.policies.mode.unwrap_or_default(),
            overrides,
            states,
            observed_at: None,
            last_pass: None,
            alerts: Vec::new(),
        }
    }
}

/// Returns true if a replica may receive requests. `is_between` is true if the last pass started the replica, or if it is about to
/// stop or be removed.
pub(crate) fn is_ready(replica: &Replica, health: HealthStatus, is_between: bool) -> bool {
    replica.phase == Phase::Running && !is_between && health.is_ready()
}

impl WorkloadView {
    /// Whether one of its replicas may receive requests: it runs, has not just begun, is not about to stop, and is not
    /// unhealthy.
    pub fn is_ready(&self, replica: &Replica) -> bool {
        let health = self.health.get(&replica.id).copied().unwrap_or_default();
        let is_between = [&self.leaving, &self.begun, &self.unremovable].iter().any(|set| set.contains(&replica.id));
        is_ready(replica, health, is_between)
    }

    /// The number of replicas that may receive requests.
    pub fn ready(&self) -> usize {
        self.replicas.iter().filter(|replica| self.is_ready(replica)).count()
    }

    /// The state of one of its replicas.
    pub fn state_of(&self, replica: &Replica) -> ReplicaState {
        ReplicaState {
            phase: replica.phase,
            health: self.health.get(&replica.id).copied().unwrap_or_default(),
            is_held: self.held.contains(&replica.id),
            is_stopped_outside: self.stopped_outside.contains(&replica.id),
            is_ready: self.is_ready(replica),
        }
    }

    /// The state of the workload for a list.
    pub fn brief(&self) -> WorkloadBrief {
        let states = self.replicas.iter().map(|replica| self.state_of(replica)).collect();
        WorkloadBrief {
            counted: self.counted,
            observed_at: self.observed_at,
            last_pass: self.last_pass.clone(),
            alerts: self.alerts.clone(),
            ..WorkloadBrief::of(&self.workload, self.workload.overrides, self.target, states)
        }
    }
}

/// Whether Windlass can work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Why the engine cannot be used. `None` if it can.
    pub engine: Option<String>,
    /// Workloads whose last pass is older than four intervals: the loop is late.
    pub late: Vec<String>,
    /// Which other Windlass of the instance acts, in one sentence. `None` if this one acts.
    pub standby: Option<String>,
}

impl Readiness {
    /// Whether everything works.
    pub fn is_ready(&self) -> bool {
        self.engine.is_none() && self.late.is_empty()
    }
}

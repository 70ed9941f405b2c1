//! What the loop did, for the API and the decision record to read.

use crate::counters::WorkloadCounters;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::contract::HealthStatus;
use windlass_core::{
    Alert, ContainerId, Deferral, Phase, PolicyFailure, PolicyIdentity, Recommendation, Replica, ShadowComparison,
    Timestamp, Workload,
};

/// What was done to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// A replica was created and, unless the workload is stopped, started.
    Create,
    /// A replica was stopped and removed.
    Remove,
    /// A replica's process was started again.
    Restart,
    /// A replica that had never run was started.
    Start,
}

/// One thing done to the engine, or tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// What.
    pub kind: ActionKind,
    /// Why: the step's sentence.
    pub reason: String,
    /// The container it was done to; none where none came to be.
    pub container: Option<ContainerId>,
    /// Its name; empty where none came to be.
    pub name: String,
    /// Why it failed; none: it was done.
    pub error: Option<String>,
}

/// How one policy answered in a pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyReport {
    /// Who was asked.
    pub policy: PolicyIdentity,
    /// Why there is no answer; none: it answered.
    pub unavailable: Option<PolicyFailure>,
}

/// What one pass saw and did.
#[derive(Debug, Clone, PartialEq)]
pub struct PassReport {
    /// When it looked.
    pub at: Timestamp,
    /// When it was done.
    pub finished_at: Timestamp,
    /// Number of its decision in the record; none where none was made.
    pub decision: Option<i64>,
    /// Why the count is what it is, or why the pass could not be made: one sentence.
    pub reason: String,
    /// The engine could not be looked at; nothing was done, and why.
    pub error: Option<String>,
    /// How the health policy answered; none where the engine could not be looked at.
    pub health_policy: Option<PolicyReport>,
    /// How the scaling policy answered.
    pub scaling_policy: Option<PolicyReport>,
    /// What was done, in the order it ended.
    pub actions: Vec<Action>,
    /// What waits, for backoff or for the cap on healing.
    pub deferred: Vec<Deferral>,
    /// What a person should look into.
    pub alerts: Vec<Alert>,
    /// What would have been done; none: the workload's mode is to act.
    pub recommended: Option<Recommendation>,
}

/// A workload as it is known at this moment, without asking the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadView {
    /// The desired state; `target` is the count steered to.
    pub workload: Workload,
    /// Its replicas as last seen, oldest first; held ones bear `Phase::Held`. With their newest usage.
    pub replicas: Vec<Replica>,
    /// What the health policy last said of each.
    pub health: BTreeMap<ContainerId, HealthStatus>,
    /// Why it said so.
    pub health_reasons: BTreeMap<ContainerId, String>,
    /// Replicas an operator stopped.
    pub held: BTreeSet<ContainerId>,
    /// Replicas that somebody stopped through the engine: they are left so.
    pub stopped_outside: BTreeSet<ContainerId>,
    /// Replicas that an operator protects from a policy that wants fewer.
    pub protected: BTreeSet<ContainerId>,
    /// When the engine last showed its replicas; none: not since Windlass began.
    pub seen: Option<Timestamp>,
    /// The last pass; none before the first.
    pub last_pass: Option<PassReport>,
    /// What its shadows would have said.
    pub shadows: Vec<ShadowComparison>,
    /// What a person should look into, as the last pass that saw the replicas said.
    pub alerts: Vec<Alert>,
    /// Replicas that are about to be stopped.
    pub leaving: BTreeSet<ContainerId>,
    /// Replicas that have only just begun: nobody could say yet how they are.
    pub begun: BTreeSet<ContainerId>,
    /// What was counted of it since Windlass began.
    pub tally: WorkloadCounters,
}

impl WorkloadView {
    /// Whether this replica, one of its own, may be sent requests: it runs, has not only just begun, is not about to be
    /// stopped, and nothing is said against it.
    pub fn is_ready(&self, replica: &Replica) -> bool {
        let health = self.health.get(&replica.id).copied().unwrap_or_default();
        let is_between = self.leaving.contains(&replica.id) || self.begun.contains(&replica.id);
        replica.phase == Phase::Running && !is_between && health.is_ready()
    }

    /// How many replicas may be sent requests.
    pub fn ready(&self) -> usize {
        self.replicas.iter().filter(|replica| self.is_ready(replica)).count()
    }
}

/// Whether Windlass can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Why the engine cannot be used; none: it can.
    pub engine: Option<String>,
    /// Workloads whose last pass is older than four intervals: the loop does not get to them.
    pub late: Vec<String>,
}

impl Readiness {
    /// Everything works.
    pub fn is_ready(&self) -> bool {
        self.engine.is_none() && self.late.is_empty()
    }
}

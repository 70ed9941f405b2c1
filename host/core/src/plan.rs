//! The plan of a pass: what it will do, and why.

use crate::{ContainerId, History, Slot, Timestamp};
use serde::Serialize;
use std::time::Duration;

/// One step of a plan; `act` carries it out without further decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Create a replica in this slot; start it unless the workload's desired status is stopped.
    Create {
        /// The slot.
        slot: Slot,
        /// Whether to start its process.
        start: bool,
        /// One sentence.
        reason: String,
    },
    /// Start the process of a replica that was created and never ran.
    Start {
        /// The replica.
        replica: ContainerId,
        /// One sentence.
        reason: String,
    },
    /// Stop and remove a replica that is no longer needed.
    Remove {
        /// The replica.
        replica: ContainerId,
        /// One sentence.
        reason: String,
    },
    /// Stop a replica's process and start it again.
    Restart {
        /// The replica.
        replica: ContainerId,
        /// One sentence.
        reason: String,
    },
    /// Remove a replica and create another in its slot.
    Replace {
        /// The replica.
        replica: ContainerId,
        /// The slot.
        slot: Slot,
        /// One sentence.
        reason: String,
    },
    /// Create and start a replica in another slot, then remove the one that it replaces. The old one stays if the new one
    /// cannot be made or started.
    Supersede {
        /// The replica to remove.
        replica: ContainerId,
        /// The slot of the new one.
        slot: Slot,
        /// One sentence.
        reason: String,
    },
    /// Replace an outdated replica by one of the current generation in its slot. The old one stays if the new one cannot
    /// be made.
    Renew {
        /// The replica.
        replica: ContainerId,
        /// The slot.
        slot: Slot,
        /// One sentence.
        reason: String,
    },
    /// Set the number of replicas that the engine keeps of a service.
    SetCount {
        /// The number.
        to: u32,
        /// The version of the service that the decision was made for.
        version: u64,
        /// An operator forces the number, also during an update of the service.
        force: bool,
        /// The replicas that the engine will probably remove, the first one first. Empty if the number does not fall.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        leaving: Vec<ContainerId>,
        /// One sentence.
        reason: String,
    },
    /// Create the missing service of a managed workload with this number of replicas.
    Deploy {
        /// The number.
        count: u32,
        /// One sentence.
        reason: String,
    },
}

/// The stages of a proposal on its way to the target count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stages {
    /// The policy's proposal.
    pub raw: u32,
    /// The count after stabilization windows and cooldowns.
    pub stabilized: u32,
    /// That count after the rates.
    pub limited: u32,
    /// That count within the bounds.
    pub bounded: u32,
}

/// Why the target differs from the proposal. If there are several reasons, the last one that applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldBy {
    /// The workload's desired status is stopped.
    Stopped,
    /// An operator forces another count.
    Force,
    /// An operator paused scaling.
    Pause,
    /// An operator froze scale-out.
    FreezeUp,
    /// An operator froze scale-in.
    FreezeDown,
    /// All replicas were stopped through the engine.
    StoppedOutside,
    /// A workload it depends on is down.
    Dependency,
    /// The scaling policy is unavailable.
    Unavailable,
    /// Metrics have no value.
    Metrics,
    /// Replicas are still being created or started.
    StillToCome,
    /// A rollout is in progress.
    Rollout,
    /// The engine is updating the service, or its update is paused.
    Update,
    /// The engine finds no node for a replica.
    NoRoom,
    /// The proposals of the stabilization window do not agree.
    Window,
    /// The last change was too recent.
    Cooldown,
    /// The rates allow no more.
    Rate,
    /// The guardrails disable this direction.
    Disabled,
    /// The workload is new to this host.
    Grace,
    /// The workload's minimum and maximum.
    Bounds,
    /// Compose created the replicas, and no faithful copy of them can be made.
    Uncopyable,
}

impl Step {
    /// Why the step is taken.
    pub fn reason(&self) -> &str {
        match self {
            Self::Create { reason, .. }
            | Self::Start { reason, .. }
            | Self::Remove { reason, .. }
            | Self::Restart { reason, .. }
            | Self::Replace { reason, .. }
            | Self::Supersede { reason, .. }
            | Self::Renew { reason, .. }
            | Self::SetCount { reason, .. }
            | Self::Deploy { reason, .. } => reason,
        }
    }
}

/// A step that failed because of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No replica could be created or started in a slot.
    NotFilled {
        /// The slot.
        slot: Slot,
        /// The engine's words.
        error: String,
        /// Another container has the name of the slot.
        is_name_taken: bool,
    },
    /// A replica could not be removed.
    NotRemoved {
        /// The replica.
        replica: ContainerId,
        /// The engine's words.
        error: String,
    },
    /// The number of replicas of a service could not be set, or the service could not be created.
    NotSet {
        /// The engine's words.
        error: String,
    },
}

/// A deferred action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deferral {
    /// The slot.
    pub slot: Slot,
    /// When it is due; a later pass carries it out.
    pub until: Timestamp,
    /// The action and why it waits, in one sentence.
    pub reason: String,
}

/// The subject of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// A slot was repaired too often in a row and is left as it is.
    GivenUp,
    /// Most replicas fail their probe at once.
    ProbePath,
    /// A slot cannot be filled for a reason outside of its replica, or the engine refuses to change a service. It is tried
    /// again for ever.
    Blocked,
    /// The engine fails to remove a replica. It is tried again for ever.
    Unremovable,
    /// The engine lists a replica and does not describe it.
    Unknown,
    /// The engine restarts a replica again and again, by a restart policy that Windlass did not set.
    CrashLoop,
    /// The engine has found no node for a replica for a minute.
    NoRoom,
    /// The health policy would repair a replica that only the engine may repair.
    Unhealthy,
    /// A rollout paused after too many failures in a row, or the engine paused its update of a service.
    RolloutPaused,
    /// Outdated replicas run, and nothing replaces them.
    Outdated,
    /// The service of Compose may have more replicas, and no faithful copy of its containers can be made.
    Uncopyable,
    /// A chosen policy does not act as chosen: it fails, or has no revision that may act.
    StandIn,
}

/// A condition that a person should look into while it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Its subject.
    pub kind: AlertKind,
    /// Its start.
    pub since: Timestamp,
    /// The slot. `None` if it concerns the whole workload.
    pub slot: Option<Slot>,
    /// The container in the slot. `None` if there is none, or it concerns the whole workload.
    pub replica: Option<ContainerId>,
    /// One sentence.
    pub reason: String,
}

/// The plan of a workload that only recommends; it is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// The recommended target count.
    pub target: u32,
    /// The recommended steps.
    pub steps: Vec<Step>,
}

/// The plan of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The workload's target count from now on; within its bounds.
    pub target: u32,
    /// Why this is the target, in one sentence.
    pub reason: String,
    /// Steps in no order; they may run in parallel.
    pub steps: Vec<Step>,
    /// Actions that wait for backoff, or for the limit on parallel repairs.
    pub deferred: Vec<Deferral>,
    /// Conditions that a person should look into.
    pub alerts: Vec<Alert>,
    /// The recommendation, if the workload only recommends. `None` if the plan is carried out.
    pub recommended: Option<Recommendation>,
    /// The history if the steps are taken.
    pub history: History,
    /// Time until the next pass if nothing wakes the workload earlier. `None` for the usual interval.
    pub next_pass: Option<Duration>,
    /// Time until the evaluation that the scaling policy requests, at least 1 s. `None` if it requests none.
    pub evaluate_after: Option<Duration>,
    /// The stages of the proposal. `None` if the scaling policy was unavailable or not needed.
    pub stages: Option<Stages>,
    /// Why the target differs from the proposal. `None` if it does not.
    pub held_by: Option<HeldBy>,
    /// Whether the steps create replicas of the generation before, because the current one fails.
    pub uses_previous: bool,
}

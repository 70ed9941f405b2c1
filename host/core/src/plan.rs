//! What a pass will do, and why.

use crate::{ContainerId, History, Slot, Timestamp};
use serde::Serialize;
use std::time::Duration;

/// One thing to do; `act` makes no choices about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Create a replica in this slot; start it unless the workload is desired stopped.
    Create {
        /// Its place.
        slot: Slot,
        /// Whether its process is started too.
        start: bool,
        /// One sentence.
        reason: String,
    },
    /// Start the process of a replica that was created and never ran.
    Start {
        /// Which.
        replica: ContainerId,
        /// One sentence.
        reason: String,
    },
    /// Stop and remove a replica that is not wanted any more.
    Remove {
        /// Which.
        replica: ContainerId,
        /// One sentence.
        reason: String,
    },
    /// Stop a replica's process and start it again.
    Restart {
        /// Which.
        replica: ContainerId,
        /// One sentence.
        reason: String,
    },
    /// Remove a replica and create another in its slot.
    Replace {
        /// Which.
        replica: ContainerId,
        /// Its place.
        slot: Slot,
        /// One sentence.
        reason: String,
    },
}

/// What became of a proposal on its way to the count steered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stages {
    /// What the policy proposed.
    pub raw: u32,
    /// What the proposals of the windows agree on, outside of cooldowns.
    pub stabilized: u32,
    /// What the rates allow of that.
    pub limited: u32,
    /// What lies within the bounds.
    pub bounded: u32,
}

/// What keeps a count from the one that was proposed: the last that had a say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldBy {
    /// The workload is wanted stopped.
    Stopped,
    /// An operator forces another.
    Force,
    /// An operator paused scaling.
    Pause,
    /// An operator froze scaling up.
    FreezeUp,
    /// An operator froze scaling down.
    FreezeDown,
    /// All of it was stopped through the engine.
    StoppedOutside,
    /// A workload that it depends on is down.
    Dependency,
    /// The scaling policy gave no answer.
    Unavailable,
    /// Metrics have no value.
    Metrics,
    /// Replicas are still to come, or start.
    StillToCome,
    /// The proposals of a window do not agree.
    Window,
    /// The last step was too short a time ago.
    Cooldown,
    /// The rates allow no more.
    Rate,
    /// The guardrails do not allow this direction.
    Disabled,
    /// The workload is new here.
    Grace,
    /// The fewest and the most replicas.
    Bounds,
}

impl Step {
    /// Why it is done.
    pub fn reason(&self) -> &str {
        match self {
            Self::Create { reason, .. }
            | Self::Start { reason, .. }
            | Self::Remove { reason, .. }
            | Self::Restart { reason, .. }
            | Self::Replace { reason, .. } => reason,
        }
    }
}

/// Something that is to be done, and not yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deferral {
    /// Where.
    pub slot: Slot,
    /// When it is due; a later pass does it.
    pub until: Timestamp,
    /// What, and why it waits: one sentence.
    pub reason: String,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// A slot was healed too often in a row and is left as it is.
    GivenUp,
    /// Most replicas fail their probe at once.
    ProbePath,
}

/// What a person should look into, as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// About what.
    pub kind: AlertKind,
    /// Since when.
    pub since: Timestamp,
    /// The place it is about; none: the whole workload.
    pub slot: Option<Slot>,
    /// The container there; none: there is none, or it is about the whole workload.
    pub replica: Option<ContainerId>,
    /// One sentence.
    pub reason: String,
}

/// What would be done, and is not: the workload is in the mode that only recommends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// The count it would be steered to.
    pub target: u32,
    /// The steps that would be taken.
    pub steps: Vec<Step>,
}

/// What a pass will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The count the workload is steered to from now on; within its bounds.
    pub target: u32,
    /// Why it is that count: one sentence.
    pub reason: String,
    /// In no order: they may run side by side.
    pub steps: Vec<Step>,
    /// What waits, for backoff or for the cap on healing.
    pub deferred: Vec<Deferral>,
    /// What a person should look into.
    pub alerts: Vec<Alert>,
    /// What would be done instead; none: what is to be done is done.
    pub recommended: Option<Recommendation>,
    /// What is remembered if the steps are taken.
    pub history: History,
    /// The next pass begins after this time at the latest. `None` means the usual interval.
    pub next_pass: Option<Duration>,
    /// What became of the proposal; none: the scaling policy was unavailable, or not asked for a count.
    pub stages: Option<Stages>,
    /// What keeps the count from what was proposed; none: it is what was proposed.
    pub held_by: Option<HeldBy>,
}

//! The actions that a pass carries out on the engine.

use serde::Serialize;
use windlass_core::ContainerId;

/// The kind of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// A replica was created and, unless the workload is stopped, started.
    Create,
    /// A replica was stopped and removed.
    Remove,
    /// A replica's process was restarted.
    Restart,
    /// A replica that had never run was started.
    Start,
    /// The number of replicas of a service was set.
    #[serde(rename = "set-count")]
    SetCount,
    /// The service of a workload was created.
    Deploy,
}

impl ActionKind {
    /// Its name in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Remove => "remove",
            Self::Restart => "restart",
            Self::Start => "start",
            Self::SetCount => "set-count",
            Self::Deploy => "deploy",
        }
    }
}

/// One action, successful or failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Its kind.
    pub kind: ActionKind,
    /// The reason of its step: one sentence.
    pub reason: String,
    /// Its container. `None` if the container could not be created.
    pub container: Option<ContainerId>,
    /// The container's name; empty if it could not be created.
    pub name: String,
    /// The error of a failed action. `None` if it succeeded.
    pub error: Option<String>,
}

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

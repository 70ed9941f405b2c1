//! The state of a service on an engine that keeps a number of replicas by itself.

use crate::{Slot, Timestamp};
use std::fmt;

/// A service as the engine last reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    /// The engine's identifier.
    pub id: String,
    /// The version of what was read. A change of another version is refused.
    pub version: u64,
    /// The number of replicas that the engine keeps.
    pub count: u32,
    /// The progress of the engine's latest update of the service.
    pub update: ServiceUpdate,
    /// The engine's words about the update; empty if there are none.
    pub update_message: String,
    /// Replicas that the engine cannot place.
    pub pending: Vec<PendingReplica>,
    /// The count was changed together with other parts of the service, and not by this Windlass: a deploy.
    pub is_redeployed: bool,
}

/// The progress of an update of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceUpdate {
    /// None is in progress.
    #[default]
    None,
    /// Replicas are being replaced.
    Updating,
    /// The update failed and waits for a person.
    Paused,
    /// Replicas are being returned to the specification before.
    RollingBack,
    /// The return to the specification before failed and waits for a person.
    RollbackPaused,
}

/// A replica for which the engine finds no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingReplica {
    /// Its slot.
    pub slot: Slot,
    /// Since when it waits.
    pub since: Timestamp,
    /// The engine's reason.
    pub reason: String,
}

/// Whether this Windlass acts on an engine that several Windlasses of one instance share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// It acts.
    Leads,
    /// It stands by: it observes, and changes nothing.
    Follows {
        /// The Windlass that acts. `None` if none is known yet.
        leader: Option<String>,
    },
}

impl fmt::Display for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leads => f.write_str("this Windlass acts"),
            Self::Follows { leader: Some(leader) } => write!(f, "Windlass `{leader}` acts, and this one stands by"),
            Self::Follows { leader: None } => {
                f.write_str("this Windlass waits until it knows whether another one acts")
            }
        }
    }
}

/// A new number of replicas for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountChange {
    /// The number.
    pub to: u32,
    /// The version of the service that the decision was made for.
    pub version: u64,
    /// An operator forces the count. Without it, an engine refuses the change during an update or a rollback, and while one
    /// of them is paused.
    pub force: bool,
}

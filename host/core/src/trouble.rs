//! Failures and conditions that the history keeps because they concern a person.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// A slot that cannot be filled for a reason outside of its replica: the engine, a registry, a network, a disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Blocked {
    /// The first failure in a row.
    pub since: Timestamp,
    /// Number of failures in a row.
    pub tries: u32,
    /// Time of the last one.
    pub last: Timestamp,
    /// The engine's words about it.
    pub error: String,
    /// A container that is not the slot's replica has its name. Another slot is filled meanwhile.
    pub is_name_taken: bool,
}

impl Blocked {
    /// From this number of failures in a row, a person should know. One failure is often over at once.
    const FEWEST_FOR_ALERT: u32 = 3;

    /// Whether a person should know about it.
    pub fn is_alert(&self) -> bool {
        self.is_name_taken || self.tries >= Self::FEWEST_FOR_ALERT
    }
}

/// A replica that the engine failed to remove.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Unremovable {
    /// The first failure in a row.
    pub since: Timestamp,
    /// Number of failures in a row.
    pub tries: u32,
    /// Time of the last one.
    pub last: Timestamp,
    /// The engine's words about it.
    pub error: String,
}

/// A state of a replica that concerns a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Its kind.
    pub kind: TroubleKind,
    /// Its start.
    pub since: Timestamp,
}

/// The kinds of [`Trouble`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// The engine does not describe it.
    Unknown,
    /// The engine restarts it again and again by a restart policy that Windlass did not set.
    CrashLoop,
    /// The health policy would repair it, and only the engine may.
    Unhealthy,
}

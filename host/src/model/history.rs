//! What the host remembers of a workload from one pass to the next.

use super::{MemoryOwner, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Restart counters of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SlotHistory {
    /// How many times its process was started again, by a restart or a replacement, since it was last
    /// healthy for long enough.
    pub restarts: u32,
    /// When that last happened.
    pub last_restart: Option<Timestamp>,
    /// How many times the process of the container now in the slot was started again.
    pub process_restarts: u32,
}

/// What `decide` needs beside the snapshot; stored, so that a restart of the host forgets no backoff.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// One for each slot that was ever filled and not scaled away.
    pub slots: BTreeMap<Slot, SlotHistory>,
    /// Bytes the scaling policy returned last time.
    pub scaling_memory: Vec<u8>,
    /// Whose they are; none: nobody's yet.
    #[serde(default)]
    pub scaling_memory_of: Option<MemoryOwner>,
    /// Bytes the health policy returned last time.
    pub health_memory: Vec<u8>,
    /// Whose they are; none: nobody's yet.
    #[serde(default)]
    pub health_memory_of: Option<MemoryOwner>,
    /// What was proposed within the longest window, by time; equal ones in a row are one, of the time of the last.
    #[serde(default)]
    pub proposals: Vec<Proposal>,
    /// How the count changed within the longest time that matters, by time.
    #[serde(default)]
    pub changes: Vec<Change>,
}

/// A count that was proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// When last.
    pub at: Timestamp,
    /// Within the bounds of then.
    pub count: u32,
}

/// A change of the count steered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// The count before.
    pub from: u32,
    /// The count after.
    pub to: u32,
}

//! What the policies answered, or why one did not.

use crate::ContainerId;
use crate::contract::{HealthReport, ScalingDecision};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// How many replicas there should be.
    Scaling,
    /// Which replicas are well.
    Health,
}

impl PolicyKind {
    /// The WIT world that a component of this kind is compiled for.
    pub fn world(self) -> &'static str {
        match self {
            Self::Scaling => "windlass:policy/scaling-policy@0.1.0",
            Self::Health => "windlass:policy/health-policy@0.1.0",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scaling => "scaling",
            Self::Health => "health",
        })
    }
}

/// Which policy answered: its described name and version, and what was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyIdentity {
    /// Name it is registered under.
    pub name: String,
    /// Version it describes itself with.
    pub version: String,
    /// `sha256:` and the digest of the component, in hexadecimal.
    pub digest: String,
    /// Its number among the revisions of its name, counting from 1; 0: it is built in.
    #[serde(default)]
    pub revision: u32,
    /// The revision that last began with empty memory, itself or one before it; 0: none did. Memory is handed
    /// on only between revisions that have it in common.
    #[serde(default)]
    pub memory_since: u32,
    /// Whether it answers the same question in the same way: not if it may ask the network.
    #[serde(default = "yes")]
    pub replayable: bool,
    /// The policy that was chosen and none of whose revisions acts: this built-in one answers in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<String>,
}

/// Of policies recorded before any could ask the network.
fn yes() -> bool {
    true
}

impl Default for PolicyIdentity {
    fn default() -> Self {
        Self {
            name: String::new(),
            version: String::new(),
            digest: String::new(),
            revision: 0,
            memory_since: 0,
            replayable: true,
            stands_in_for: None,
        }
    }
}

impl PolicyIdentity {
    /// Whose memory this policy may be handed.
    pub fn memory_owner(&self) -> MemoryOwner {
        MemoryOwner { name: self.name.clone(), since: self.memory_since }
    }
}

/// Revisions that share what they remember: those of one name since the same beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryOwner {
    /// Name of the policy.
    pub name: String,
    /// See [`PolicyIdentity::memory_since`].
    pub since: u32,
}

/// What one of several scaling policies said that were asked as one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Which.
    pub policy: PolicyIdentity,
    /// Its configuration, JSON text.
    pub config: String,
    /// The memory it was handed: its part of what all were handed, which is written down.
    #[serde(skip)]
    pub handed: Vec<u8>,
    /// Its answer; `{"unavailable": …}` where it gave none.
    #[serde(serialize_with = "recorded")]
    pub answer: Result<ScalingDecision, PolicyFailure>,
}

/// An answer as it is written down: as it is, or `{"unavailable": {"kind", "reason"}}`.
///
/// # Errors
/// As the serializer's.
pub fn recorded<T: Serialize, S: Serializer>(
    answer: &Result<T, PolicyFailure>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match answer {
        Ok(answer) => answer.serialize(serializer),
        Err(failure) => BTreeMap::from([("unavailable", failure)]).serialize(serializer),
    }
}

/// What kind of thing went wrong in a call of a policy; each is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The component trapped: unreachable code, a division by zero, an access out of bounds, too deep a stack.
    Trap,
    /// It ran longer than it may.
    Time,
    /// It asked for more memory, tables or instances than it may.
    Memory,
    /// It answered with something the contract forbids: too much, or about what it was not shown.
    Output,
    /// It needs what the host does not offer, or lacks what the host calls.
    Link,
    /// It answered with an error of its own, or refused its configuration.
    Refused,
    /// It said that what it was shown is not enough to decide.
    InsufficientData,
    /// It was not asked: as many calls as may be were in flight.
    Busy,
}

impl FailureKind {
    /// Every kind, for counters and tables.
    pub const ALL: [Self; 8] = [
        Self::Trap,
        Self::Time,
        Self::Memory,
        Self::Output,
        Self::Link,
        Self::Refused,
        Self::InsufficientData,
        Self::Busy,
    ];
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trap => "trap",
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Link => "link",
            Self::Refused => "refused",
            Self::InsufficientData => "insufficient-data",
            Self::Busy => "busy",
        })
    }
}

/// Why a call of a policy gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {reason}")]
pub struct PolicyFailure {
    /// The kind that is counted.
    pub kind: FailureKind,
    /// One sentence an author can act on.
    pub reason: String,
}

impl PolicyFailure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// Whether it is a fault of the policy, and not of what it was shown or of how busy the host is.
    pub fn is_of_the_policy(&self) -> bool {
        !matches!(self.kind, FailureKind::InsufficientData | FailureKind::Busy)
    }
}

/// A policy's answer, or why there is none ("unavailable").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyOutcome<T> {
    /// Who was asked.
    pub policy: PolicyIdentity,
    /// What came back.
    pub answer: Result<T, PolicyFailure>,
}

/// What both policies of a workload made of one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Who is well and what to do about it.
    pub health: PolicyOutcome<HealthReport>,
    /// How many there should be.
    pub scaling: PolicyOutcome<ScalingDecision>,
    /// The metrics the scaling policy was shown that have no value.
    pub failed_metrics: FailedMetrics,
    /// Replicas that the scaling policy wants to be spared.
    pub protected: BTreeSet<ContainerId>,
}

/// Metrics of a workload that have no value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailedMetrics {
    /// Each with the name of its failure, for people.
    pub failed: Vec<String>,
    /// No metric the policy asked for has a value; `ready-replicas`, which the host always knows, apart.
    pub are_all: bool,
    /// It asked for `ready-replicas` as well: what it decides does not rest on what is measured alone.
    pub knows_otherwise: bool,
}

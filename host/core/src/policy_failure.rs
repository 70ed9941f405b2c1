//! Why a policy call returned no result, and how that is recorded.

use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The kind of a failed policy call; each kind is counted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The component trapped: unreachable code, a division by zero, an access out of bounds, a stack overflow.
    Trap,
    /// It exceeded its time limit.
    Time,
    /// It exceeded its limit of memory, tables or instances.
    Memory,
    /// Its result violates the contract: it is too large, or about a replica that was not in the input.
    Output,
    /// It imports something the host does not provide, or lacks an export the host calls.
    Link,
    /// It returned an error, or rejected its configuration.
    Refused,
    /// It reported that its input is not enough to decide.
    InsufficientData,
    /// It was not called, because the limit of concurrent calls was reached.
    Busy,
}

impl FailureKind {
    /// All kinds, for counters and tables.
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

/// Why a policy call returned no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {reason}")]
pub struct PolicyFailure {
    /// The kind, which is counted.
    pub kind: FailureKind,
    /// One sentence that the policy's author can act on.
    pub reason: String,
}

impl PolicyFailure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// Whether the policy is at fault, rather than its input or the host's load.
    pub fn is_of_the_policy(&self) -> bool {
        !matches!(self.kind, FailureKind::InsufficientData | FailureKind::Busy)
    }
}

/// Serializes a result for the decision record: the result itself, or `{"unavailable": {"kind", "reason"}}`.
///
/// # Errors
/// Those of the serializer.
pub fn recorded<T: Serialize, S: Serializer>(
    answer: &Result<T, PolicyFailure>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match answer {
        Ok(answer) => answer.serialize(serializer),
        Err(failure) => BTreeMap::from([("unavailable", failure)]).serialize(serializer),
    }
}

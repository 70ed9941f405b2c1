//! The kind of a policy, and the identity of the component that made a decision.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of decision a policy makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// How many replicas there should be.
    Scaling,
    /// Which replicas are healthy, and what to do about the others.
    Health,
}

impl PolicyKind {
    /// The WIT world for components of this kind.
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

/// The policy behind a result: its registered name, its version, and the compiled component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyIdentity {
    /// Name it is registered under.
    pub name: String,
    /// Version from its own description.
    pub version: String,
    /// `sha256:` and the digest of the component, in hexadecimal.
    pub digest: String,
    /// Revision number under its name, from 1; 0 for a built-in policy.
    #[serde(default)]
    pub revision: u32,
    /// The latest revision, up to this one, that started with empty memory; 0 if none did. Memory is passed on only
    /// between revisions with the same value.
    #[serde(default)]
    pub memory_since: u32,
    /// Whether the same input always gives the same result; false if the policy may send network requests.
    #[serde(default = "yes")]
    pub replayable: bool,
    /// The name of the chosen policy, if a built-in policy or an earlier revision takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<String>,
}

/// The value for policies recorded before any policy could use the network.
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
    /// The owner of the memory that this policy may receive.
    pub fn memory_owner(&self) -> MemoryOwner {
        MemoryOwner { name: self.name.clone(), since: self.memory_since }
    }
}

/// Revisions that share their memory: those of one name with the same [`PolicyIdentity::memory_since`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryOwner {
    /// Name of the policy.
    pub name: String,
    /// See [`PolicyIdentity::memory_since`].
    pub since: u32,
}

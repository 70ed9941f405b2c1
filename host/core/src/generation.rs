//! Generations: the identity of what containers are made from.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The identity of a [`crate::Specification`]: 16 hexadecimal digits of its hash. Equal specifications have equal generations,
/// in every version of Windlass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(String);

impl Generation {
    /// A generation read from storage or from a label, unchecked.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The generation as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origin of a container, as far as the engine and its label report it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MadeFrom {
    /// The generation in its label. `None` if an earlier version of Windlass created it.
    pub generation: Option<Generation>,
    /// The engine's identifier of its image. `None` if the engine does not report it.
    pub image_id: Option<String>,
}

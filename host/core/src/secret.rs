//! Text that no answer and no log may contain.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A password, a token or another secret. `Debug` prints a mask.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text in place of a secret.
    pub const MASK: &str = "***";

    /// Marks a text as secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret, for the request that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is the mask: the caller means the secret that is stored.
    pub(crate) fn is_mask(&self) -> bool {
        self.0 == Self::MASK
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

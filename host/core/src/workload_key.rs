//! The key of a workload.

use crate::{ImageRef, Invalid};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The key of a workload: its image reference, or the name in its request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadKey(String);

impl WorkloadKey {
    /// The key of a workload with a name.
    ///
    /// # Errors
    /// If `name` is not 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit.
    pub fn named(name: &str) -> Result<Self, Invalid> {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let valid = name.len() <= 63
            && edge(name.chars().next())
            && edge(name.chars().last())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid {
            Ok(Self(name.to_owned()))
        } else {
            Err(Invalid::new(format!(
                "`{}` is not a workload name; expected 1 to 63 lower-case letters, digits and hyphens, \
                 beginning and ending with a letter or digit",
                name.escape_debug()
            )))
        }
    }

    /// A key read from storage or from a request path, unchecked.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key as an image reference. `None` if it is none.
    pub fn as_image(&self) -> Option<ImageRef> {
        self.0.parse().ok()
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ImageRef> for WorkloadKey {
    fn from(image: &ImageRef) -> Self {
        Self(image.as_str().to_owned())
    }
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_container_names_and_labels() {
        assert!(WorkloadKey::named("web-2").is_ok());
        for wrong in ["", "-a", "a-", "A", "a/b", "a b", &"a".repeat(64)] {
            assert!(WorkloadKey::named(wrong).is_err(), "{wrong:?}");
        }
    }
}

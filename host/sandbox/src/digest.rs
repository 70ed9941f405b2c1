//! Digests of components.

use sha2::{Digest, Sha256};

/// SHA-256 of these bytes in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

//! Digests as policies are listed and stored.

use windlass_sandbox::component;

/// `sha256:` and the digest in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", component::digest(bytes))
}

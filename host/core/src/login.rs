//! How a registry is logged into.

/// What a registry asks of those who fetch. It is a secret: it belongs into no log.
#[derive(Clone, PartialEq, Eq)]
pub enum RegistryLogin {
    /// A name and a password.
    Basic(String, String),
    /// A token.
    Bearer(String),
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryLogin").finish_non_exhaustive()
    }
}

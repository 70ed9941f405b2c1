//! The login for a registry.

/// Credentials for a registry. They are secret, so `Debug` does not print them.
#[derive(Clone, PartialEq, Eq)]
pub enum RegistryLogin {
    /// User and password.
    Basic(String, String),
    /// A bearer token.
    Bearer(String),
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryLogin").finish_non_exhaustive()
    }
}

//! Loads components with the limits of their policies.

use std::io;
use std::sync::Arc;
use windlass_core::settings::{PolicyLimits, PolicySettings};
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::{LoadError, PolicyComponent};
use windlass_sandbox::engine::PolicyEngine;

/// The engine, the compiler and the limits with which components are loaded.
pub(crate) struct Loader {
    pub(crate) engine: Arc<PolicyEngine>,
    pub(crate) compiler: Compiler,
    pub(crate) settings: PolicySettings,
}

impl Loader {
    pub(crate) fn limits_of(&self, name: &str) -> Arc<PolicyLimits> {
        Arc::new(self.settings.limits_of(name).clone())
    }

    /// Loads a pushed component under the name of its policy.
    pub(crate) async fn load(&self, name: &str, component: Arc<[u8]>) -> Result<PolicyComponent, LoadError> {
        let limits = self.limits_of(name);
        PolicyComponent::load_within(&self.engine, &self.compiler, &limits, Some(name), component).await
    }

    /// The limits of a built-in policy: as configured, except that its size is not limited.
    pub(crate) fn built_in_limits(&self, name: &str) -> Arc<PolicyLimits> {
        Arc::new(PolicyLimits { component_bytes: u64::MAX, ..self.settings.limits_of(name).clone() })
    }

    /// Loads a built-in component.
    pub(crate) async fn load_built_in(&self, name: &str, component: &[u8]) -> Result<PolicyComponent, LoadError> {
        let limits = self.built_in_limits(name);
        PolicyComponent::load_within(&self.engine, &self.compiler, &limits, Some(name), Arc::from(component)).await
    }
}

/// Runs a call that blocks on a thread for such calls.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

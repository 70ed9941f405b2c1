//! The parts of the registry, and its accessors.

use crate::built_in::{BuiltInPolicies, BuiltInPolicy};
use crate::loader::Loader;
use crate::revisions::policy::PushedPolicy;
use crate::revisions::set::RevisionSet;
use crate::revisions::state::State;
use crate::sources::oci::Oci;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::settings::PolicyOrigin;
use windlass_core::{PolicyChoice, PolicyKind};
use windlass_sandbox::component::LoadError;
#[cfg(test)]
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::{PolicyEngine, SandboxError};

/// Name of the built-in scaling policy.
pub const DEFAULT_SCALING: &str = "min-max";

/// Name of the built-in health policy.
pub const DEFAULT_HEALTH: &str = "liveness";

/// The registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The WebAssembly engine cannot be set up.
    #[error(transparent)]
    Engine(#[from] SandboxError),
    /// A built-in default policy does not load.
    #[error("cannot load the built-in policy `{name}`")]
    Load {
        /// Its name.
        name: &'static str,
        /// The reason.
        #[source]
        source: LoadError,
    },
    /// The pushed policies cannot be read.
    #[error("cannot read the policies in the data directory")]
    Store(#[source] io::Error),
}

/// The policies of a workload that names none, with their configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// The scaling policy.
    pub scaling: PolicyChoice,
    /// The health policy.
    pub health: PolicyChoice,
}

impl Default for Defaults {
    fn default() -> Self {
        let choice = |name: &str| PolicyChoice { name: name.to_owned(), config: "{}".to_owned() };
        Self { scaling: choice(DEFAULT_SCALING), health: choice(DEFAULT_HEALTH) }
    }
}

/// The registry of policies.
///
/// The acting revision of a name is looked up before each pass, so a swap comes between two passes, never within one.
/// Compiling a new revision does not delay the calls of the acting one.
pub struct PolicyRegistry {
    pub(crate) loader: Arc<Loader>,
    pub(crate) defaults: Defaults,
    pub(crate) built_in: BuiltInPolicies,
    pub(crate) pushed: Arc<RevisionSet>,
    /// Held by a push, promotion, rollback or removal: one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Whether the files in `windlass.toml` were looked at once since the start.
    pub(crate) are_files_loaded: AtomicBool,
    /// Why a source could not deliver its policy, by the policy's name.
    pub(crate) source_problems: Mutex<BTreeMap<String, String>>,
    /// The client for OCI registries. `None` if [`PolicyRegistry::with_oci`] was not called.
    pub(crate) oci: Option<Oci>,
}

impl std::fmt::Debug for PolicyRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyRegistry").field("pushed", &self.pushed).finish_non_exhaustive()
    }
}

impl PolicyRegistry {
    /// Fetches policies from OCI registries with this client.
    #[must_use]
    pub fn with_oci(self, oci: Oci) -> Self {
        Self { oci: Some(oci), ..self }
    }

    /// Whether a policy of this name was pushed, or has a source that will deliver it.
    pub fn is_expected(&self, name: &str) -> bool {
        let has_source = self.loader.settings.named.get(name).is_some_and(|named| named.source.is_some());
        has_source || self.pushed.get(name).is_some() || self.file_in_folder(name).is_some()
    }

    /// Ends the start: from now on, a policy without a revision is missing rather than still to be loaded from its file.
    pub fn files_are_loaded(&self) {
        self.are_files_loaded.store(true, Ordering::SeqCst);
    }

    /// Whether a policy without a revision will have one when its file is loaded.
    pub(crate) fn is_file_to_load(&self, name: &str) -> bool {
        let is_file = |origin: &PolicyOrigin| matches!(origin, PolicyOrigin::File(_));
        let named = self.loader.settings.named.get(name).and_then(|named| named.source.as_ref());
        !self.are_files_loaded.load(Ordering::SeqCst)
            && (named.is_some_and(is_file) || self.file_in_folder(name).is_some())
    }

    /// The file of this policy in the folder that `windlass.toml` names.
    pub(crate) fn file_in_folder(&self, name: &str) -> Option<PathBuf> {
        let path = self.loader.settings.folder.as_ref()?.join(format!("{name}.wasm"));
        path.exists().then_some(path)
    }

    /// The engine that the policies run on.
    pub fn engine(&self) -> &Arc<PolicyEngine> {
        &self.loader.engine
    }

    /// The built-in scaling policy. It serves workloads that name none, unless `windlass.toml` sets another default.
    pub fn default_scaling(&self) -> Arc<dyn ScalingPolicy> {
        self.built_in.default(PolicyKind::Scaling)
    }

    /// The built-in health policy.
    pub fn default_health(&self) -> Arc<dyn HealthPolicy> {
        self.built_in.default(PolicyKind::Health)
    }

    /// The built-in policy of this name and kind.
    pub(crate) fn built_in(&self, name: &str, kind: PolicyKind) -> Option<&Arc<BuiltInPolicy>> {
        self.built_in.get(name).filter(|policy| policy.kind() == kind)
    }

    /// A pushed policy without revisions.
    pub(crate) fn new_policy(&self, name: &str, kind: PolicyKind) -> Arc<PushedPolicy> {
        self.policy_with(name, kind, State::default(), None)
    }

    /// A pushed policy with the state and the candidate that it was stored with.
    pub(crate) fn policy_with(
        &self,
        name: &str,
        kind: PolicyKind,
        state: State,
        candidate: Option<u32>,
    ) -> Arc<PushedPolicy> {
        let calls = self.loader.engine.call_group();
        let news = self.pushed.news().clone();
        PushedPolicy::new(name, kind, self.loader.limits_of(name), calls, state, candidate, news)
    }

    /// The component of a built-in default policy, which is always loaded.
    #[cfg(test)]
    pub(crate) fn default_of(&self, name: &str) -> Arc<PolicyComponent> {
        let kind = if name == DEFAULT_HEALTH { PolicyKind::Health } else { PolicyKind::Scaling };
        self.built_in.default(kind)
    }
}

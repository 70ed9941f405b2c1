//! Opens the registry: loads the built-in defaults, and restores the pushed policies from disk.

use crate::built_in::BuiltInPolicies;
use crate::loader::Loader;
use crate::registry::root::{DEFAULT_HEALTH, DEFAULT_SCALING, Defaults, PolicyRegistry, RegistryError};
use crate::revisions::policy::PushedPolicy;
use crate::revisions::set::RevisionSet;
use crate::revisions::state::{Event, apply_all};
use crate::revisions::store::RevisionStore;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;
use windlass_core::Timestamp;
use windlass_core::settings::PolicySettings;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::engine::PolicyEngine;

impl PolicyRegistry {
    /// Loads the built-in defaults, and the policies pushed earlier if a data directory is given. `compiler` should have a
    /// cache, which the next start uses.
    ///
    /// If a pushed revision does not load, the one before it acts, and an event of the policy gives the reason. A revision
    /// that can never load, because it was altered or does not fit this host, is quarantined.
    ///
    /// # Errors
    /// If the engine cannot be set up, a built-in default does not load or the data directory cannot be read.
    pub async fn open(
        settings: impl Into<PolicySettings>,
        compiler: Compiler,
        defaults: Defaults,
        data_dir: Option<&Path>,
    ) -> Result<Self, RegistryError> {
        let registry = Self::begin(settings, compiler, defaults, data_dir).await?;
        registry.restore().await;
        registry.files_are_loaded();
        Ok(registry)
    }

    /// As [`PolicyRegistry::open`], without the pushed policies: until [`PolicyRegistry::restore`] has loaded a policy, it
    /// is unavailable. A component whose machine code is missing can take half a minute to compile.
    ///
    /// # Errors
    /// As [`PolicyRegistry::open`].
    pub async fn begin(
        settings: impl Into<PolicySettings>,
        compiler: Compiler,
        defaults: Defaults,
        data_dir: Option<&Path>,
    ) -> Result<Self, RegistryError> {
        let settings = settings.into();
        let engine = Arc::new(PolicyEngine::new(settings.widest())?);
        let loader = Arc::new(Loader { engine, compiler, settings });
        let built_in = BuiltInPolicies::load(&loader, DEFAULT_SCALING, DEFAULT_HEALTH).await;
        let built_in = built_in.map_err(|(name, source)| RegistryError::Load { name, source })?;
        let store = data_dir.map(RevisionStore::open).transpose().map_err(RegistryError::Store)?;
        let stored = store.as_ref().map(RevisionStore::load).transpose().map_err(RegistryError::Store)?;
        let registry = Self {
            loader,
            defaults,
            built_in,
            pushed: Arc::new(RevisionSet::new(store)),
            changing: tokio::sync::Mutex::default(),
            are_files_loaded: AtomicBool::default(),
            source_problems: Mutex::default(),
            oci: None,
        };
        for (name, stored) in stored.unwrap_or_default() {
            let (kind, candidate) = (stored.kind, stored.candidate);
            registry.pushed.insert(&registry.policy_with(&name, kind, stored.into_state(), candidate));
        }
        Ok(registry)
    }

    /// Loads the stored revisions that the pushed policies need, one policy at a time.
    pub async fn restore(&self) {
        for policy in self.pushed.all() {
            let _one_change = self.changing.lock().await;
            self.restore_policy(&policy).await;
        }
        self.forget_compiled().await;
    }

    /// The pushed policy of this name, loaded now if the start has not come to it yet.
    pub(crate) async fn restored(&self, name: &str) -> Option<Arc<PushedPolicy>> {
        let policy = self.pushed.get(name)?;
        if policy.is_loading() {
            let _one_change = self.changing.lock().await;
            self.restore_policy(&policy).await;
        }
        Some(policy)
    }

    /// Loads the revisions that a stored policy needs, unless they are loaded. The caller holds the lock `changing`.
    async fn restore_policy(&self, policy: &Arc<PushedPolicy>) {
        if !policy.is_loading() {
            return;
        }
        let now = Timestamp::from(SystemTime::now());
        let (state, candidate) = (policy.state(), policy.stored_candidate);
        let mut loaded = match state.deferred {
            Some(acting) => self.load_eligible(policy, &state, Some(acting + 1), now).await,
            None => Default::default(),
        };
        let mut numbers = loaded.revisions.iter().map(|revision| revision.number());
        let (acting, fallback) = (numbers.next(), numbers.next());
        let (state, _) = apply_all(&state, &loaded.events);
        let candidate = candidate.and_then(|number| state.revision(number));
        let mut restored = Event::Restored { acting, fallback, candidate: None };
        if let Some(revision) = candidate {
            match self.load_revision(policy, revision).await {
                Ok(component) => {
                    restored = Event::Restored { acting, fallback, candidate: Some(revision.number) };
                    loaded.revisions.push(component);
                }
                Err(failed) => loaded.events.push(failed.event(revision.number, now)),
            }
        }
        loaded.events.push(restored);
        policy.transition(&loaded.events, loaded.revisions);
        policy.end_loading();
    }

    /// Removes the machine code of revisions that are gone from the compiler's cache.
    pub(crate) async fn forget_compiled(&self) {
        let revisions = self.pushed.all().into_iter().flat_map(|policy| policy.state().revisions);
        let pushed = revisions.map(|revision| revision.digest);
        let built_in = self.built_in.all().map(|policy| policy.identity().digest.clone());
        let kept: Vec<String> = pushed.chain(built_in).collect();
        let digests = kept.iter().map(|digest| digest.trim_start_matches("sha256:"));
        self.loader.compiler.keep_only(&self.loader.engine, digests).await;
    }
}

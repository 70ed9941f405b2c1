//! Opens the registry: loads the built-in defaults, and restores the pushed policies from disk.

use crate::built_in::BuiltInPolicies;
use crate::loader::Loader;
use crate::registry::root::{DEFAULT_HEALTH, DEFAULT_SCALING, Defaults, PolicyRegistry, RegistryError};
use crate::revisions::set::RevisionSet;
use crate::revisions::state::{Event, apply_all};
use crate::revisions::store::{RevisionStore, StoredPolicy};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
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
            source_problems: Mutex::default(),
            oci: None,
        };
        let now = Timestamp::from(SystemTime::now());
        for (name, stored) in stored.unwrap_or_default() {
            registry.restore(&name, stored, now).await;
        }
        registry.forget_compiled().await;
        Ok(registry)
    }

    /// Adds a stored policy and loads the revisions that it needs.
    async fn restore(&self, name: &str, stored: StoredPolicy, now: Timestamp) {
        let (kind, candidate) = (stored.kind, stored.candidate);
        let state = stored.into_state();
        let policy = self.policy_with(name, kind, state.clone());
        let mut loaded = match state.deferred {
            Some(acting) => self.load_eligible(&policy, &state, Some(acting + 1), now).await,
            None => Default::default(),
        };
        let mut numbers = loaded.revisions.iter().map(|revision| revision.number());
        let (acting, fallback) = (numbers.next(), numbers.next());
        let (state, _) = apply_all(&state, &loaded.events);
        let candidate = candidate.and_then(|number| state.revision(number));
        let mut restored = Event::Restored { acting, fallback, candidate: None };
        if let Some(revision) = candidate {
            match self.load_revision(&policy, revision).await {
                Ok(component) => {
                    restored = Event::Restored { acting, fallback, candidate: Some(revision.number) };
                    loaded.revisions.push(component);
                }
                Err(failed) => loaded.events.push(failed.event(revision.number, now)),
            }
        }
        loaded.events.push(restored);
        policy.transition(&loaded.events, loaded.revisions);
        self.pushed.insert(&policy);
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

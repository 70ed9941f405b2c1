//! The policies there are: those built into the host, and those pushed, by name and revision.
//!
//! Which revision of a name acts is looked up before each pass, so a swap comes between two calls, never
//! within one; compiling goes on beside the calls of the one before.

mod change;
mod source;
#[cfg(test)]
mod tests;

use crate::listing::pushed_info;
use crate::monitored::Watched;
use crate::revisions::set::{Names, Pushed, State};
use crate::revisions::store::Shelf;
use crate::sources::oci::Oci;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use windlass_builtin::BUILT_IN;
use windlass_core::policy::catalogue::{CatalogueError, PolicyCatalogue, PolicyInfo, Push, RevisionInfo};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::settings::{PolicyLimits, PolicyOrigin, PolicySettings};
use windlass_core::{PolicyChoice, PolicyKind, Timestamp};
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::{LoadError, PolicyComponent};
use windlass_sandbox::engine::{PolicyEngine, SandboxError};

/// Name of the built-in scaling policy.
pub const DEFAULT_SCALING: &str = "min-max";

/// Name of the built-in health policy.
pub const DEFAULT_HEALTH: &str = "liveness";

/// How often a stored revision is loaded that fails for what may pass.
const LOAD_TRIES: u32 = 3;

/// The policies cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] SandboxError),
    /// A built-in policy does not load.
    #[error("cannot load the built-in policy `{name}`")]
    Load {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// The pushed policies cannot be read.
    #[error("cannot read the policies in the data directory")]
    Shelf(#[source] io::Error),
}

/// The policies of a workload that names none, with their configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Says how many.
    pub scaling: PolicyChoice,
    /// Says who is well.
    pub health: PolicyChoice,
}

impl Default for Defaults {
    fn default() -> Self {
        let choice = |name: &str| PolicyChoice { name: name.to_owned(), config: "{}".to_owned() };
        Self { scaling: choice(DEFAULT_SCALING), health: choice(DEFAULT_HEALTH) }
    }
}

/// The policies there are.
pub struct PolicyRegistry {
    engine: Arc<PolicyEngine>,
    compiler: Compiler,
    defaults: Defaults,
    settings: PolicySettings,
    /// By name; the two defaults are among them.
    built_in: BTreeMap<&'static str, Arc<PolicyComponent>>,
    names: Arc<Names>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    /// What keeps sources from being taken, by the policy's name.
    source_problems: Mutex<BTreeMap<String, String>>,
    /// Fetches from registries; none: nothing was set up for it.
    oci: Option<Oci>,
}

impl std::fmt::Debug for PolicyRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyRegistry").field("names", &self.names).finish_non_exhaustive()
    }
}

impl PolicyRegistry {
    /// Loads the built-in policies, and those pushed earlier if a data directory is named; `compiler` should
    /// keep what it compiles, for the next start.
    ///
    /// Where a pushed revision does not load, the one before it acts, and an event of the policy says why; one that
    /// never will, because it was altered or is no policy of this host any more, is quarantined.
    ///
    /// # Errors
    /// When the engine cannot be set up, a built-in policy does not load or the data directory cannot be read.
    pub async fn open(
        settings: impl Into<PolicySettings>,
        compiler: Compiler,
        defaults: Defaults,
        data_dir: Option<&Path>,
    ) -> Result<Self, RegistryError> {
        let settings = settings.into();
        let engine = Arc::new(PolicyEngine::new(settings.widest())?);
        let load = async |name, bytes: &[u8]| {
            // How large a component may be is about those that others hand in.
            let limits = PolicyLimits { component_bytes: u64::MAX, ..settings.limits_of(name).clone() };
            let limits = Arc::new(limits);
            let loaded = PolicyComponent::load_within(&engine, &compiler, &limits, Some(name), Arc::from(bytes)).await;
            loaded.map(Arc::new).map_err(|source| RegistryError::Load { name, source })
        };
        let loaded = BUILT_IN.iter().map(async |&(name, bytes)| load(name, bytes).await.map(|policy| (name, policy)));
        let built_in = futures_util::future::try_join_all(loaded).await?.into_iter().collect();
        let shelf = data_dir.map(Shelf::open).transpose().map_err(RegistryError::Shelf)?;
        let shelved = shelf.as_ref().map(Shelf::load).transpose().map_err(RegistryError::Shelf)?;
        let names = Arc::new(Names::new(shelf));
        let changing = tokio::sync::Mutex::default();
        let registry = Self {
            engine,
            compiler,
            defaults,
            settings,
            built_in,
            names,
            changing,
            source_problems: Mutex::default(),
            oci: None,
        };
        let now = Timestamp::from(SystemTime::now());
        for (name, shelved) in shelved.unwrap_or_default() {
            let pushed = registry.unknown_yet(&name, shelved.kind);
            let (acting, candidate) = (shelved.acting, shelved.candidate);
            let mut state = State::stored(shelved);
            if let Some(acting) = acting {
                registry.bring_back(&pushed, &mut state, Some(acting + 1), now).await;
                let may_act = state.good_before(Some(acting + 1)).first().is_some_and(|good| good.number == acting);
                let acts = state.acting.as_ref().is_some_and(|watched| watched.number() == acting);
                state.passed_over = Some(acting).filter(|_| may_act && !acts);
            }
            let candidate = state.revisions.iter().find(|revision| Some(revision.number) == candidate).cloned();
            if let Some(revision) = candidate {
                state.candidate = registry.load_or_tell(&pushed, &mut state, &revision, now).await;
            }
            // There is nothing of it yet.
            pushed.change(|now| *now = state);
            registry.names.insert(&pushed);
        }
        registry.forget_compiled().await;
        Ok(registry)
    }

    /// Fetches policies from registries with this.
    #[must_use]
    pub fn with_oci(self, oci: Oci) -> Self {
        Self { oci: Some(oci), ..self }
    }

    /// Fetches what `windlass.toml` names in registries and was never fetched; tells what keeps it. What was fetched
    /// once stays as it is until somebody asks for it anew.
    pub async fn fetch_missing(&self, at: Timestamp) {
        for (name, named) in &self.settings.named {
            let Some(origin @ PolicyOrigin::Oci(_)) = &named.source else { continue };
            let taken = self.names.get(name).and_then(|pushed| pushed.state().taken);
            // The reference may have been another one in the meantime.
            if taken.is_some_and(|taken| taken.from.starts_with(&crate::registry::change::fetched_from(origin, ""))) {
                continue;
            }
            // Told there, and tried again.
            let _told = self.refresh(name, at).await;
        }
    }

    /// Whether a policy of this name was pushed, or has a source that will bring it.
    pub fn is_expected(&self, name: &str) -> bool {
        let has_source = self.settings.named.get(name).is_some_and(|named| named.source.is_some());
        has_source || self.names.get(name).is_some()
    }

    /// Lets go of what is compiled of revisions that are gone.
    async fn forget_compiled(&self) {
        let pushed = self.names.policies.read().clone();
        let revisions = pushed.values().flat_map(|pushed| pushed.state().revisions).map(|revision| revision.digest);
        let built_in = self.built_in.values().map(|policy| policy.identity().digest.clone());
        let kept: Vec<String> = revisions.chain(built_in).collect();
        let digests = kept.iter().map(|digest| digest.trim_start_matches("sha256:"));
        self.compiler.keep_only(&self.engine, digests).await;
    }

    /// The engine the policies run on.
    pub fn engine(&self) -> &Arc<PolicyEngine> {
        &self.engine
    }

    /// The built-in scaling policy: that of a workload that names none, unless the operator says otherwise.
    pub fn default_scaling(&self) -> Arc<dyn ScalingPolicy> {
        self.default_of(DEFAULT_SCALING)
    }

    /// The built-in health policy.
    pub fn default_health(&self) -> Arc<dyn HealthPolicy> {
        self.default_of(DEFAULT_HEALTH)
    }

    fn default_of(&self, name: &str) -> Arc<PolicyComponent> {
        Arc::clone(self.built_in.get(name).expect("the defaults are built in"))
    }

    fn limits_of(&self, name: &str) -> Arc<PolicyLimits> {
        Arc::new(self.settings.limits_of(name).clone())
    }

    async fn load(&self, name: &str, component: Arc<[u8]>) -> Result<PolicyComponent, LoadError> {
        let limits = self.limits_of(name);
        PolicyComponent::load_within(&self.engine, &self.compiler, &limits, Some(name), component).await
    }

    /// A built-in policy of this name and kind.
    fn built_in(&self, name: &str, kind: PolicyKind) -> Option<Arc<PolicyComponent>> {
        self.built_in.get(name).filter(|policy| policy.kind() == kind).cloned()
    }

    /// A name that nobody knows yet.
    fn unknown_yet(&self, name: &str, kind: PolicyKind) -> Arc<Pushed> {
        Pushed::new(name, kind, &self.names, self.limits_of(name), self.engine.call_group())
    }

    /// A pushed name, to be changed.
    fn pushed(&self, name: &str) -> Result<Arc<Pushed>, CatalogueError> {
        self.names.get(name).ok_or_else(|| match self.find(name) {
            Some(_) => CatalogueError::Conflict(format!("`{name}` is built in and has no other revision")),
            None => CatalogueError::Unknown(name.to_owned()),
        })
    }

    /// Lets the newest good revision older than `than` act, in `state`; one that does not load is passed over. One on
    /// trial has the next good one loaded behind it. None: there is none.
    async fn bring_back(
        &self,
        pushed: &Arc<Pushed>,
        state: &mut State,
        than: Option<u32>,
        at: Timestamp,
    ) -> Option<u32> {
        let mut found: Vec<Arc<Watched>> = Vec::new();
        for revision in state.good_before(than) {
            let Some(watched) = self.load_or_tell(pushed, state, &revision, at).await else { continue };
            found.push(watched);
            if revision.proved || found.len() == 2 {
                break;
            }
        }
        let mut found = found.into_iter();
        let acting = found.next()?;
        let number = acting.number();
        state.act(acting, found.next());
        Some(number)
    }

    async fn load_or_tell(
        &self,
        pushed: &Arc<Pushed>,
        state: &mut State,
        revision: &RevisionInfo,
        at: Timestamp,
    ) -> Option<Arc<Watched>> {
        let NotLoaded { why, is_final } = match self.load_stored(pushed, state, revision).await {
            Ok(watched) => return Some(watched),
            Err(not_loaded) => not_loaded,
        };
        tracing::error!(policy = pushed.name, revision = revision.number, why, is_final, "the revision does not load");
        if is_final {
            state.quarantine(revision.number, format!("it cannot be loaded any more: {why}"));
            state.happened(at, revision.number, format!("quarantined: it cannot be loaded any more: {why}"));
        } else {
            state.happened(at, revision.number, format!("passed over: it did not load this time: {why}"));
        }
        None
    }

    async fn load_stored(
        &self,
        pushed: &Arc<Pushed>,
        state: &State,
        revision: &RevisionInfo,
    ) -> Result<Arc<Watched>, NotLoaded> {
        let mut loaded = [&state.acting, &state.before, &state.candidate].into_iter().flatten();
        if let Some(watched) = loaded.find(|watched| watched.number() == revision.number) {
            return Ok(Arc::clone(watched));
        }
        let (names, digest) = (Arc::clone(&self.names), revision.digest.clone());
        let read = blocking(move || match &names.shelf {
            Some(shelf) => shelf.component(&digest),
            None => Err(io::Error::other("it was not kept")),
        });
        let bytes: Arc<[u8]> = read.await.map_err(|error| NotLoaded::unread(&error))?.into();
        let mut tries = 1;
        let component = loop {
            match self.load(&pushed.name, Arc::clone(&bytes)).await {
                Ok(component) => break component,
                // A machine that has just begun is slow.
                Err(error) if error.may_pass() && tries < LOAD_TRIES => tries += 1,
                Err(error) => return Err(NotLoaded { why: error.to_string(), is_final: error.is_final() }),
            }
        };
        Ok(Watched::new(component.with_revision(revision.number, revision.memory_since, &pushed.calls), pushed))
    }

    /// The state a push of `component` leads to.
    fn state_after(&self, pushed: &Arc<Pushed>, component: PolicyComponent, push: &Push, digest: &str) -> State {
        let mut state = pushed.state();
        let number = state.revisions.last().map_or(1, |newest| newest.number + 1);
        let inherited = state.acting.as_ref().map(|acting| acting.component.identity().memory_since);
        let inherited = inherited.or(state.revisions.last().map(|newest| newest.memory_since)).unwrap_or(0);
        let memory_since = if push.reset_memory { number } else { inherited };
        let description = component.description();
        state.revisions.push(RevisionInfo {
            number,
            digest: digest.to_owned(),
            size_bytes: push.component.len() as u64,
            described_name: description.name.clone(),
            version: description.version.clone(),
            loaded_at: push.at,
            loaded_by: push.by.clone(),
            source: push.source,
            memory_since,
            acted: false,
            proved: false,
            quarantined: None,
        });
        state.taken = push.taken(digest).or(state.taken);
        let watched = Watched::new(component.with_revision(number, memory_since, &pushed.calls), pushed);
        let memory = if push.reset_memory { ", with empty memory" } else { "" };
        if push.candidate {
            state.happened(push.at, number, format!("pushed as the candidate by {}{memory}", push.by));
            state.candidate = Some(watched);
        } else {
            state.happened(push.at, number, format!("pushed by {}{memory}; it acts", push.by));
            // A candidate is compared with what acted until now.
            state.candidate = None;
            state.succeed(watched);
        }
        state.prune(self.settings.limits_of(&pushed.name).revisions_kept);
        state
    }

    /// Stores a name as it is about to be, then lets it be so.
    async fn commit(
        &self,
        pushed: &Arc<Pushed>,
        state: State,
        component: Option<(String, Arc<[u8]>)>,
    ) -> Result<PolicyInfo, CatalogueError> {
        let (names, next, is_new) = (Arc::clone(&self.names), Arc::clone(pushed), component.is_some());
        // Of who need not be loaded any more the code is unmapped.
        let _mapping = self.engine.mapping();
        let committed = blocking(move || {
            names.commit(&next, state, component.as_ref().map(|(digest, bytes)| (digest.as_str(), bytes.as_ref())))
        });
        committed.await.map_err(|error| CatalogueError::Disk(error.to_string()))?;
        if is_new {
            self.forget_compiled().await;
        }
        Ok(pushed_info(pushed))
    }
}

/// Why a stored revision does not load.
struct NotLoaded {
    why: String,
    /// It never will, as it is.
    is_final: bool,
}

impl NotLoaded {
    fn unread(error: &io::Error) -> Self {
        // Gone, or not what was stored; what else keeps a file from being read may pass.
        let is_final = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData);
        Self { why: error.to_string(), is_final }
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

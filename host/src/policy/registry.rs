//! The policies there are: those built into the host, and those pushed, by name and revision.
//!
//! Which revision of a name acts is looked up before each pass, so a swap comes between two calls, never
//! within one; compiling goes on beside the calls of the one before.

use super::catalogue::{CatalogueError, ChoiceError, PolicyCatalogue, PolicyInfo, Push, RevisionInfo, is_name};
use super::compile::Compiler;
use super::component::{LoadError, PolicyComponent};
use super::engine::{EngineError, PolicyEngine};
use super::listing::{built_in_info, pushed_info};
use super::pushed::{Names, Pushed, State, Watched};
use super::schema;
use super::shelf::{Shelf, digest_of};
use super::{HealthPolicy, ScalingPolicy};
use crate::model::PolicyKind;
use crate::model::settings::PolicyLimits;
use crate::model::{PolicyChoice, Timestamp};
use async_trait::async_trait;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// Name of the scaling policy of a workload that names none.
pub const DEFAULT_SCALING: &str = "min-max";

/// Name of the health policy of a workload that names none.
pub const DEFAULT_HEALTH: &str = "liveness";

/// The component of the default scaling policy.
pub const MIN_MAX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/min-max.wasm"));

/// The component of the default health policy.
pub const LIVENESS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/liveness.wasm"));

/// The policies cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
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

/// Configurations of the built-in policies where a workload names none: JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Of [`DEFAULT_SCALING`].
    pub scaling_config: String,
    /// Of [`DEFAULT_HEALTH`].
    pub health_config: String,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { scaling_config: "{}".to_owned(), health_config: "{}".to_owned() }
    }
}

/// The policies there are.
pub struct PolicyRegistry {
    engine: Arc<PolicyEngine>,
    compiler: Compiler,
    defaults: Defaults,
    min_max: Arc<PolicyComponent>,
    liveness: Arc<PolicyComponent>,
    names: Arc<Names>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
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
    /// A pushed revision that does not load any more is quarantined, and the one before it acts.
    ///
    /// # Errors
    /// When the engine cannot be set up, a built-in policy does not load or the data directory cannot be read.
    pub async fn open(
        limits: PolicyLimits,
        compiler: Compiler,
        defaults: Defaults,
        data_dir: Option<&Path>,
    ) -> Result<Self, RegistryError> {
        let engine = Arc::new(PolicyEngine::new(limits)?);
        let load = async |name, bytes: &[u8]| {
            let loaded = PolicyComponent::load(&engine, &compiler, Some(name), Arc::from(bytes)).await;
            loaded.map(Arc::new).map_err(|source| RegistryError::Load { name, source })
        };
        let (min_max, liveness) = (load(DEFAULT_SCALING, MIN_MAX).await?, load(DEFAULT_HEALTH, LIVENESS).await?);
        let shelf = data_dir.map(Shelf::open).transpose().map_err(RegistryError::Shelf)?;
        let shelved = shelf.as_ref().map(Shelf::load).transpose().map_err(RegistryError::Shelf)?;
        let names = Arc::new(Names::new(shelf));
        let changing = tokio::sync::Mutex::default();
        let registry = Self { engine, compiler, defaults, min_max, liveness, names, changing };
        for (name, shelved) in shelved.unwrap_or_default() {
            let pushed = Pushed::new(&name, shelved.kind, &registry.names, registry.engine.limits());
            let mut state = State::stored(shelved.revisions);
            if let Some(acting) = shelved.acting {
                registry.bring_back(&pushed, &mut state, Some(acting + 1)).await;
            }
            let candidate = state.revisions.iter().find(|revision| Some(revision.number) == shelved.candidate).cloned();
            if let Some(revision) = candidate {
                state.candidate = registry.load_or_quarantine(&pushed, &mut state, &revision).await;
            }
            *pushed.state() = state;
            registry.names.insert(pushed);
        }
        Ok(registry)
    }

    /// The engine the policies run on.
    pub fn engine(&self) -> &Arc<PolicyEngine> {
        &self.engine
    }

    /// The scaling policy of a workload that names none.
    pub fn default_scaling(&self) -> Arc<dyn ScalingPolicy> {
        Arc::<PolicyComponent>::clone(&self.min_max)
    }

    /// The health policy of a workload that names none.
    pub fn default_health(&self) -> Arc<dyn HealthPolicy> {
        Arc::<PolicyComponent>::clone(&self.liveness)
    }

    fn built_in(&self) -> [&Arc<PolicyComponent>; 2] {
        [&self.liveness, &self.min_max]
    }

    /// A pushed name, to be changed.
    fn pushed(&self, name: &str) -> Result<Arc<Pushed>, CatalogueError> {
        self.names.get(name).ok_or_else(|| match self.find(name) {
            Some(_) => CatalogueError::Conflict(format!("`{name}` is built in and has no other revision")),
            None => CatalogueError::Unknown(name.to_owned()),
        })
    }

    /// Lets the newest good revision older than `than` act, in `state`; one that does not load is quarantined
    /// there. One on trial has the next good one loaded behind it. None: there is none.
    async fn bring_back(&self, pushed: &Arc<Pushed>, state: &mut State, than: Option<u32>) -> Option<u32> {
        let mut found: Vec<Arc<Watched>> = Vec::new();
        for revision in state.good_before(than) {
            let Some(watched) = self.load_or_quarantine(pushed, state, &revision).await else { continue };
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

    async fn load_or_quarantine(
        &self,
        pushed: &Arc<Pushed>,
        state: &mut State,
        revision: &RevisionInfo,
    ) -> Option<Arc<Watched>> {
        match self.load_stored(pushed, state, revision).await {
            Ok(watched) => Some(watched),
            Err(why) => {
                tracing::error!(policy = pushed.name, revision = revision.number, why, "cannot be loaded any more");
                state.quarantine(revision.number, format!("it cannot be loaded any more: {why}"));
                None
            }
        }
    }

    async fn load_stored(
        &self,
        pushed: &Arc<Pushed>,
        state: &State,
        revision: &RevisionInfo,
    ) -> Result<Arc<Watched>, String> {
        let mut loaded = [&state.acting, &state.before, &state.candidate].into_iter().flatten();
        if let Some(watched) = loaded.find(|watched| watched.number() == revision.number) {
            return Ok(Arc::clone(watched));
        }
        let (names, digest) = (Arc::clone(&self.names), revision.digest.clone());
        let read = blocking(move || match &names.shelf {
            Some(shelf) => shelf.component(&digest),
            None => Err(io::Error::other("it was not kept")),
        });
        let bytes = read.await.map_err(|error| error.to_string())?;
        let loaded = PolicyComponent::load(&self.engine, &self.compiler, Some(&pushed.name), Arc::from(bytes)).await;
        let component = loaded.map_err(|error| error.to_string())?;
        Ok(Watched::new(component.with_revision(revision.number, revision.memory_since), pushed))
    }

    /// The state a push of `component` leads to.
    fn state_after(&self, pushed: &Arc<Pushed>, component: PolicyComponent, push: &Push, digest: String) -> State {
        let mut state = pushed.state().clone();
        let number = state.revisions.last().map_or(1, |newest| newest.number + 1);
        let inherited = state.acting.as_ref().map(|acting| acting.component.identity().memory_since);
        let inherited = inherited.or(state.revisions.last().map(|newest| newest.memory_since)).unwrap_or(0);
        let memory_since = if push.reset_memory { number } else { inherited };
        let description = component.description();
        state.revisions.push(RevisionInfo {
            number,
            digest,
            size_bytes: push.component.len() as u64,
            described_name: description.name.clone(),
            version: description.version.clone(),
            loaded_at: push.at,
            loaded_by: push.by.clone(),
            memory_since,
            acted: false,
            proved: false,
            quarantined: None,
        });
        let watched = Watched::new(component.with_revision(number, memory_since), pushed);
        if push.candidate {
            state.candidate = Some(watched);
        } else {
            // A candidate is compared with what acted until now.
            state.candidate = None;
            let before = state.acting.take();
            state.act(watched, before);
        }
        state.prune(self.engine.limits().revisions_kept);
        state
    }

    /// Stores a name as it is about to be, then lets it be so.
    async fn commit(
        &self,
        pushed: &Arc<Pushed>,
        state: State,
        component: Option<(String, Arc<[u8]>)>,
    ) -> Result<PolicyInfo, CatalogueError> {
        let (names, next) = (Arc::clone(&self.names), Arc::clone(pushed));
        let committed = blocking(move || {
            names.commit(&next, state, component.as_ref().map(|(digest, bytes)| (digest.as_str(), bytes.as_ref())))
        });
        committed.await.map_err(|error| CatalogueError::Disk(error.to_string()))?;
        Ok(pushed_info(pushed))
    }
}

#[async_trait]
impl PolicyCatalogue for PolicyRegistry {
    fn list(&self) -> Vec<PolicyInfo> {
        let policies = self.names.policies.read().unwrap_or_else(PoisonError::into_inner).clone();
        let pushed = policies.values().map(|pushed| pushed_info(pushed));
        let mut all: Vec<PolicyInfo> =
            self.built_in().map(|policy| built_in_info(policy)).into_iter().chain(pushed).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn find(&self, name: &str) -> Option<PolicyInfo> {
        let built_in = self.built_in().into_iter().find(|policy| policy.identity().name == name);
        built_in.map(|policy| built_in_info(policy)).or_else(|| self.names.get(name).map(|pushed| pushed_info(&pushed)))
    }

    async fn push(&self, push: Push) -> Result<PolicyInfo, CatalogueError> {
        if !is_name(&push.name) {
            return Err(CatalogueError::Name(push.name));
        }
        if [DEFAULT_SCALING, DEFAULT_HEALTH].contains(&push.name.as_str()) {
            let detail = format!("`{}` is built in; push under another name and assign that one", push.name);
            return Err(CatalogueError::Conflict(detail));
        }
        let _one_at_a_time = self.changing.lock().await;
        let known = self.names.get(&push.name);
        let digest = digest_of(&push.component);
        if push.candidate && known.as_ref().is_none_or(|pushed| pushed.state().acting.is_none()) {
            let detail = format!("no revision of `{}` acts that a candidate could be compared with", push.name);
            return Err(CatalogueError::Conflict(detail));
        }
        if let Some(pushed) = &known
            && !push.reset_memory
            && pushed.state().is_there(&digest, push.candidate)
        {
            return Ok(pushed_info(pushed));
        }
        let component =
            PolicyComponent::load(&self.engine, &self.compiler, Some(&push.name), Arc::clone(&push.component)).await;
        let component = component
            .map_err(|error| CatalogueError::Component(error.problems.iter().map(ToString::to_string).collect()))?;
        let pushed = match known {
            Some(pushed) if pushed.kind != component.kind() => {
                let detail =
                    format!("`{}` is a {} policy and this is a {} policy", push.name, pushed.kind, component.kind());
                return Err(CatalogueError::Conflict(detail));
            }
            Some(pushed) => pushed,
            None => Pushed::new(&push.name, component.kind(), &self.names, self.engine.limits()),
        };
        let state = self.state_after(&pushed, component, &push, digest.clone());
        let info = self.commit(&pushed, state, Some((digest, Arc::clone(&push.component)))).await?;
        if push.candidate {
            tracing::info!(policy = info.name, revision = info.candidate, by = push.by, "a new candidate");
        } else {
            tracing::info!(policy = info.name, revision = info.acting, by = push.by, "a new revision acts");
        }
        Ok(info)
    }

    async fn promote(&self, name: &str, revision: Option<u32>) -> Result<PolicyInfo, CatalogueError> {
        let _one_at_a_time = self.changing.lock().await;
        let pushed = self.pushed(name)?;
        let mut state = pushed.state().clone();
        let conflict = |detail| Err(CatalogueError::Conflict(detail));
        let Some(number) = revision.or(state.candidate.as_ref().map(|candidate| candidate.number())) else {
            return conflict(format!("`{name}` has no candidate; say which revision is to act"));
        };
        let Some(revision) = state.revisions.iter().find(|revision| revision.number == number).cloned() else {
            return conflict(format!("`{name}` has no revision {number}"));
        };
        if let Some(why) = &revision.quarantined {
            return conflict(format!("revision {number} of `{name}` may not act: {why}"));
        }
        if state.acting.as_ref().is_some_and(|acting| acting.number() == number) {
            return Ok(pushed_info(&pushed));
        }
        let watched = self.load_stored(&pushed, &state, &revision).await.map_err(|why| {
            CatalogueError::Conflict(format!("revision {number} of `{name}` cannot be loaded any more: {why}"))
        })?;
        if state.candidate.as_ref().is_some_and(|candidate| candidate.number() == number) {
            state.candidate = None;
        }
        let before = state.acting.take();
        state.act(watched, before);
        let info = self.commit(&pushed, state, None).await?;
        tracing::info!(policy = name, revision = number, "promoted");
        Ok(info)
    }

    async fn roll_back(&self, name: &str) -> Result<PolicyInfo, CatalogueError> {
        let _one_at_a_time = self.changing.lock().await;
        let pushed = self.pushed(name)?;
        let mut state = pushed.state().clone();
        let from = state.acting.as_ref().map(|acting| acting.number());
        let Some(to) = self.bring_back(&pushed, &mut state, from).await else {
            return Err(CatalogueError::Conflict(format!("`{name}` has no earlier revision that may act")));
        };
        let info = self.commit(&pushed, state, None).await?;
        tracing::info!(policy = name, from, to, "rolled back");
        Ok(info)
    }

    async fn check(&self, kind: PolicyKind, choice: &PolicyChoice, now: Timestamp) -> Result<(), ChoiceError> {
        let built_in = self.built_in().into_iter().find(|policy| policy.identity().name == choice.name);
        let pushed = self.acting(&choice.name, kind);
        let policy: &PolicyComponent = match (built_in.filter(|policy| policy.kind() == kind), &pushed) {
            (Some(built_in), _) => built_in,
            (None, Some(watched)) => &watched.component,
            (None, None) => {
                let known = self.list().into_iter().filter(|info| info.kind == kind && info.acting.is_some());
                let known = known.map(|info| format!("`{}`", info.name)).collect();
                return Err(ChoiceError::Unknown { name: choice.name.clone(), kind, known });
            }
        };
        let refused = |problems| ChoiceError::Schema { name: choice.name.clone(), problems };
        let whole = |why: String| refused(vec![(String::new(), why)]);
        let config = serde_json::from_str(&choice.config).map_err(|error| whole(format!("it is not JSON: {error}")))?;
        let schema =
            serde_json::from_str(&policy.description().config_schema).map_err(|error| whole(error.to_string()))?;
        let problems = schema::problems(&schema::compile(&schema).map_err(whole)?, &config);
        if !problems.is_empty() {
            return Err(refused(problems));
        }
        let called = policy.configure(&choice.config, now).await;
        called.log.trace(&choice.name);
        let accepted = called.answer.map(drop);
        accepted.map_err(|failure| ChoiceError::Refused { name: choice.name.clone(), failure })
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

mod source;
#[cfg(test)]
mod tests;

//! One pushed policy: the owner of its state and of its loaded components.

use crate::monitored::MonitoredRevision;
use crate::revisions::state::{Effect, Event, Severity, State, apply_all};
use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::broadcast;
use windlass_concurrency::Group;
use windlass_core::PolicyKind;
use windlass_core::policy::PolicyNews;
use windlass_core::settings::PolicyLimits;

/// A pushed policy.
#[derive(Debug)]
pub(crate) struct PushedPolicy {
    pub(crate) name: String,
    pub(crate) kind: PolicyKind,
    pub(crate) limits: Arc<PolicyLimits>,
    /// The group of its revisions' calls in the concurrency limit.
    pub(crate) calls: Group,
    /// The candidate that it was stored with.
    pub(crate) stored_candidate: Option<u32>,
    /// Whether its revisions are still being loaded after the start.
    loading: AtomicBool,
    owned: Mutex<Owned>,
    published: ArcSwap<Published>,
    news: broadcast::Sender<PolicyNews>,
}

/// The state, and the components that it needs by revision number.
#[derive(Debug, Default)]
struct Owned {
    state: State,
    loaded: BTreeMap<u32, Arc<MonitoredRevision>>,
}

/// The revisions as calls read them: without a lock, so that no change, write or listing delays a call.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) acting: Option<Arc<MonitoredRevision>>,
    /// The revision that takes the place of the acting one where that one fails.
    pub(crate) fallback: Option<Arc<MonitoredRevision>>,
    pub(crate) candidate: Option<Arc<MonitoredRevision>>,
}

impl PushedPolicy {
    /// A policy with a state, none of whose revisions is loaded yet.
    pub(crate) fn new(
        name: &str,
        kind: PolicyKind,
        limits: Arc<PolicyLimits>,
        calls: Group,
        state: State,
        stored_candidate: Option<u32>,
        news: broadcast::Sender<PolicyNews>,
    ) -> Arc<Self> {
        let state_is_stored = !state.revisions.is_empty();
        let owned = Mutex::new(Owned { state, loaded: BTreeMap::new() });
        let (loading, published) = (AtomicBool::new(state_is_stored), ArcSwap::default());
        Arc::new(Self { name: name.to_owned(), kind, limits, calls, stored_candidate, loading, owned, published, news })
    }

    /// Whether its revisions are still being loaded after the start.
    pub(crate) fn is_loading(&self) -> bool {
        self.loading.load(Ordering::SeqCst)
    }

    /// Ends the loading after the start.
    pub(crate) fn end_loading(&self) {
        self.loading.store(false, Ordering::SeqCst);
    }

    /// Bytes of the machine code of its loaded revisions.
    pub(crate) fn loaded_bytes(&self) -> u64 {
        self.owned.lock().loaded.values().map(|revision| revision.component.code_bytes() as u64).sum()
    }

    /// A copy of the current state.
    pub(crate) fn state(&self) -> State {
        self.owned.lock().state.clone()
    }

    /// A copy of the current state, with the acting revision.
    pub(crate) fn snapshot(&self) -> (State, Option<Arc<MonitoredRevision>>) {
        let owned = self.owned.lock();
        let acting = owned.state.acting.and_then(|number| owned.loaded.get(&number).cloned());
        (owned.state.clone(), acting)
    }

    /// A revision that is loaded.
    pub(crate) fn loaded(&self, number: u32) -> Option<Arc<MonitoredRevision>> {
        self.owned.lock().loaded.get(&number).cloned()
    }

    pub(crate) fn published(&self) -> Guard<Arc<Published>> {
        self.published.load()
    }

    /// Applies events and carries out their effects, except [`Effect::Store`]. `loaded` holds the components that the new
    /// state needs and the current one does not.
    pub(crate) fn transition(&self, events: &[Event], loaded: Vec<Arc<MonitoredRevision>>) {
        let mut owned = self.owned.lock();
        let (state, effects) = apply_all(&owned.state, events);
        owned.loaded.extend(loaded.into_iter().map(|revision| (revision.number(), revision)));
        // Unmapping machine code is slow: the components are dropped after the lock.
        let mut dropped = Vec::new();
        for effect in effects {
            match effect {
                Effect::Store => {}
                Effect::BeginProbation { revision, is_proved } => {
                    if let Some(revision) = owned.loaded.get(&revision) {
                        revision.breaker.begin(is_proved);
                    }
                }
                Effect::Publish => {
                    let loaded = |number: Option<u32>| number.and_then(|number| owned.loaded.get(&number).cloned());
                    let published = Published {
                        acting: loaded(state.acting),
                        fallback: loaded(state.fallback),
                        candidate: loaded(state.candidate),
                    };
                    dropped.push(self.published.swap(Arc::new(published)));
                }
                Effect::Log { revision, severity, message } => {
                    match severity {
                        Severity::Info => tracing::info!(policy = self.name, revision, "{message}"),
                        Severity::Error => tracing::error!(policy = self.name, revision, "{message}"),
                    }
                    let (policy, is_failure) = (self.name.clone(), severity == Severity::Error);
                    // Having no reader is fine.
                    let _ = self.news.send(PolicyNews { policy, revision: Some(revision), is_failure, what: message });
                }
            }
        }
        let (needed, unneeded) =
            std::mem::take(&mut owned.loaded).into_iter().partition(|(number, _)| state.is_needed(*number));
        let _unloaded: BTreeMap<u32, Arc<MonitoredRevision>> = unneeded;
        (owned.state, owned.loaded) = (state, needed);
        drop(owned);
    }
}

//! All pushed policies: the one place that changes their states and writes them to disk.

use crate::breaker::Change as BreakerChange;
use crate::monitored::{BreakerObserver, MonitoredRevision};
use crate::revisions::policy::PushedPolicy;
use crate::revisions::state::{Event, apply_all};
use crate::revisions::store::{RevisionStore, StoredPolicy};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};
use tokio::sync::broadcast;
use windlass_core::Timestamp;
use windlass_core::policy::PolicyNews;

/// Every pushed policy.
#[derive(Debug)]
pub(crate) struct RevisionSet {
    /// `None` if no data directory is set: then no revision outlives the process.
    pub(crate) store: Option<RevisionStore>,
    policies: RwLock<BTreeMap<String, Arc<PushedPolicy>>>,
    /// Held while the index is written, so that an older index never replaces a newer one, and none without a new revision
    /// removes its component.
    writing: Mutex<()>,
    /// The news about the policies, for the event log.
    news: broadcast::Sender<PolicyNews>,
}

/// News that a reader may be behind.
const NEWS_KEPT: usize = 256;

/// A change that is written to disk before it acts.
pub(crate) struct Change {
    pub(crate) events: Vec<Event>,
    /// The components that the new state needs.
    pub(crate) loaded: Vec<Arc<MonitoredRevision>>,
    /// The pushed component with its digest.
    pub(crate) component: Option<(String, Arc<[u8]>)>,
}

impl RevisionSet {
    pub(crate) fn new(store: Option<RevisionStore>) -> Self {
        Self { store, policies: RwLock::default(), writing: Mutex::default(), news: broadcast::Sender::new(NEWS_KEPT) }
    }

    /// The channel of the news. A policy reports its own.
    pub(crate) fn news(&self) -> &broadcast::Sender<PolicyNews> {
        &self.news
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<PushedPolicy>> {
        self.policies.read().get(name).cloned()
    }

    /// All policies, by name.
    pub(crate) fn all(&self) -> Vec<Arc<PushedPolicy>> {
        self.policies.read().values().cloned().collect()
    }

    /// Adds a policy, if there is none of its name.
    pub(crate) fn insert(&self, policy: &Arc<PushedPolicy>) {
        let mut policies = self.policies.write();
        policies.entry(policy.name.clone()).or_insert_with(|| Arc::clone(policy));
    }

    /// Writes the state after a change to disk, then makes the change. If the write fails, nothing changes.
    ///
    /// The events are applied a second time after the write: a probation that ended meanwhile has changed the state, and
    /// its outcome is kept. Its own write follows this one.
    pub(crate) fn commit(&self, policy: &Arc<PushedPolicy>, change: Change) -> io::Result<()> {
        let _writing = self.writing.lock();
        if let (Some(store), Some((digest, component))) = (&self.store, &change.component) {
            store.put(digest, component)?;
        }
        let (planned, _) = apply_all(&policy.state(), &change.events);
        let planned = StoredPolicy::new(policy.kind, &planned);
        self.write(|index| drop(index.insert(policy.name.clone(), planned)))?;
        policy.transition(&change.events, change.loaded);
        self.insert(policy);
        Ok(())
    }

    /// Forgets a policy: first on disk, then here. If the write fails, nothing changes.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let _writing = self.writing.lock();
        self.write(|index| drop(index.remove(name)))?;
        self.policies.write().remove(name);
        let (policy, what) = (name.to_owned(), "it was removed with all its revisions".to_owned());
        // Having no reader is fine.
        let _ = self.news.send(PolicyNews { policy, revision: None, is_failure: false, what });
        Ok(())
    }

    /// The observer of the circuit breakers of a policy's revisions.
    pub(crate) fn observer(self: &Arc<Self>, policy: &Arc<PushedPolicy>) -> Arc<dyn BreakerObserver> {
        Arc::new(Observer { set: Arc::downgrade(self), policy: Arc::downgrade(policy) })
    }

    /// Writes the current states to disk.
    fn save(&self) -> io::Result<()> {
        let _writing = self.writing.lock();
        self.write(|_| ())
    }

    /// Writes the index of the current states after `edit`. The caller holds the lock `writing`.
    fn write(&self, edit: impl FnOnce(&mut BTreeMap<String, StoredPolicy>)) -> io::Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let stored = |policy: Arc<PushedPolicy>| (policy.name.clone(), StoredPolicy::new(policy.kind, &policy.state()));
        let mut index = self.all().into_iter().map(stored).collect();
        edit(&mut index);
        store.save(index)
    }
}

/// Passes the changes of circuit breakers to the owner. The references are weak: a component outlives its policy in a call.
#[derive(Debug)]
struct Observer {
    set: Weak<RevisionSet>,
    policy: Weak<PushedPolicy>,
}

impl BreakerObserver for Observer {
    fn breaker_changed(&self, revision: u32, change: BreakerChange, at: Timestamp) {
        let (Some(set), Some(policy)) = (self.set.upgrade(), self.policy.upgrade()) else { return };
        let is_failed = matches!(change, BreakerChange::Failed { .. });
        let event = match change {
            BreakerChange::Passed { calls, failures } => Event::ProbationPassed { revision, calls, failures, at },
            BreakerChange::Failed { calls, failures, last } => {
                let last = last.to_string();
                Event::ProbationFailed { revision, calls, failures, last, kind: policy.kind, at }
            }
            // The alerts of the workloads name each of them. The events tell when it began and ended.
            BreakerChange::Opened { is_first: false, .. } | BreakerChange::Closed { is_last: false, .. } => return,
            BreakerChange::Opened { workload, failing, .. } => {
                let (failures, last) = (failing.failures, failing.last.to_string());
                Event::BreakerOpened { revision, workload, failures, last, at }
            }
            BreakerChange::Closed { workload, .. } => Event::BreakerClosed { revision, workload, at },
        };
        // A failed revision must not be called again. No other change affects a call, so the call does not wait for it.
        if is_failed {
            policy.transition(std::slice::from_ref(&event), Vec::new());
        }
        tokio::task::spawn_blocking(move || {
            if !is_failed {
                policy.transition(&[event], Vec::new());
            }
            if let Err(error) = set.save() {
                tracing::error!(%error, policy = policy.name, "cannot store an event of a policy");
            }
        });
    }
}

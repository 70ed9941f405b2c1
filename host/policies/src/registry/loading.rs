//! Loads stored revisions, with retries.

use crate::loader::blocking;
use crate::monitored::MonitoredRevision;
use crate::registry::root::PolicyRegistry;
use crate::revisions::policy::PushedPolicy;
use crate::revisions::state::{Event, State};
use std::io;
use std::sync::Arc;
use windlass_core::Timestamp;
use windlass_core::policy::catalogue::RevisionInfo;
use windlass_sandbox::component::PolicyComponent;

/// Attempts to load a stored revision that fails for a reason that may pass.
const LOAD_ATTEMPTS: u32 = 3;

/// The reason why a stored revision does not load.
pub(crate) struct NotLoaded {
    pub(crate) why: String,
    /// Whether it never will.
    is_final: bool,
}

impl NotLoaded {
    fn unreadable(error: &io::Error) -> Self {
        // The file is missing or altered. Any other reason may pass.
        let is_final = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData);
        Self { why: error.to_string(), is_final }
    }

    pub(crate) fn event(self, revision: u32, at: Timestamp) -> Event {
        Event::LoadFailed { revision, why: self.why, is_final: self.is_final, at }
    }
}

/// Loaded revisions, and the events of those that did not load.
#[derive(Default)]
pub(crate) struct LoadedRevisions {
    pub(crate) revisions: Vec<Arc<MonitoredRevision>>,
    pub(crate) events: Vec<Event>,
}

impl PolicyRegistry {
    /// Loads the newest revision before `before` that may act, and the next one as its fallback. Revisions that do not load
    /// are skipped.
    pub(crate) async fn load_eligible(
        &self,
        policy: &Arc<PushedPolicy>,
        state: &State,
        before: Option<u32>,
        at: Timestamp,
    ) -> LoadedRevisions {
        let mut loaded = LoadedRevisions::default();
        for revision in state.eligible_before(before) {
            match self.load_revision(policy, &revision).await {
                Ok(component) => loaded.revisions.push(component),
                Err(failed) => {
                    loaded.events.push(failed.event(revision.number, at));
                    continue;
                }
            }
            if loaded.revisions.len() == 2 {
                break;
            }
        }
        loaded
    }

    /// Loads one stored revision, or returns it if it is loaded already.
    pub(crate) async fn load_revision(
        &self,
        policy: &Arc<PushedPolicy>,
        revision: &RevisionInfo,
    ) -> Result<Arc<MonitoredRevision>, NotLoaded> {
        if let Some(loaded) = policy.loaded(revision.number) {
            return Ok(loaded);
        }
        let (pushed, digest) = (Arc::clone(&self.pushed), revision.digest.clone());
        let read = blocking(move || match &pushed.store {
            Some(store) => store.component(&digest),
            None => Err(io::Error::other("it was not stored, since no data directory is set")),
        });
        let bytes: Arc<[u8]> = read.await.map_err(|error| NotLoaded::unreadable(&error))?.into();
        let mut attempts = 1;
        let component = loop {
            match self.loader.load(&policy.name, Arc::clone(&bytes)).await {
                Ok(component) => break component,
                // A machine that has just started is slow.
                Err(error) if error.may_pass() && attempts < LOAD_ATTEMPTS => attempts += 1,
                Err(error) => return Err(NotLoaded { why: error.to_string(), is_final: error.is_final() }),
            }
        };
        Ok(self.monitored(policy, component, revision))
    }

    /// A component as this revision of its policy.
    pub(crate) fn monitored(
        &self,
        policy: &Arc<PushedPolicy>,
        component: PolicyComponent,
        revision: &RevisionInfo,
    ) -> Arc<MonitoredRevision> {
        let component = component.with_revision(revision.number, revision.memory_since, &policy.calls);
        MonitoredRevision::new(component, self.pushed.observer(policy))
    }
}

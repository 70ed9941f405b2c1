//! The services that are left alone, and the request for a search.

use parking_lot::Mutex;
use tokio::sync::Notify;
use windlass_core::{Declaration, WorkloadKey};

/// A service whose labels ask Windlass to scale it, and which it leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedService {
    /// The key that its workload would have.
    pub key: WorkloadKey,
    /// The place of its labels.
    pub declaration: Declaration,
    /// The reason why it is left alone, in one sentence.
    pub reason: String,
}

/// The services that labels declare, as last observed.
#[derive(Debug, Default)]
pub(crate) struct Adoption {
    refused: Mutex<Vec<RefusedService>>,
    wanted: Notify,
}

impl Adoption {
    /// Requests a search. Several requests before the next search are one.
    pub(crate) fn request(&self) {
        self.wanted.notify_one();
    }

    /// Returns when a search has been requested since the last return.
    pub(crate) async fn requested(&self) {
        self.wanted.notified().await;
    }

    /// The services that are left alone, in the order of their keys.
    pub(crate) fn refused(&self) -> Vec<RefusedService> {
        self.refused.lock().clone()
    }

    /// Replaces the services that are left alone, and logs those whose reason is new.
    pub(crate) fn set_refused(&self, mut refused: Vec<RefusedService>) {
        refused.sort_by(|one, other| (&one.key, &one.reason).cmp(&(&other.key, &other.reason)));
        let before = std::mem::replace(&mut *self.refused.lock(), refused.clone());
        for service in refused.iter().filter(|service| !before.contains(service)) {
            let RefusedService { key, declaration, reason } = service;
            tracing::warn!(workload = %key, service = %declaration, reason, "a service with labels is left alone");
        }
    }
}

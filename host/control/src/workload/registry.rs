//! All workloads of the loop, by key.

use crate::workload::handle::WorkloadHandle;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_core::{Replica, WorkloadKey};

/// The workloads, and the replicas without one.
#[derive(Debug, Default)]
pub(crate) struct Workloads {
    handles: RwLock<BTreeMap<WorkloadKey, Arc<WorkloadHandle>>>,
    /// Held while a new workload joins. If two requests start the same new workload, the second one finds the first.
    pub(crate) joining: tokio::sync::Mutex<()>,
    orphans: Mutex<Vec<Replica>>,
}

impl Workloads {
    /// All workloads, in the order of keys.
    pub(crate) fn all(&self) -> Vec<Arc<WorkloadHandle>> {
        self.handles.read().values().cloned().collect()
    }

    /// The workload with exactly this key.
    pub(crate) fn get(&self, key: &WorkloadKey) -> Option<Arc<WorkloadHandle>> {
        self.handles.read().get(key).cloned()
    }

    /// The workload that a person addresses by this key. Other spellings of its image lead to it too, unless it has a name.
    pub(crate) fn find(&self, key: &WorkloadKey) -> Option<Arc<WorkloadHandle>> {
        self.get(key).or_else(|| {
            let full = key.as_image()?.canonical();
            let is_same = |handle: &&Arc<WorkloadHandle>| {
                let state = handle.state();
                !state.workload.is_named() && state.workload.image.canonical() == full
            };
            self.handles.read().values().find(is_same).cloned()
        })
    }

    /// The key of a workload as it is stored; the same key if there is no such workload.
    pub(crate) fn known_key(&self, key: &WorkloadKey) -> WorkloadKey {
        self.find(key).map_or_else(|| key.clone(), |handle| handle.key.clone())
    }

    pub(crate) fn insert(&self, handle: Arc<WorkloadHandle>) {
        self.handles.write().insert(handle.key.clone(), handle);
    }

    pub(crate) fn remove(&self, key: &WorkloadKey) {
        self.handles.write().remove(key);
    }

    /// Replicas of this instance whose workload is unknown, as last observed.
    pub(crate) fn orphans(&self) -> MutexGuard<'_, Vec<Replica>> {
        self.orphans.lock()
    }
}

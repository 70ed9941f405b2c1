//! All workloads of the loop, by key.

use crate::workload::handle::WorkloadHandle;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use windlass_core::{Replica, WorkloadKey};

/// The workloads, and the replicas without one.
#[derive(Debug, Default)]
pub(crate) struct Workloads {
    known: RwLock<Known>,
    /// Held while a new workload joins. If two requests start the same new workload, the second one finds the first.
    pub(crate) joining: tokio::sync::Mutex<()>,
    orphans: Mutex<Vec<Replica>>,
    /// The workloads that another one has been seen to depend on, also if it does not any more.
    needed: Mutex<BTreeSet<WorkloadKey>>,
}

#[derive(Debug, Default)]
struct Known {
    handles: BTreeMap<WorkloadKey, Arc<WorkloadHandle>>,
    /// The keys that are images, by the full spelling of the image: finding one must not take longer with more workloads.
    by_spelling: BTreeMap<String, BTreeSet<WorkloadKey>>,
}

impl Workloads {
    /// All workloads, in the order of keys.
    pub(crate) fn all(&self) -> Vec<Arc<WorkloadHandle>> {
        self.known.read().handles.values().cloned().collect()
    }

    /// The workload with exactly this key.
    pub(crate) fn get(&self, key: &WorkloadKey) -> Option<Arc<WorkloadHandle>> {
        self.known.read().handles.get(key).cloned()
    }

    /// The workload that a person addresses by this key. Other spellings of its image lead to it too, unless it has a name.
    pub(crate) fn find(&self, key: &WorkloadKey) -> Option<Arc<WorkloadHandle>> {
        let known = self.known.read();
        let other_spelling = || {
            let spelling = known.by_spelling.get(&key.as_image()?.canonical())?;
            let mut handles = spelling.iter().filter_map(|key| known.handles.get(key));
            handles.find(|handle| !handle.state().workload.is_named())
        };
        known.handles.get(key).or_else(other_spelling).cloned()
    }

    /// The key of a workload as it is stored; the same key if there is no such workload.
    pub(crate) fn known_key(&self, key: &WorkloadKey) -> WorkloadKey {
        self.find(key).map_or_else(|| key.clone(), |handle| handle.key.clone())
    }

    pub(crate) fn insert(&self, handle: Arc<WorkloadHandle>) {
        self.note_needed(&handle.state().workload.depends_on);
        let mut known = self.known.write();
        if let Some(image) = handle.key.as_image() {
            known.by_spelling.entry(image.canonical()).or_default().insert(handle.key.clone());
        }
        known.handles.insert(handle.key.clone(), handle);
    }

    pub(crate) fn remove(&self, key: &WorkloadKey) {
        let mut known = self.known.write();
        known.handles.remove(key);
        let Some(spelling) = key.as_image().map(|image| image.canonical()) else { return };
        if let Some(keys) = known.by_spelling.get_mut(&spelling) {
            keys.remove(key);
            if keys.is_empty() {
                known.by_spelling.remove(&spelling);
            }
        }
    }

    /// Records that a workload depends on these.
    pub(crate) fn note_needed(&self, keys: &BTreeSet<WorkloadKey>) {
        if keys.is_empty() {
            return;
        }
        let mut needed = self.needed.lock();
        for key in keys {
            if !needed.contains(key) {
                needed.insert(key.clone());
            }
        }
    }

    /// Returns true if a workload may depend on this one.
    pub(crate) fn is_needed(&self, key: &WorkloadKey) -> bool {
        self.needed.lock().contains(key)
    }

    /// Replicas of this instance whose workload is unknown, as last observed.
    pub(crate) fn orphans(&self) -> MutexGuard<'_, Vec<Replica>> {
        self.orphans.lock()
    }
}

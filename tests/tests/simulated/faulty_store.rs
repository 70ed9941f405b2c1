//! A store on disk whose writes a test can delay, fail and watch.

use std::path::Path;
use windlass_core::series::{Band, DecisionPoint, Steps};
use windlass_core::store::{
    DecisionPage, DecisionQuery, NewDecision, SamplePoints, SeriesChanges, Store, StoreError, StoreSize,
    StoredDecision, StoredWorkload,
};
use windlass_core::{ContainerId, History, ShadowComparison, Timestamp, Workload, WorkloadKey};
use windlass_storage::SqliteStore;

/// A write that a test can delay, fail and watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// The desired state of a workload.
    Workload,
    /// The replicas that an operator stopped: their number.
    Held(usize),
    /// The result of a pass.
    Pass,
}

/// Called before a write. Its error is that of the store.
type Before = dyn Fn(Write) -> Result<(), StoreError> + Send + Sync;

/// Called after a write.
type After = dyn Fn(Write) + Send + Sync;

/// A real store with these hooks around its writes.
pub(crate) struct FaultyStore {
    real: SqliteStore,
    before: Box<Before>,
    after: Box<After>,
}

/// The error of a store that cannot write.
pub(crate) fn full() -> StoreError {
    StoreError::Failed { operation: "write", source: "the disk is full".into() }
}

impl FaultyStore {
    pub(crate) fn open(
        directory: &Path,
        before: impl Fn(Write) -> Result<(), StoreError> + Send + Sync + 'static,
        after: impl Fn(Write) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let real = SqliteStore::open(directory, 1_000)?;
        Ok(Self { real, before: Box::new(before), after: Box::new(after) })
    }

    fn write<T>(&self, write: Write, call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        (self.before)(write)?;
        let written = call();
        (self.after)(write);
        written
    }
}

impl Store for FaultyStore {
    fn count_run(&self) -> Result<u64, StoreError> {
        self.real.count_run()
    }

    fn load(&self) -> Result<Vec<StoredWorkload>, StoreError> {
        self.real.load()
    }

    fn save_workload(&self, workload: &Workload, target: u32) -> Result<(), StoreError> {
        self.write(Write::Workload, || self.real.save_workload(workload, target))
    }

    fn delete_workload(&self, key: &WorkloadKey) -> Result<(), StoreError> {
        self.real.delete_workload(key)
    }

    fn save_held(&self, key: &WorkloadKey, held: &[ContainerId]) -> Result<(), StoreError> {
        self.write(Write::Held(held.len()), || self.real.save_held(key, held))
    }

    fn save_pass(
        &self,
        key: &WorkloadKey,
        history: &History,
        decision: Option<&NewDecision>,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.write(Write::Pass, || self.real.save_pass(key, history, decision, now))
    }

    fn save_shadows(
        &self,
        key: &WorkloadKey,
        shadows: &[ShadowComparison],
        decision: Option<(i64, &serde_json::Value)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.real.save_shadows(key, shadows, decision, now)
    }

    fn save_samples(&self, changes: &[SeriesChanges], oldest: Timestamp) -> Result<(), StoreError> {
        self.real.save_samples(changes, oldest)
    }

    fn decision(&self, id: i64) -> Result<Option<StoredDecision>, StoreError> {
        self.real.decision(id)
    }

    fn decisions(&self, key: &WorkloadKey, query: &DecisionQuery) -> Result<DecisionPage, StoreError> {
        self.real.decisions(key, query)
    }

    fn decision_before(&self, key: &WorkloadKey, at: Timestamp) -> Result<Option<DecisionPoint>, StoreError> {
        self.real.decision_before(key, at)
    }

    fn decision_points(
        &self,
        key: &WorkloadKey,
        steps: &Steps,
        after: i64,
        most: u32,
    ) -> Result<Vec<DecisionPoint>, StoreError> {
        self.real.decision_points(key, steps, after, most)
    }

    fn sample_points(&self, key: &WorkloadKey, name: &str, steps: &Steps) -> Result<SamplePoints, StoreError> {
        self.real.sample_points(key, name, steps)
    }

    fn bands(&self, key: &WorkloadKey, steps: &Steps) -> Result<Vec<Band>, StoreError> {
        self.real.bands(key, steps)
    }

    fn save_bands(&self, key: &WorkloadKey, bands: &[Band]) -> Result<(), StoreError> {
        self.real.save_bands(key, bands)
    }

    fn size(&self) -> Result<StoreSize, StoreError> {
        self.real.size()
    }
}

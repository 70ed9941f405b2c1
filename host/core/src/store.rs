//! What outlives the process: desired state, history of each workload, the record of decisions.

use crate::contract::Sample;
use crate::metric::SampleChange;
use crate::{ContainerId, History, ShadowComparison, Timestamp, Workload, WorkloadKey};
use serde::{Deserialize, Serialize};

/// What the store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another Windlass holds the data directory.
    #[error("the data directory `{directory}` is in use by another windlass")]
    InUse {
        /// The directory.
        directory: String,
    },
    /// The file was written by a newer Windlass.
    #[error("the store has schema version {found}; this windlass knows versions up to {known}")]
    TooNew {
        /// What the file says.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// The disk or the database failed; `operation` says what was being done.
    #[error("cannot {operation}")]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One decision as it is written down: enough to explain it, and to replay it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Its number, counting up over all workloads; 0 before it is stored.
    pub id: i64,
    /// When the pass looked.
    pub at: Timestamp,
    /// Everything else, as the report of the pass made it.
    #[serde(flatten)]
    pub body: serde_json::Value,
}

/// Everything stored of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWorkload {
    /// The desired state.
    pub workload: Workload,
    /// What the host remembers of it.
    pub history: History,
    /// Replicas an operator stopped.
    pub held: Vec<ContainerId>,
    /// What its shadows would have said.
    pub shadows: Vec<ShadowComparison>,
    /// The values of its metrics: name and value, by time.
    pub samples: Vec<(String, Sample)>,
}

impl StoredWorkload {
    /// One that is new.
    pub fn new(workload: Workload) -> Self {
        Self { workload, history: History::default(), held: Vec::new(), shadows: Vec::new(), samples: Vec::new() }
    }
}

/// What becomes of the stored values of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesChanges {
    /// The workload.
    pub key: WorkloadKey,
    /// The metric.
    pub name: String,
    /// In this order.
    pub changes: Vec<SampleChange>,
    /// Values before it are dropped.
    pub oldest: Timestamp,
}

/// Keeps what must survive a crash at any moment. Calls are short and block; each is one transaction,
/// on disk when it returns.
pub trait Store: Send + Sync + 'static {
    /// Everything, in the order of keys.
    fn load(&self) -> Result<Vec<StoredWorkload>, StoreError>;

    /// Stores the desired state of a workload, new or changed, and its target.
    fn save_workload(&self, workload: &Workload, target: u32) -> Result<(), StoreError>;

    /// Forgets a workload, its history, holds and decisions.
    fn delete_workload(&self, key: &WorkloadKey) -> Result<(), StoreError>;

    /// Replaces the replicas an operator stopped.
    fn save_held(&self, key: &WorkloadKey, held: &[ContainerId]) -> Result<(), StoreError>;

    /// Ends a pass in one transaction: the history with the target (if the workload still exists), and
    /// the decision where one is to be recorded. Keeps the newest decisions of a workload, as many as
    /// the store was opened with, and drops older ones. Returns the number of the decision.
    fn save_pass(
        &self,
        key: &WorkloadKey,
        history: &History,
        decision: Option<&DecisionRecord>,
    ) -> Result<Option<i64>, StoreError>;

    /// Replaces what the shadows would have said, and writes what they said now beside a decision, as its
    /// `shadows`; one that is not kept any more is left out.
    fn save_shadows(
        &self,
        key: &WorkloadKey,
        shadows: &[ShadowComparison],
        beside: Option<(i64, &serde_json::Value)>,
    ) -> Result<(), StoreError>;

    /// Changes the stored values of metrics, in this order; those of workloads that are not there any more are left out.
    /// All that are older than `oldest` are dropped.
    fn save_samples(&self, changes: &[SeriesChanges], oldest: Timestamp) -> Result<(), StoreError>;

    /// One decision by its number; none: it is not kept, or never was.
    fn decision(&self, id: i64) -> Result<Option<DecisionRecord>, StoreError>;

    /// The newest decisions of a workload that were made by `until`, newest first, at most `limit`.
    fn decisions(
        &self,
        key: &WorkloadKey,
        until: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, StoreError>;
}

//! The trait of the store: desired state, history of each workload, and recorded decisions.

use crate::contract::Sample;
use crate::metric::SampleChange;
use crate::{ContainerId, History, ShadowComparison, Timestamp, Workload, WorkloadKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another Windlass holds the data directory.
    #[error("the data directory `{directory}` is in use by another windlass")]
    InUse {
        /// The directory.
        directory: String,
    },
    /// A newer Windlass wrote the file.
    #[error("the store has schema version {found}; this windlass knows versions up to {known}")]
    TooNew {
        /// The file's schema version.
        found: i64,
        /// The newest version that this program supports.
        known: i64,
    },
    /// The disk or the database failed.
    #[error("cannot {operation}")]
    Failed {
        /// The operation.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A recorded decision, complete enough to explain and replay it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Its number, ascending over all workloads; 0 before it is stored.
    pub id: i64,
    /// Time of the pass's observation.
    pub at: Timestamp,
    /// The rest of the record, as the pass reported it.
    #[serde(flatten)]
    pub body: serde_json::Value,
}

/// All stored data of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWorkload {
    /// The desired state.
    pub workload: Workload,
    /// The host's memory of it.
    pub history: History,
    /// Replicas stopped by an operator.
    pub held: Vec<ContainerId>,
    /// The comparisons with its shadow policies.
    pub shadows: Vec<ShadowComparison>,
    /// The samples of its metrics, by time, each with the metric's name.
    pub samples: Vec<(String, Sample)>,
}

impl StoredWorkload {
    /// A new workload.
    pub fn new(workload: Workload) -> Self {
        // Only containers that this workload creates are its replicas, however others are labelled.
        let history = History { containers: Some(BTreeSet::new()), ..History::default() };
        Self { workload, history, held: Vec::new(), shadows: Vec::new(), samples: Vec::new() }
    }
}

/// Changes to the stored samples of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesChanges {
    /// The workload.
    pub key: WorkloadKey,
    /// The metric.
    pub name: String,
    /// The changes, in order.
    pub changes: Vec<SampleChange>,
    /// Samples before this time are dropped.
    pub oldest: Timestamp,
}

/// Persistent state that must survive a crash at any time. Calls are short and block; each is one transaction, on disk
/// when the call returns.
pub trait Store: Send + Sync + 'static {
    /// Returns all workloads, ordered by key.
    fn load(&self) -> Result<Vec<StoredWorkload>, StoreError>;

    /// Stores the desired state of a new or changed workload, and its target.
    fn save_workload(&self, workload: &Workload, target: u32) -> Result<(), StoreError>;

    /// Deletes a workload with its history, holds and decisions.
    fn delete_workload(&self, key: &WorkloadKey) -> Result<(), StoreError>;

    /// Replaces the set of replicas stopped by an operator.
    fn save_held(&self, key: &WorkloadKey, held: &[ContainerId]) -> Result<(), StoreError>;

    /// Stores the result of a pass in one transaction: the history with the target (if the workload still exists), and
    /// the decision if there is one to record. Keeps the newest decisions of a workload, up to the number the store was
    /// opened with. Returns the number of the decision.
    fn save_pass(
        &self,
        key: &WorkloadKey,
        history: &History,
        decision: Option<&DecisionRecord>,
    ) -> Result<Option<i64>, StoreError>;

    /// Replaces the comparisons with shadow policies. Adds their latest results to a recorded decision, as its
    /// `shadows`, if that decision is still kept.
    fn save_shadows(
        &self,
        key: &WorkloadKey,
        shadows: &[ShadowComparison],
        decision: Option<(i64, &serde_json::Value)>,
    ) -> Result<(), StoreError>;

    /// Applies changes to stored samples, in order. Changes for deleted workloads are ignored. All samples older than
    /// `oldest` are dropped.
    fn save_samples(&self, changes: &[SeriesChanges], oldest: Timestamp) -> Result<(), StoreError>;

    /// Returns one decision by its number. `None` if it is not kept, or never existed.
    fn decision(&self, id: i64) -> Result<Option<DecisionRecord>, StoreError>;

    /// Returns the newest decisions of a workload made by `until`, newest first, at most `limit`.
    fn decisions(
        &self,
        key: &WorkloadKey,
        until: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, StoreError>;
}

//! The trait of the store: desired state, history of each workload, and recorded decisions.

use crate::contract::Sample;
use crate::metric::SampleChange;
use crate::series::{Band, DecisionPoint, SamplePoint, Steps};
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

/// A decision to record. Its large parts stand apart from its body, so that they are stored as bytes, and equal ones once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewDecision {
    /// Time of the pass's observation.
    pub at: Timestamp,
    /// The record without its parts.
    pub body: serde_json::Value,
    /// The parts.
    pub parts: Vec<DecisionPart>,
}

impl NewDecision {
    /// A decision whose body has no parts yet.
    pub fn new(at: Timestamp, body: serde_json::Value) -> Self {
        Self { at, body, parts: Vec::new() }
    }
}

/// A part of a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionPart {
    /// Its place in the body, as a JSON pointer. The body has null there.
    pub place: String,
    /// Its value.
    pub content: PartContent,
}

/// The value of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum PartContent {
    /// JSON text.
    Json(Vec<u8>),
    /// Bytes that a policy returned; a list of numbers in the record.
    Memory(Vec<u8>),
}

impl PartContent {
    /// Its bytes as they are stored.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Json(bytes) | Self::Memory(bytes) => bytes,
        }
    }
}

/// A recorded decision as JSON text. A part that no budget had room for is null, and `omitted` lists it with the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecision {
    /// Its number.
    pub id: i64,
    /// The workload.
    pub key: WorkloadKey,
    /// The text of its [`DecisionRecord`].
    pub json: Vec<u8>,
}

impl StoredDecision {
    /// The decision, parsed.
    ///
    /// # Errors
    /// The text is malformed.
    pub fn record(&self) -> serde_json::Result<DecisionRecord> {
        serde_json::from_slice(&self.json)
    }
}

/// Which decisions of a workload to read, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionQuery {
    /// No decision after this time.
    pub until: Option<Timestamp>,
    /// Only decisions with lower numbers.
    pub before: Option<i64>,
    /// The most decisions.
    pub limit: u32,
    /// Bytes of text after which no further decision is read. At least one decision is read.
    pub bytes: usize,
}

impl DecisionQuery {
    /// The newest decisions, however large.
    pub fn newest(limit: u32) -> Self {
        Self { until: None, before: None, limit, bytes: usize::MAX }
    }
}

/// Decisions of a workload, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionPage {
    /// The decisions.
    pub decisions: Vec<StoredDecision>,
    /// The `before` of the next page. `None` if there are no older decisions.
    pub next: Option<i64>,
}

/// The size of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSize {
    /// Bytes of its files.
    pub file_bytes: u64,
    /// Bytes of the database that are in use.
    pub used_bytes: u64,
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
    /// The bands that lasted when Windlass ended.
    pub bands: Vec<Band>,
}

impl StoredWorkload {
    /// A new workload.
    pub fn new(workload: Workload) -> Self {
        // Only containers that this workload creates are its replicas, however others are labelled.
        let history = History { containers: Some(BTreeSet::new()), ..History::default() };
        Self { workload, history, held: Vec::new(), shadows: Vec::new(), samples: Vec::new(), bands: Vec::new() }
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

/// The samples of a metric in steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplePoints {
    /// The last sample before the first step.
    pub before: Option<Sample>,
    /// The steps that have samples, in order.
    pub steps: Vec<SamplePoint>,
}

/// Persistent state that must survive a crash at any time. Calls are short and block; each is one transaction, on disk
/// when the call returns.
pub trait Store: Send + Sync + 'static {
    /// Counts a run of Windlass with this store, and returns the number of runs before.
    fn count_run(&self) -> Result<u64, StoreError>;

    /// Returns all workloads, ordered by key.
    fn load(&self) -> Result<Vec<StoredWorkload>, StoreError>;

    /// Stores the desired state of a new or changed workload, and its target.
    fn save_workload(&self, workload: &Workload, target: u32) -> Result<(), StoreError>;

    /// Deletes a workload with its history, holds and decisions.
    fn delete_workload(&self, key: &WorkloadKey) -> Result<(), StoreError>;

    /// Replaces the set of replicas stopped by an operator.
    fn save_held(&self, key: &WorkloadKey, held: &[ContainerId]) -> Result<(), StoreError>;

    /// Stores the result of a pass in one transaction: the history with the target (if the workload still exists), and
    /// the decision if there is one to record. Returns the number of the decision.
    ///
    /// Keeps the newest decisions of a workload, up to the number and the bytes the store was opened with. If a budget
    /// is spent, a decision is stored without its large parts, and memories of policies once a minute. `now` is the time
    /// of the pass.
    fn save_pass(
        &self,
        key: &WorkloadKey,
        history: &History,
        decision: Option<&NewDecision>,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError>;

    /// Replaces the comparisons with shadow policies; once a minute if a budget is spent. Adds their latest results to a
    /// recorded decision, as its `shadows`, if that decision is still kept.
    fn save_shadows(
        &self,
        key: &WorkloadKey,
        shadows: &[ShadowComparison],
        decision: Option<(i64, &serde_json::Value)>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Applies changes to stored samples, in order. Changes for deleted workloads are ignored. All samples older than
    /// `oldest` are dropped.
    fn save_samples(&self, changes: &[SeriesChanges], oldest: Timestamp) -> Result<(), StoreError>;

    /// Returns one decision by its number. `None` if it is not kept, or never existed.
    fn decision(&self, id: i64) -> Result<Option<StoredDecision>, StoreError>;

    /// Returns decisions of a workload, newest first. Reading does not hold up writing.
    fn decisions(&self, key: &WorkloadKey, query: &DecisionQuery) -> Result<DecisionPage, StoreError>;

    /// Returns the numbers of the last decision before a time, for a chart.
    fn decision_before(&self, key: &WorkloadKey, at: Timestamp) -> Result<Option<DecisionPoint>, StoreError>;

    /// Returns the numbers of at most `most` decisions of the steps, oldest first, that have a higher number than `after`.
    fn decision_points(
        &self,
        key: &WorkloadKey,
        steps: &Steps,
        after: i64,
        most: u32,
    ) -> Result<Vec<DecisionPoint>, StoreError>;

    /// Returns the samples of a metric by step, and the last one before the steps.
    fn sample_points(&self, key: &WorkloadKey, name: &str, steps: &Steps) -> Result<SamplePoints, StoreError>;

    /// Returns the bands that overlap the steps, oldest first: at most the newest 1,000 of the workload.
    fn bands(&self, key: &WorkloadKey, steps: &Steps) -> Result<Vec<Band>, StoreError>;

    /// Stores bands that began or ended. A band of the same kind and beginning is replaced.
    fn save_bands(&self, key: &WorkloadKey, bands: &[Band]) -> Result<(), StoreError>;

    /// Returns the size of the store.
    fn size(&self) -> Result<StoreSize, StoreError>;
}

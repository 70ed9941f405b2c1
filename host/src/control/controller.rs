//! Wakes workloads, one pass at a time for each, many side by side.

use super::report::{PassReport, Readiness, WorkloadView};
use crate::model::workload::Bounds;
use crate::model::{Replica, Workload, WorkloadKey};
use crate::store::DecisionRecord;
use std::sync::Arc;

/// Why an operator's wish was not met. Each maps to one status of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// 404: no workload has this key.
    #[error("image `{0}` was never started")]
    NoSuchWorkload(String),
    /// 404: no container of this instance has this name or identifier.
    #[error("Container '{0}' not found")]
    NoSuchContainer(String),
    /// 409: it contradicts what is there; the text says what to do.
    #[error("{0}")]
    Conflict(String),
    /// 400: the engine refused; the text is its own.
    #[error("{0}")]
    Refused(String),
    /// 500: a start that brought nothing up; the text says why.
    #[error("{0}")]
    StartFailed(String),
    /// 503: the engine does not answer.
    #[error("{0}")]
    EngineUnavailable(String),
    /// 503: Windlass is shutting down.
    #[error("windlass is shutting down")]
    ShuttingDown,
    /// 500: the store failed; the text goes to the log only.
    #[error("the store failed")]
    Store(String),
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Whether a replica was created; else one was there.
    pub created: bool,
    /// The replica to show: the newest created, or the oldest kept.
    pub replica: Replica,
    /// The pass that answered it.
    pub pass: PassReport,
}

/// The control loop, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    inner: Arc<()>,
}

impl Controller {
    /// Stores the desired state (bounds, env… of an existing workload are replaced; its target moves
    /// into the new bounds) and answers after the pass it woke.
    pub async fn start(&self, workload: Workload) -> Result<Started, ControlError> {
        todo!()
    }

    /// Changes the bounds and answers with the pass it woke.
    pub async fn scale(&self, key: &WorkloadKey, bounds: Bounds) -> Result<PassReport, ControlError> {
        todo!()
    }

    /// Answers with the pass it woke.
    pub async fn reconcile(&self, key: &WorkloadKey) -> Result<PassReport, ControlError> {
        todo!()
    }

    /// Stops and removes every replica of the workload, then forgets it. Returns what was removed.
    pub async fn delete(&self, key: &WorkloadKey) -> Result<Vec<Replica>, ControlError> {
        todo!()
    }

    /// Stops a container and holds it: it is neither counted nor restarted until it is released.
    /// `name_or_id`: its name, its identifier, or 12 and more characters the identifier begins with.
    pub async fn hold(&self, name_or_id: &str) -> Result<Replica, ControlError> {
        todo!()
    }

    /// Starts a container again and counts it: the target rises by one within the bounds.
    pub async fn release(&self, name_or_id: &str) -> Result<Replica, ControlError> {
        todo!()
    }

    /// Removes a container; one that runs only with `force`. The next pass replaces it if it counted.
    pub async fn remove(&self, name_or_id: &str, force: bool) -> Result<Replica, ControlError> {
        todo!()
    }

    /// Every workload as it is known now, in the order of keys.
    pub fn views(&self) -> Vec<WorkloadView> {
        todo!()
    }

    /// One workload as it is known now.
    pub fn view(&self, key: &WorkloadKey) -> Option<WorkloadView> {
        todo!()
    }

    /// Replicas of this instance whose workload is not known (its data directory was lost).
    pub fn orphans(&self) -> Vec<Replica> {
        todo!()
    }

    /// The newest decisions of a workload, newest first.
    pub async fn decisions(&self, key: &WorkloadKey, limit: u32) -> Result<Vec<DecisionRecord>, ControlError> {
        todo!()
    }

    /// Whether Windlass can do its work.
    pub fn readiness(&self) -> Readiness {
        todo!()
    }
}

#[cfg(test)]
impl Controller {
    /// A controller of nothing, for the API's tests that end before it is asked.
    pub(crate) fn detached() -> Self {
        Self { inner: Arc::new(()) }
    }
}

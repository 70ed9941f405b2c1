//! The generation of a workload and its rollout, in answers.

use crate::json::time::Time;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_control::WorkloadView;
use windlass_core::AlertKind;

/// The generation of a workload, and how far its replicas are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RolloutView {
    /// The current generation: a hash of everything that containers are made from. Absent for an adopted workload, whose
    /// containers are made from its service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<String>,
    /// The generation to which `POST /workloads/{name}/rollback` returns; null if there is none, or the workload is
    /// adopted.
    pub(crate) previous: Option<String>,
    /// `done`: every replica is up to date. `rolling`: outdated ones are being replaced. `paused`: too many new ones failed
    /// in a row. `waiting`: nothing replaces the outdated ones until a person acts.
    pub(crate) state: &'static str,
    /// New replicas that failed in a row.
    pub(crate) failures: u32,
    /// Why the last one failed; null if none did.
    pub(crate) last_failure: Option<String>,
    /// When the rollout paused; null if it is not paused.
    pub(crate) paused_since: Option<Time>,
}

impl From<&WorkloadView> for RolloutView {
    fn from(view: &WorkloadView) -> Self {
        let is_managed = !view.workload.declaration.is_adopted();
        let rollout = view.rollout.as_ref();
        let paused = rollout.and_then(|rollout| rollout.paused);
        let waits = view.alerts.iter().any(|alert| alert.kind == AlertKind::Outdated);
        let state = match () {
            () if paused.is_some() => "paused",
            () if waits => "waiting",
            () if rollout.is_some() || !view.outdated.is_empty() => "rolling",
            () => "done",
        };
        Self {
            generation: is_managed.then(|| view.workload.generation().to_string()),
            previous: view.workload.previous.as_ref().map(|previous| previous.generation().to_string()),
            state,
            failures: rollout.map_or(0, |rollout| rollout.failures),
            last_failure: rollout.map(|rollout| rollout.last_failure.clone()).filter(|why| !why.is_empty()),
            paused_since: paused.map(Time),
        }
    }
}

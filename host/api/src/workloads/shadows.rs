//! `GET /workloads/{name}/shadows`.

use crate::ApiState;
use crate::error::Problem;
use crate::json::time::Time;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workloads::lookup::known;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use windlass_control::WorkloadView;
use windlass_core::{Difference, ShadowComparison};

/// Answer of `GET /workloads/{name}/shadows`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ImageShadows {
    /// The image.
    image: String,
    /// Every shadow policy of the newest round: candidates first, then those that the workload names.
    shadows: Vec<ShadowView>,
}

/// The answers of one shadow policy, compared with those of the active policy.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ShadowView {
    /// `scaling` or `health`.
    kind: String,
    /// The name under which it is registered.
    name: String,
    /// Its version.
    version: String,
    /// Digest of the component.
    digest: String,
    /// Number of its revision; 0 if it is built in.
    revision: u32,
    /// Its configuration.
    config: Value,
    /// When it was first called.
    since: Time,
    /// `since` in milliseconds since the Unix epoch; deprecated.
    since_ms: u64,
    /// When it was last called.
    last_at: Time,
    /// `last_at` in milliseconds since the Unix epoch; deprecated.
    last_at_ms: u64,
    /// Number of calls.
    calls: u64,
    /// Number of answers that differed from the active policy's.
    differed: u64,
    /// Number of calls without an answer.
    failed: u64,
    /// Number of passes without a call, because the call for an earlier pass was still running.
    skipped: u64,
    /// The differences, newest first.
    differences: Vec<DifferenceView>,
}

/// A series of passes in which a shadow policy differed in the same way.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DifferenceView {
    /// The first pass.
    first_at: Time,
    /// `first_at` in milliseconds since the Unix epoch; deprecated.
    first_at_ms: u64,
    /// The last pass.
    last_at: Time,
    /// `last_at` in milliseconds since the Unix epoch; deprecated.
    last_at_ms: u64,
    /// Number of passes.
    times: u64,
    /// The decision of the first pass; null if none was recorded.
    decision: Option<i64>,
    /// The answer of the active policy: `{"replicas", "reason"}`, `{"assessments": […]}` of the replicas that differ, or
    /// `{"unavailable": {"kind", "reason"}}`.
    #[schema(value_type = Object)]
    acting: Value,
    /// The answer of the shadow policy, in the same form.
    #[schema(value_type = Object)]
    shadow: Value,
}

impl From<&WorkloadView> for ImageShadows {
    fn from(view: &WorkloadView) -> Self {
        Self { image: view.workload.image.to_string(), shadows: view.shadows.iter().map(ShadowView::from).collect() }
    }
}

impl From<&ShadowComparison> for ShadowView {
    fn from(comparison: &ShadowComparison) -> Self {
        Self {
            kind: comparison.kind.to_string(),
            name: comparison.policy.name.clone(),
            version: comparison.policy.version.clone(),
            digest: comparison.policy.digest.clone(),
            revision: comparison.policy.revision,
            config: serde_json::from_str(&comparison.config).unwrap_or_default(),
            since: Time(comparison.since),
            since_ms: comparison.since.0,
            last_at: Time(comparison.last_at),
            last_at_ms: comparison.last_at.0,
            calls: comparison.calls,
            differed: comparison.differed,
            failed: comparison.failed,
            skipped: comparison.skipped,
            differences: comparison.differences.iter().rev().map(DifferenceView::from).collect(),
        }
    }
}

impl From<&Difference> for DifferenceView {
    fn from(difference: &Difference) -> Self {
        Self {
            first_at: Time(difference.first_at),
            first_at_ms: difference.first_at.0,
            last_at: Time(difference.last_at),
            last_at_ms: difference.last_at.0,
            times: difference.times,
            decision: difference.decision,
            acting: difference.acting.clone(),
            shadow: difference.shadow.clone(),
        }
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Compare the answers of a workload's shadow policies with those of the active policies";
    Operation::new(summary, shadows).answer::<ImageShadows>().errors(&[404])
}

async fn shadows(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
) -> Result<Json<ImageShadows>, Problem> {
    Ok(Json(ImageShadows::from(&known(&state, &key)?)))
}

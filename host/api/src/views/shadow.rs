//! The answer of `GET /images/{image}/shadows`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use windlass_control::WorkloadView;
use windlass_core::{Difference, ShadowComparison};

/// Answer of `GET /images/{image}/shadows`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ImageShadows {
    /// The image.
    pub image: String,
    /// Every shadow that was asked in the newest round: candidates first, then those the workload names.
    pub shadows: Vec<ShadowView>,
}

/// What one shadow would have said.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ShadowView {
    /// `scaling` or `health`.
    pub kind: String,
    /// Name it is registered under.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of what was compiled.
    pub digest: String,
    /// Number of its revision; 0: it is built in.
    pub revision: u32,
    /// What it is told.
    pub config: Value,
    /// When it was first asked.
    pub since: u64,
    /// When it was last asked.
    pub last_at: u64,
    /// How often it was asked.
    pub calls: u64,
    /// How often its answer was another than the acting policy's.
    pub differed: u64,
    /// How often it gave no answer.
    pub failed: u64,
    /// Passes it was not asked about, since it was still busy with an earlier one.
    pub skipped: u64,
    /// Where it differed, newest first.
    pub differences: Vec<DifferenceView>,
}

/// A stretch of passes in which a shadow differed in the same way.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DifferenceView {
    /// The first of them.
    pub first_at: u64,
    /// The last of them.
    pub last_at: u64,
    /// How many.
    pub times: u64,
    /// The decision of the first, where one was recorded.
    pub decision: Option<i64>,
    /// What the acting policy answered: `{"replicas", "reason"}`, `{"assessments": […]}` of the replicas it is about,
    /// or `{"unavailable": {"kind", "reason"}}`.
    #[schema(value_type = Object)]
    pub acting: Value,
    /// What the shadow answered, in the same form.
    #[schema(value_type = Object)]
    pub shadow: Value,
}

impl From<&WorkloadView> for ImageShadows {
    fn from(view: &WorkloadView) -> Self {
        Self { image: view.workload.image.to_string(), shadows: view.shadows.iter().map(ShadowView::from).collect() }
    }
}

impl From<&ShadowComparison> for ShadowView {
    fn from(tally: &ShadowComparison) -> Self {
        Self {
            kind: tally.kind.to_string(),
            name: tally.policy.name.clone(),
            version: tally.policy.version.clone(),
            digest: tally.policy.digest.clone(),
            revision: tally.policy.revision,
            config: serde_json::from_str(&tally.config).unwrap_or_default(),
            since: tally.since.0,
            last_at: tally.last_at.0,
            calls: tally.calls,
            differed: tally.differed,
            failed: tally.failed,
            skipped: tally.skipped,
            differences: tally.differences.iter().rev().map(DifferenceView::from).collect(),
        }
    }
}

impl From<&Difference> for DifferenceView {
    fn from(difference: &Difference) -> Self {
        Self {
            first_at: difference.first_at.0,
            last_at: difference.last_at.0,
            times: difference.times,
            decision: difference.decision,
            acting: difference.acting.clone(),
            shadow: difference.shadow.clone(),
        }
    }
}

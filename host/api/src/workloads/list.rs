//! `GET /workloads`.

use crate::ApiState;
use crate::access::Caller;
use crate::operation::Operation;
use crate::query::NoQuery;
use crate::workload::overrides;
use crate::workloads::declaration::DeclarationView;
use crate::workloads::images::DesiredBounds;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use windlass_control::{RefusedService, WorkloadBrief};
use windlass_core::workload::Mode;

/// Answer of `GET /workloads`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkloadList {
    /// Every workload, ordered by name.
    workloads: Vec<WorkloadSummary>,
    /// The services whose labels ask Windlass to scale them, and which it leaves alone, ordered by name.
    refused: Vec<RefusedView>,
}

/// One workload in `GET /workloads`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct WorkloadSummary {
    /// The name by which it is addressed: of a managed workload without a name, its image.
    name: String,
    /// The image.
    image: String,
    /// The place where it is declared.
    #[serde(flatten)]
    declaration: DeclarationView,
    /// The bounds of the number of replicas.
    #[serde(flatten)]
    bounds: DesiredBounds,
    /// The current target count, within the bounds.
    target: u32,
    /// Number of replicas that are neither held nor being removed.
    replicas: u32,
    /// Number of replicas that are ready for requests.
    ready: usize,
    /// `act`, or `recommend`: plans are recorded and not executed.
    #[schema(value_type = String)]
    mode: Mode,
    /// The operator's instructions that take precedence over the policy: `paused`, `freeze_scale_up`,
    /// `freeze_scale_down` and `force`. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    overrides: Option<Value>,
}

/// A service that is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RefusedView {
    /// The name that its workload would have.
    name: String,
    /// The place where it is declared.
    #[serde(flatten)]
    declaration: DeclarationView,
    /// Why it is left alone, in one sentence.
    reason: String,
}

impl From<&WorkloadBrief> for WorkloadSummary {
    fn from(brief: &WorkloadBrief) -> Self {
        Self {
            name: brief.key.to_string(),
            image: brief.image.to_string(),
            declaration: (&brief.declaration).into(),
            bounds: brief.bounds.into(),
            target: brief.target,
            replicas: brief.counted,
            ready: brief.ready,
            mode: brief.mode,
            overrides: brief.overrides.is_anything().then(|| overrides::json_of(&brief.overrides)),
        }
    }
}

impl From<&RefusedService> for RefusedView {
    fn from(service: &RefusedService) -> Self {
        Self {
            name: service.key.to_string(),
            declaration: (&service.declaration).into(),
            reason: service.reason.clone(),
        }
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "List every workload, and the services that are left alone with the reason";
    Operation::new(summary, list).answer::<WorkloadList>()
}

async fn list(
    State(state): State<ApiState>,
    Extension(Caller { scope, .. }): Extension<Caller>,
    _: NoQuery,
) -> Json<WorkloadList> {
    let (mut briefs, mut refused) = (state.controller.briefs(), state.controller.refused_services());
    briefs.retain(|brief| scope.includes(&brief.key));
    refused.retain(|service| scope.includes(&service.key));
    Json(WorkloadList {
        workloads: briefs.iter().map(WorkloadSummary::from).collect(),
        refused: refused.iter().map(RefusedView::from).collect(),
    })
}

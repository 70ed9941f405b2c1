//! The result of a pass in answers: its actions, its deferrals and the answers of its policies.

use crate::ApiState;
use crate::containers::summary::ContainerSummary;
use crate::error::Problem;
use crate::json::time::Time;
use crate::workloads::images::DesiredBounds;
use crate::workloads::lookup::known;
use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windlass_control::report::PolicyReport;
use windlass_control::{Action, ActionKind, PassReport, WorkloadView};
use windlass_core::{Deferral, Replica, WorkloadKey};

/// Answer of `POST /workloads/{name}/scale` and `…/reconcile`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReconcileAnswer {
    /// Always true: the pass was made. Each action says whether it succeeded.
    pub(crate) ok: bool,
    /// The image.
    pub(crate) image: String,
    /// The bounds of the number of replicas.
    pub(crate) desired: DesiredBounds,
    /// The actions of the pass, in the order in which they ended.
    pub(crate) actions: Vec<ActionView>,
    /// The containers after the pass, oldest first.
    pub(crate) current: Vec<ContainerSummary>,
}

impl ReconcileAnswer {
    /// The outcome of a pass, with the workload after it.
    pub(crate) fn of(pass: &PassReport, view: &WorkloadView) -> Self {
        Self {
            ok: true,
            image: view.workload.image.to_string(),
            desired: view.workload.bounds.into(),
            actions: pass.actions.iter().map(|action| ActionView::of(action, &view.replicas)).collect(),
            current: view.replicas.iter().map(ContainerSummary::from).collect(),
        }
    }
}

/// The answer for a pass.
///
/// # Errors
/// 503 if the pass could not observe the engine and so did nothing.
pub(crate) fn outcome(
    state: &ApiState,
    key: &WorkloadKey,
    pass: &PassReport,
) -> Result<Json<ReconcileAnswer>, Problem> {
    if let Some(error) = &pass.error {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.clone()));
    }
    let view = known(state, key)?;
    Ok(Json(ReconcileAnswer::of(pass, &view)))
}

/// One action of a pass.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ActionView {
    /// `create`, `remove`, `restart` or `start`; for a workload whose replicas a Swarm keeps, `set-count` or `deploy`.
    #[schema(value_type = String)]
    pub(crate) action: ActionKind,
    /// Whether it succeeded.
    pub(crate) ok: bool,
    /// The container; absent for a create, whose container is in `details`, and for an action on a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_id: Option<String>,
    /// The container's name; absent for a create and for an action on a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The container's summary if there is one, `reason`, and `error` if the action failed.
    pub(crate) details: Value,
}

impl ActionView {
    /// An action, with the current state of its container.
    fn of(action: &Action, replicas: &[Replica]) -> Self {
        let replica = action.container.as_ref().and_then(|id| replicas.iter().find(|replica| replica.id == *id));
        let mut details = match (action.kind, replica) {
            // A removed container has no state.
            (ActionKind::Remove, _) => json!({}),
            (_, Some(replica)) => json!(ContainerSummary::from(replica)),
            (ActionKind::Create, None) => match &action.container {
                Some(id) => json!({"container_id": id, "name": action.name}),
                None => json!({}),
            },
            (_, None) => json!({}),
        };
        details["reason"] = json!(action.reason);
        if let Some(error) = &action.error {
            details["error"] = json!(error);
        }
        let existed = !matches!(action.kind, ActionKind::Create | ActionKind::SetCount | ActionKind::Deploy);
        Self {
            action: action.kind,
            ok: action.error.is_none(),
            container_id: action.container.as_ref().filter(|_| existed).map(ToString::to_string),
            name: Some(action.name.clone()).filter(|_| existed),
            details,
        }
    }
}

/// The answer of one policy in a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PolicyAnswerView {
    /// The name under which it is registered.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Digest of the component.
    pub(crate) digest: String,
    /// Number of its revision; 0 if it is built in.
    pub(crate) revision: u32,
    /// The chosen policy, if none of its revisions is active and this built-in policy replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stands_in_for: Option<String>,
    /// Why it gave no answer; null if it answered.
    pub(crate) unavailable: Option<UnavailableView>,
}

/// Why a policy gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct UnavailableView {
    /// `trap`, `time`, `memory`, `output`, `link`, `refused`, `insufficient-data` or `busy`.
    pub(crate) kind: String,
    /// One sentence.
    pub(crate) reason: String,
}

impl From<&PolicyReport> for PolicyAnswerView {
    fn from(report: &PolicyReport) -> Self {
        Self {
            name: report.policy.name.clone(),
            version: report.policy.version.clone(),
            digest: report.policy.digest.clone(),
            revision: report.policy.revision,
            stands_in_for: report.policy.stands_in_for.clone(),
            unavailable: report
                .unavailable
                .as_ref()
                .map(|failure| UnavailableView { kind: failure.kind.to_string(), reason: failure.reason.clone() }),
        }
    }
}

/// An action that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeferralView {
    /// The slot of the replica in its workload.
    pub(crate) slot: u32,
    /// When it is due.
    pub(crate) until: Time,
    /// `until` in milliseconds since the Unix epoch; deprecated.
    pub(crate) until_ms: u64,
    /// The action, and why it waits.
    pub(crate) reason: String,
}

impl From<&Deferral> for DeferralView {
    fn from(deferral: &Deferral) -> Self {
        Self {
            slot: deferral.slot.0,
            until: Time(deferral.until),
            until_ms: deferral.until.0,
            reason: deferral.reason.clone(),
        }
    }
}

/// One pass.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PassView {
    /// When it observed the engine.
    pub(crate) at: Time,
    /// `at` in milliseconds since the Unix epoch; deprecated.
    pub(crate) at_ms: u64,
    /// When it ended.
    pub(crate) finished_at: Time,
    /// `finished_at` in milliseconds since the Unix epoch; deprecated.
    pub(crate) finished_at_ms: u64,
    /// Why the count is as it is, or why the pass could not be made.
    pub(crate) reason: String,
    /// Why the engine could not be observed; null if it was.
    pub(crate) error: Option<String>,
    /// Number of its decision in `GET /workloads/{name}/decisions`; null if none was recorded.
    pub(crate) decision: Option<i64>,
    /// The answer of the health policy.
    pub(crate) health_policy: Option<PolicyAnswerView>,
    /// The answer of the scaling policy.
    pub(crate) scaling_policy: Option<PolicyAnswerView>,
    /// The actions, in the order in which they ended.
    pub(crate) actions: Vec<ActionView>,
    /// Actions that wait, for a backoff or for the limit on concurrent repairs.
    pub(crate) deferred: Vec<DeferralView>,
    /// The recommended plan: `{"target", "steps"}`; null if the workload's mode is `act`.
    pub(crate) recommended: Option<Value>,
}

impl PassView {
    /// A pass, with the current state of the containers.
    pub(crate) fn of(pass: &PassReport, replicas: &[Replica]) -> Self {
        Self {
            at: Time(pass.at),
            at_ms: pass.at.0,
            finished_at: Time(pass.finished_at),
            finished_at_ms: pass.finished_at.0,
            reason: pass.reason.clone(),
            error: pass.error.clone(),
            decision: pass.decision,
            health_policy: pass.health_policy.as_ref().map(PolicyAnswerView::from),
            scaling_policy: pass.scaling_policy.as_ref().map(PolicyAnswerView::from),
            actions: pass.actions.iter().map(|action| ActionView::of(action, replicas)).collect(),
            deferred: pass.deferred.iter().map(DeferralView::from).collect(),
            recommended: pass.recommended.as_ref().map(|recommended| json!(recommended)),
        }
    }
}

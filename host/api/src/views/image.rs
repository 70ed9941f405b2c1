//! The answer of `GET /images/{image}`: one workload in full.

use crate::metrics::shown;
use crate::views::{ActionView, ContainerSummary, DesiredBounds, ImageSummary, ResourcesView};
use crate::{guardrails, probe, stop_hook};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_control::report::PolicyReport;
use windlass_control::{PassReport, WorkloadView};
use windlass_core::contract::HealthStatus;
use windlass_core::workload::Mode;
use windlass_core::{Alert, AlertKind, Deferral, Phase, PolicyChoice, Replica};

/// A container as `GET /images/{image}` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReplicaView {
    /// The container.
    #[serde(flatten)]
    pub summary: ContainerSummary,
    /// Where it is in its life: `starting`, `running`, `stopping`, `exited`, or `held` (stopped by an operator).
    #[schema(value_type = String)]
    pub phase: Phase,
    /// What the health policy last said: `unknown`, `starting`, `healthy`, `degraded` or `unhealthy`.
    #[schema(value_type = String)]
    pub health: HealthStatus,
    /// Why it said so.
    pub health_reason: Option<String>,
    /// When it was created.
    pub created_at: u64,
    /// When its process last started.
    pub started_at: Option<u64>,
    /// When its process last ended.
    pub finished_at: Option<u64>,
    /// Exit code of the last process to end.
    pub exit_code: Option<i32>,
    /// The kernel killed the last process for memory.
    pub out_of_memory: bool,
    /// Its label or an operator protects it from a policy that wants fewer.
    pub scale_in_protection: bool,
}

/// How one policy answered in a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyAnswerView {
    /// Name it is registered under.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of what was compiled.
    pub digest: String,
    /// Number of its revision; 0: it is built in.
    pub revision: u32,
    /// The policy that was chosen and none of whose revisions acts, where this built-in one answers in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<String>,
    /// Why it gave no answer; null: it answered.
    pub unavailable: Option<UnavailableView>,
}

/// Why a policy gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnavailableView {
    /// `trap`, `time`, `memory`, `output`, `link`, `refused`, `insufficient-data` or `busy`.
    pub kind: String,
    /// One sentence.
    pub reason: String,
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

/// One pass.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PassView {
    /// When it looked.
    pub at: u64,
    /// When it was done.
    pub finished_at: u64,
    /// Why the count is what it is, or why the pass could not be made.
    pub reason: String,
    /// Why the engine could not be looked at; null: it was.
    pub error: Option<String>,
    /// Number of its decision in `GET /images/{image}/decisions`; null where none was made.
    pub decision: Option<i64>,
    /// How the health policy answered.
    pub health_policy: Option<PolicyAnswerView>,
    /// How the scaling policy answered.
    pub scaling_policy: Option<PolicyAnswerView>,
    /// What was done, in the order it ended.
    pub actions: Vec<ActionView>,
    /// What waits, for backoff or for the cap on healing.
    pub deferred: Vec<DeferralView>,
    /// What would have been done: `{"target", "steps"}`; null: the workload's mode is to act.
    pub recommended: Option<Value>,
}

/// Something that is to be done, and not yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeferralView {
    /// The place of the replica in its workload.
    pub slot: u32,
    /// When it is due.
    pub until: u64,
    /// What, and why it waits.
    pub reason: String,
}

impl From<&Deferral> for DeferralView {
    fn from(deferral: &Deferral) -> Self {
        Self { slot: deferral.slot.0, until: deferral.until.0, reason: deferral.reason.clone() }
    }
}

impl PassView {
    fn of(pass: &PassReport, replicas: &[Replica]) -> Self {
        Self {
            at: pass.at.0,
            finished_at: pass.finished_at.0,
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

/// What was asked for, in `GET /images/{image}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DesiredView {
    /// How many replicas are wanted.
    #[serde(flatten)]
    pub bounds: DesiredBounds,
    /// The count steered to now, within the bounds.
    pub target: u32,
    /// Environment of each replica.
    pub env: BTreeMap<String, String>,
    /// `80/tcp` → port on the host, 0 for any free one.
    pub ports: BTreeMap<String, u16>,
    /// What each replica may use.
    pub resources: ResourcesView,
    /// Labels of each replica.
    pub labels: BTreeMap<String, String>,
    /// Networks each replica joins; empty: the engine's default.
    pub networks: Vec<String>,
    /// How it is asked whether a replica answers, in the form of the start request; durations in seconds. Null: by the
    /// image's own HEALTHCHECK, if it has one.
    pub probe: Option<Value>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Says how many; a list of several, null: the default.
    pub scaling_policy: Option<Value>,
    /// Says who is well; null: the default.
    pub health_policy: Option<Value>,
    /// Asked beside them, and only written down.
    pub shadow_policies: Vec<Value>,
    /// What is measured of it besides what every workload has, in the form of the start request; durations in seconds.
    pub metrics: BTreeMap<String, Value>,
    /// How fast the count may follow what is proposed, in the form of the start request; durations in seconds.
    #[schema(value_type = Object)]
    pub guardrails: Value,
    /// What a replica is told before it is stopped, in the form of the start request; durations in seconds.
    pub stop_hook: Option<Value>,
    /// Workloads that must be up for this one.
    pub depends_on: Vec<String>,
    /// What an operator says over the policy: `paused`, `freeze_scale_up`, `freeze_scale_down`, and `force`, null or
    /// `{"replicas", "until"}`.
    #[schema(value_type = Object)]
    pub overrides: Value,
    /// `act`, or `recommend`: what would be done is recorded, and nothing is done.
    #[schema(value_type = String)]
    pub mode: Mode,
}

/// What runs, in `GET /images/{image}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ObservedView {
    /// Containers that count: all but the held ones.
    pub replicas: usize,
    /// Of those, how many run.
    pub running: usize,
    /// Containers stopped by an operator.
    pub held: usize,
    /// Names of containers that somebody stopped through the engine: they are left so until somebody starts or removes
    /// them, or resumes scaling.
    pub stopped_outside: Vec<String>,
    /// Every container, oldest first.
    pub containers: Vec<ReplicaView>,
}

/// Answer of `GET /images/{image}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ImageView {
    /// The image.
    pub image: String,
    /// The name it is addressed by, where its body gave it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was asked for.
    pub desired: DesiredView,
    /// What runs, as last seen.
    pub observed: ObservedView,
    /// What a person should look into; usually nothing.
    pub alerts: Vec<AlertView>,
    /// The last pass; null before the first.
    pub last_pass: Option<PassView>,
}

/// What a person should look into, as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlertView {
    /// `given-up`: a slot was healed too often in a row and is left as it is. `probe-path`: most replicas fail their
    /// probe at once, so that the path to them is suspected.
    #[schema(value_type = String)]
    pub kind: AlertKind,
    /// Since when.
    pub since: u64,
    /// The place of the replica in its workload; null: it is about the whole workload.
    pub slot: Option<u32>,
    /// The container there; null: there is none, or it is about the whole workload.
    pub container_id: Option<String>,
    /// One sentence.
    pub reason: String,
}

impl From<&Alert> for AlertView {
    fn from(alert: &Alert) -> Self {
        Self {
            kind: alert.kind,
            since: alert.since.0,
            slot: alert.slot.map(|slot| slot.0),
            container_id: alert.replica.as_ref().map(ToString::to_string),
            reason: alert.reason.clone(),
        }
    }
}

impl From<&WorkloadView> for ImageView {
    fn from(view: &WorkloadView) -> Self {
        let ImageSummary { image, name, bounds, env, ports, resources, .. } = ImageSummary::from(&view.workload);
        let workload = &view.workload;
        let is_held = |replica: &Replica| view.held.contains(&replica.id);
        let held = view.replicas.iter().filter(|replica| is_held(replica)).count();
        let containers = view.replicas.iter().map(|replica| ReplicaView {
            summary: replica.into(),
            phase: replica.phase,
            health: view.health.get(&replica.id).copied().unwrap_or_default(),
            health_reason: view.health_reasons.get(&replica.id).cloned(),
            created_at: replica.created_at.0,
            started_at: replica.started_at.map(|at| at.0),
            finished_at: replica.finished_at.map(|at| at.0),
            exit_code: replica.exit_code,
            out_of_memory: replica.out_of_memory,
            scale_in_protection: replica.is_protected || view.protected.contains(&replica.id),
        });
        Self {
            image,
            name,
            desired: DesiredView {
                bounds,
                target: view.target,
                env,
                ports,
                resources,
                labels: workload.labels.clone(),
                networks: workload.networks.clone(),
                probe: workload.probe.as_ref().map(probe::shown),
                command: workload.command.clone(),
                scaling_policy: scaling(&workload.policies.scaling),
                health_policy: workload.policies.health.as_ref().map(choice),
                shadow_policies: workload.policies.shadows.iter().map(choice).collect(),
                metrics: workload.metrics.iter().map(|(name, metric)| (name.clone(), shown(metric))).collect(),
                guardrails: guardrails::shown(&workload.guardrails.clone().unwrap_or_default()),
                stop_hook: workload.stop_hook.as_ref().map(stop_hook::shown),
                depends_on: workload.depends_on.iter().map(ToString::to_string).collect(),
                overrides: json!(workload.overrides),
                mode: workload.policies.mode.unwrap_or_default(),
            },
            observed: ObservedView {
                replicas: view.replicas.len() - held,
                running: view.replicas.iter().filter(|replica| !is_held(replica) && replica.is_alive()).count(),
                held,
                stopped_outside: (view.replicas.iter())
                    .filter(|replica| view.stopped_outside.contains(&replica.id))
                    .map(|replica| replica.name.clone())
                    .collect(),
                containers: containers.collect(),
            },
            alerts: view.alerts.iter().map(AlertView::from).collect(),
            last_pass: view.last_pass.as_ref().map(|pass| PassView::of(pass, &view.replicas)),
        }
    }
}

/// The scaling policies in the form of the start request: one alone, several as a list.
fn scaling(choices: &[PolicyChoice]) -> Option<Value> {
    match choices {
        [] => None,
        [one] => Some(choice(one)),
        several => Some(several.iter().map(choice).collect()),
    }
}

/// A choice of policy in the form of the start request.
fn choice(choice: &PolicyChoice) -> Value {
    // It was JSON when it was accepted.
    let config: Value = serde_json::from_str(&choice.config).unwrap_or_default();
    json!({"name": choice.name, "config": config})
}

//! One workload in full, the answer of `GET /workloads/{name}` and of every change to a workload.

use crate::containers::summary::ContainerSummary;
use crate::json::time::Time;
use crate::workload::policies::{choice_json, scaling_json};
use crate::workload::ports::PublishedView;
use crate::workload::resources::ResourcesView;
use crate::workload::{guardrails, metric, overrides, probe, rollout, stop_hook};
use crate::workloads::declaration::{DeclarationView, read_only};
use crate::workloads::images::{DesiredBounds, ImageSummary};
use crate::workloads::pass::PassView;
use crate::workloads::rollout::RolloutView;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_control::WorkloadView;
use windlass_core::contract::HealthStatus;
use windlass_core::workload::Mode;
use windlass_core::{Alert, AlertKind, Phase, Replica, Workload};

/// Answer of `GET /workloads/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ImageView {
    /// The image.
    pub(crate) image: String,
    /// The name by which it is addressed, if that is not its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The place where it is declared.
    #[serde(flatten)]
    pub(crate) declaration: DeclarationView,
    /// The fields of `desired` that labels of the service set, each with these labels. A request that would change one is
    /// answered with 409. Absent for a managed workload, of which no field is read-only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    pub(crate) read_only: BTreeMap<&'static str, &'static [&'static str]>,
    /// The desired state.
    pub(crate) desired: DesiredView,
    /// The replicas, as last observed.
    pub(crate) observed: ObservedView,
    /// The generation, and how far the replicas are.
    pub(crate) rollout: RolloutView,
    /// Conditions that need an operator; usually none.
    pub(crate) alerts: Vec<AlertView>,
    /// The last pass; null before the first.
    pub(crate) last_pass: Option<PassView>,
}

/// The desired state. `POST /start/container` accepts that of a managed workload unchanged, and changes nothing then. For an
/// adopted workload, the fields from which containers are made are absent, because its service has them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DesiredView {
    /// The image.
    pub(crate) image: String,
    /// The name by which it is addressed, if that is not its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The bounds of the number of replicas.
    #[serde(flatten)]
    pub(crate) bounds: DesiredBounds,
    /// The current target count, within the bounds. Read-only.
    pub(crate) target: u32,
    /// Environment of each replica. Absent for an adopted workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<BTreeMap<String, String>>,
    /// `80/tcp` → port on the host, 0 for any free port. Absent for an adopted workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<BTreeMap<String, PublishedView>>,
    /// Limits of each replica, and whether it runs. Absent for an adopted workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<ResourcesView>,
    /// Labels of each replica. Absent for an adopted workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// Networks that each replica joins; empty for the engine's default. Absent for an adopted workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) networks: Option<Vec<String>>,
    /// How Windlass checks whether a replica answers, in the form of `ProbeRequest`. Null: by the image's own
    /// HEALTHCHECK, if it has one.
    pub(crate) probe: Option<Value>,
    /// The command that replaces the image's own; null for the image's own. Absent for an adopted workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) command: Option<Value>,
    /// The scaling policy, or a list of several; null for the default.
    pub(crate) scaling_policy: Option<Value>,
    /// The health policy; null for the default.
    pub(crate) health_policy: Option<Value>,
    /// The shadow policies, whose answers are only recorded.
    pub(crate) shadow_policies: Vec<Value>,
    /// Its own metrics by name, each in the form of `MetricDefinition`.
    pub(crate) metrics: BTreeMap<String, Value>,
    /// How fast the count may follow the proposals, in the form of `GuardrailsRequest`.
    #[schema(value_type = Object)]
    pub(crate) guardrails: Value,
    /// The call to a replica before it is stopped, in the form of `StopHookRequest`; null if there is none.
    pub(crate) stop_hook: Option<Value>,
    /// Workloads that must be up for this one.
    pub(crate) depends_on: Vec<String>,
    /// How a changed specification reaches the replicas, in the form of `RolloutRequest`. Absent for an adopted workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub(crate) rollout: Option<Value>,
    /// The operator's instructions that take precedence over the policy, in the form of `OverridesRequest`. Read-only
    /// here; change them with `PATCH /workloads/{name}/overrides`.
    #[schema(value_type = Object)]
    pub(crate) overrides: Value,
    /// `act`, or `recommend`: plans are recorded and not executed.
    #[schema(value_type = String)]
    pub(crate) mode: Mode,
}

impl DesiredView {
    pub(crate) fn new(workload: &Workload, target: u32) -> Self {
        let ImageSummary { image, name, bounds, env, ports, resources, .. } = ImageSummary::from(workload);
        let is_managed = !workload.declaration.is_adopted();
        Self {
            image,
            name,
            bounds,
            target,
            env: is_managed.then_some(env),
            ports: is_managed.then_some(ports),
            resources: is_managed.then_some(resources),
            labels: is_managed.then(|| workload.labels.clone()),
            networks: is_managed.then(|| workload.networks.clone()),
            probe: workload.probe.as_ref().map(probe::json_of),
            command: is_managed.then(|| json!(workload.command)),
            scaling_policy: scaling_json(&workload.policies.scaling),
            health_policy: workload.policies.health.as_ref().map(choice_json),
            shadow_policies: workload.policies.shadows.iter().map(choice_json).collect(),
            metrics: workload.metrics.iter().map(|(name, metric)| (name.clone(), metric::json_of(metric))).collect(),
            guardrails: guardrails::json_of(&workload.guardrails.clone().unwrap_or_default()),
            stop_hook: workload.stop_hook.as_ref().map(stop_hook::json_of),
            depends_on: workload.depends_on.iter().map(ToString::to_string).collect(),
            rollout: is_managed.then(|| rollout::json_of(&workload.rollout)),
            overrides: overrides::json_of(&workload.overrides),
            mode: workload.policies.mode.unwrap_or_default(),
        }
    }
}

/// The replicas of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ObservedView {
    /// Number of containers that count: all except the held ones.
    pub(crate) replicas: usize,
    /// Number of those that run.
    pub(crate) running: usize,
    /// Number of containers stopped by an operator.
    pub(crate) held: usize,
    /// Number of containers that do not match the desired state, because they were made before it changed.
    pub(crate) outdated: usize,
    /// Names of containers that were stopped through the engine. They stay stopped until they are started or removed, or
    /// scaling is resumed.
    pub(crate) stopped_outside: Vec<String>,
    /// Every container, oldest first.
    pub(crate) containers: Vec<ReplicaView>,
    /// Containers with the labels of a replica that Windlass did not create, for example after `docker commit` and
    /// `docker run`. They are neither counted nor touched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) strangers: Vec<ContainerSummary>,
}

/// A container in `GET /workloads/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReplicaView {
    /// The container.
    #[serde(flatten)]
    pub(crate) summary: ContainerSummary,
    /// `starting`, `running`, `stopping`, `exited`, `held` (stopped by an operator), `paused` (through the engine),
    /// `restarting` (by a restart policy of the engine), `dead` (the engine failed to remove it), or `unknown` (the engine
    /// does not describe it).
    #[schema(value_type = String)]
    pub(crate) phase: Phase,
    /// The last assessment of the health policy: `unknown`, `starting`, `healthy`, `degraded` or `unhealthy`.
    #[schema(value_type = String)]
    pub(crate) health: HealthStatus,
    /// The reason of that assessment.
    pub(crate) health_reason: Option<String>,
    /// When it was created.
    pub(crate) created_at: Time,
    /// `created_at` in milliseconds since the Unix epoch; deprecated.
    pub(crate) created_at_ms: u64,
    /// When its process last started.
    pub(crate) started_at: Option<Time>,
    /// `started_at` in milliseconds since the Unix epoch; deprecated.
    pub(crate) started_at_ms: Option<u64>,
    /// When its process last ended.
    pub(crate) finished_at: Option<Time>,
    /// `finished_at` in milliseconds since the Unix epoch; deprecated.
    pub(crate) finished_at_ms: Option<u64>,
    /// Exit code of its last process that ended.
    pub(crate) exit_code: Option<i32>,
    /// Whether the kernel killed its last process because it used too much memory.
    pub(crate) out_of_memory: bool,
    /// The name of its node in a Swarm; null without a Swarm, and as long as the Swarm has found none.
    pub(crate) node: Option<String>,
    /// The generation that it was made from; null if an earlier version of Windlass created it.
    pub(crate) generation: Option<String>,
    /// The engine's identifier of its image.
    pub(crate) image_id: Option<String>,
    /// Whether it does not match the desired state, because it was made before that changed.
    pub(crate) outdated: bool,
    /// Whether its label or an operator protects it from a policy that lowers the count.
    pub(crate) scale_in_protection: bool,
}

/// A condition that needs an operator, as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AlertView {
    /// `given-up`: a slot was repaired too often in a row and is no longer repaired. `probe-path`: most replicas fail
    /// their probe at once, so the network path to them is probably broken. `blocked`: a slot cannot be filled for a
    /// reason outside of its replica, or the engine refuses to change the service. `unremovable`: the engine fails to remove a replica. `unknown`: the engine does not
    /// describe a replica. `stand-in`: a chosen policy fails, or has no revision that may act, and another policy takes
    /// its place. `crash-loop`: the engine restarts a replica again and again by a restart policy that Windlass
    /// did not set, or a Swarm does so by itself. `no-room`: a Swarm has found no node for a replica for a minute.
    /// `unhealthy`: the health policy would repair a replica that only a Swarm may repair. `rollout-paused`: too many new
    /// replicas failed in a row, or a Swarm paused its update of the service. `outdated`: replicas do not match the desired
    /// state, and nothing replaces them. `uncopyable`: the labels of a service of Compose allow more replicas, and no copy of
    /// its containers can be made.
    #[schema(value_type = String)]
    pub(crate) kind: AlertKind,
    /// When it began.
    pub(crate) since: Time,
    /// `since` in milliseconds since the Unix epoch; deprecated.
    pub(crate) since_ms: u64,
    /// The slot of the replica in its workload; null if the alert is about the whole workload.
    pub(crate) slot: Option<u32>,
    /// The container in that slot; null if there is none, or the alert is about the whole workload.
    pub(crate) container_id: Option<String>,
    /// One sentence.
    pub(crate) reason: String,
}

impl From<&Alert> for AlertView {
    fn from(alert: &Alert) -> Self {
        Self {
            kind: alert.kind,
            since: Time(alert.since),
            since_ms: alert.since.0,
            slot: alert.slot.map(|slot| slot.0),
            container_id: alert.replica.as_ref().map(ToString::to_string),
            reason: alert.reason.clone(),
        }
    }
}

impl From<&WorkloadView> for ImageView {
    fn from(view: &WorkloadView) -> Self {
        let desired = DesiredView::new(&view.workload, view.target);
        Self {
            image: desired.image.clone(),
            name: desired.name.clone(),
            declaration: (&view.workload.declaration).into(),
            read_only: read_only(&view.workload.declaration),
            desired,
            observed: ObservedView::from(view),
            rollout: RolloutView::from(view),
            alerts: view.alerts.iter().map(AlertView::from).collect(),
            last_pass: view.last_pass.as_ref().map(|pass| PassView::of(pass, &view.replicas)),
        }
    }
}

impl From<&WorkloadView> for ObservedView {
    fn from(view: &WorkloadView) -> Self {
        let is_held = |replica: &Replica| view.held.contains(&replica.id);
        let held = view.replicas.iter().filter(|replica| is_held(replica)).count();
        Self {
            replicas: view.replicas.len() - held,
            running: view.replicas.iter().filter(|replica| !is_held(replica) && replica.is_running()).count(),
            held,
            outdated: view.outdated.len(),
            stopped_outside: (view.replicas.iter())
                .filter(|replica| view.stopped_outside.contains(&replica.id))
                .map(|replica| replica.name.clone())
                .collect(),
            containers: view.replicas.iter().map(|replica| ReplicaView::of(replica, view)).collect(),
            strangers: view.strangers.iter().map(ContainerSummary::from).collect(),
        }
    }
}

impl ReplicaView {
    fn of(replica: &Replica, view: &WorkloadView) -> Self {
        Self {
            summary: replica.into(),
            phase: replica.phase,
            health: view.health.get(&replica.id).copied().unwrap_or_default(),
            health_reason: view.health_reasons.get(&replica.id).cloned(),
            created_at: Time(replica.created_at),
            created_at_ms: replica.created_at.0,
            started_at: replica.started_at.map(Time),
            started_at_ms: replica.started_at.map(|at| at.0),
            finished_at: replica.finished_at.map(Time),
            finished_at_ms: replica.finished_at.map(|at| at.0),
            exit_code: replica.exit_code,
            out_of_memory: replica.out_of_memory,
            node: replica.node.clone(),
            generation: replica.made_from.generation.as_ref().map(ToString::to_string),
            image_id: replica.made_from.image_id.clone(),
            outdated: view.outdated.contains(&replica.id),
            scale_in_protection: replica.is_protected || view.protected.contains(&replica.id),
        }
    }
}

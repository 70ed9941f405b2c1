//! What the API answers: one type for each shape, made from what the control loop published.
//!
//! Times are milliseconds since the Unix epoch, as in the contract with policies.

mod image;
mod policy;
mod shadow;
#[cfg(test)]
mod tests;

pub use crate::views::image::{
    AlertView, DesiredView, ImageView, ObservedView, PassView, PolicyAnswerView, ReplicaView, UnavailableView,
};
pub use crate::views::policy::{EventView, PolicyDetail, PolicyView, RevisionView};
pub use crate::views::shadow::{ImageShadows, ShadowView};

use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_control::{Action, ActionKind, PassReport, WorkloadView};
use windlass_core::contract::HealthStatus;
use windlass_core::workload::DesiredStatus;
use windlass_core::{PortBinding, Replica, Workload};

/// A port of the engine's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct HostBinding {
    /// Address on the host; `0.0.0.0` is every one.
    pub host_ip: String,
    /// Port on the host, as text.
    pub host_port: String,
}

impl From<&PortBinding> for HostBinding {
    fn from(binding: &PortBinding) -> Self {
        Self { host_ip: binding.host_ip.clone(), host_port: binding.host_port.to_string() }
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContainerSummary {
    /// The engine's whole identifier.
    pub container_id: String,
    /// Its name.
    pub name: String,
    /// The engine's word for its state: `running`, `exited`, `created`…
    pub status: String,
    /// `80/tcp` → where it is published; empty unless it runs.
    pub ports: BTreeMap<String, Vec<HostBinding>>,
}

impl From<&Replica> for ContainerSummary {
    fn from(replica: &Replica) -> Self {
        let ports = replica
            .ports
            .iter()
            .map(|(port, bindings)| (port.to_string(), bindings.iter().map(HostBinding::from).collect()))
            .collect();
        Self { container_id: replica.id.to_string(), name: replica.name.clone(), status: replica.status.clone(), ports }
    }
}

/// One container with its health.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ContainerHealth {
    /// The container.
    #[serde(flatten)]
    pub summary: ContainerSummary,
    /// Its process runs, and the health policy has not called it unhealthy.
    pub server_alive: bool,
    /// CPU in percent of one core, as `docker stats` shows it; null before the first sample.
    pub cpu_percent: Option<f64>,
    /// Memory without page cache in percent of the container's limit; null before the first sample.
    pub mem_percent: Option<f64>,
    /// Bytes free on the root file system of the machine Windlass runs on; null when it cannot be told.
    pub fs_free_bytes: Option<u64>,
}

impl ContainerHealth {
    /// The health of one replica. `memory_limit` and `fs_free_bytes` in bytes, where known.
    pub fn of(
        replica: &Replica,
        health: Option<HealthStatus>,
        memory_limit: Option<u64>,
        fs_free_bytes: Option<u64>,
    ) -> Self {
        // Usage of a process that has ended says nothing about now.
        let usage = replica.usage.filter(|_| replica.status == "running");
        #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
        let percent = |used: u64, limit: u64| used as f64 * 100.0 / limit as f64;
        Self {
            summary: replica.into(),
            server_alive: replica.is_alive() && health != Some(HealthStatus::Unhealthy),
            cpu_percent: usage.map(|usage| usage.cpu_cores * 100.0),
            mem_percent: usage.zip(memory_limit).map(|(usage, limit)| percent(usage.memory_bytes, limit)),
            fs_free_bytes,
        }
    }
}

/// Answer of `POST /start/container`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StartAnswer {
    /// Always true.
    pub ok: bool,
    /// `created`, or `kept-existing` when the workload had a container already.
    pub action: &'static str,
    /// The image.
    pub image: String,
    /// The container created or kept.
    #[serde(flatten)]
    pub summary: ContainerSummary,
}

/// Answer of `POST /start/container` with status 202: what is wanted is stored, and nothing was to be done yet, as `detail` says: it
/// waits for what it depends on, is paused, or is only to be recommended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingAnswer {
    /// Always true.
    pub ok: bool,
    /// Always `waiting`.
    pub action: &'static str,
    /// The image.
    pub image: String,
    /// What it waits for.
    pub detail: String,
}

/// How many replicas are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct DesiredBounds {
    /// The fewest.
    pub min_replicas: u32,
    /// The most.
    pub max_replicas: u32,
}

/// One thing a pass did, or tried.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ActionView {
    /// `create`, `remove`, `restart` or `start`.
    #[schema(value_type = String)]
    pub action: ActionKind,
    /// Whether it was done.
    pub ok: bool,
    /// The container it was done to; absent for a create, whose `details` show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The container's name; absent for a create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The container's summary where there is one, `reason`, and `error` where it failed.
    pub details: Value,
}

impl ActionView {
    /// An action, with its container as it is in `view` now.
    fn of(action: &Action, replicas: &[Replica]) -> Self {
        let replica = action.container.as_ref().and_then(|id| replicas.iter().find(|replica| replica.id == *id));
        let mut details = match (action.kind, replica) {
            // A removed container has no state to show.
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
        let beside = action.kind != ActionKind::Create;
        Self {
            action: action.kind,
            ok: action.error.is_none(),
            container_id: action.container.as_ref().filter(|_| beside).map(ToString::to_string),
            name: Some(action.name.clone()).filter(|_| beside),
            details,
        }
    }
}

/// Answer of `POST /images/{image}/scale` and `…/reconcile`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReconcileAnswer {
    /// Always true: the pass was made. Each action says whether it was done.
    pub ok: bool,
    /// The image.
    pub image: String,
    /// What is wanted.
    pub desired: DesiredBounds,
    /// What the pass did, in the order it ended.
    pub actions: Vec<ActionView>,
    /// The containers after the pass, oldest first.
    pub current: Vec<ContainerSummary>,
}

impl ReconcileAnswer {
    /// The outcome of a pass, with the workload as it is after it.
    pub fn of(pass: &PassReport, view: &WorkloadView) -> Self {
        Self {
            ok: true,
            image: view.workload.image.to_string(),
            desired: (&view.workload).into(),
            actions: pass.actions.iter().map(|action| ActionView::of(action, &view.replicas)).collect(),
            current: view.replicas.iter().map(ContainerSummary::from).collect(),
        }
    }
}

impl From<&Workload> for DesiredBounds {
    fn from(workload: &Workload) -> Self {
        Self { min_replicas: workload.bounds.min(), max_replicas: workload.bounds.max() }
    }
}

/// What each replica may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResourcesView {
    /// As it was asked for: `0.5` or `500m`.
    pub cpu: String,
    /// As it was asked for: `512m`, `1g`.
    pub memory: String,
    /// `running` or `stopped`.
    #[schema(value_type = String)]
    pub status: DesiredStatus,
}

/// One workload in `GET /images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageSummary {
    /// The image.
    pub image: String,
    /// The name it is addressed by, where its body gave it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many replicas are wanted.
    #[serde(flatten)]
    pub bounds: DesiredBounds,
    /// Environment of each replica.
    pub env: BTreeMap<String, String>,
    /// `80/tcp` → port on the host, 0 for any free one.
    pub ports: BTreeMap<String, u16>,
    /// What each replica may use.
    pub resources: ResourcesView,
    /// What an operator says over the policy: `paused`, `freeze_scale_up`, `freeze_scale_down` and `force`; absent
    /// where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub overrides: Option<Value>,
}

impl From<&Workload> for ImageSummary {
    fn from(workload: &Workload) -> Self {
        let resources = &workload.resources;
        Self {
            image: workload.image.to_string(),
            name: given_name(workload),
            bounds: workload.into(),
            env: workload.env.clone(),
            ports: workload.ports.iter().map(|(port, host_port)| (port.to_string(), *host_port)).collect(),
            resources: ResourcesView {
                cpu: resources.cpu.to_string(),
                memory: resources.memory.to_string(),
                status: resources.status,
            },
            overrides: workload.overrides.is_anything().then(|| json!(workload.overrides)),
        }
    }
}

/// The name a workload is addressed by, where it is not its image.
fn given_name(workload: &Workload) -> Option<String> {
    let key = workload.key.as_str();
    (key != workload.image.as_str()).then(|| key.to_owned())
}

/// A container that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RemovedContainer {
    /// The engine's whole identifier.
    pub container_id: String,
    /// Its name.
    pub name: String,
}

impl From<&Replica> for RemovedContainer {
    fn from(replica: &Replica) -> Self {
        Self { container_id: replica.id.to_string(), name: replica.name.clone() }
    }
}

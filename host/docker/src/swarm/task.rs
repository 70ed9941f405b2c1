//! A task of a service, and the replica that it is.

use super::node::Node;
use crate::container::timestamp;
use crate::labels;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use windlass_core::contract::{Limits, ProbeOutcome, ProbeResult};
use windlass_core::replica::{Creator, HealthCheck};
use windlass_core::workload::ContainerPort;
use windlass_core::{ContainerId, Generation, MadeFrom, PendingReplica, Phase, PortBinding, Replica, Slot, Timestamp};
use windlass_core::{Workload, WorkloadKey};

/// A task: one run of a container in a slot of a service. Only the parts that a replica is made from are read, and states
/// are text, so that a newer engine's tasks are readable.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Task {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "ServiceID")]
    pub(super) service: String,
    #[serde(rename = "NodeID")]
    pub(super) node: String,
    pub(super) slot: u32,
    created_at: String,
    pub(super) desired_state: String,
    pub(super) status: Status,
    spec: Spec,
    networks_attachments: Vec<Attachment>,
    /// When it began to wait for a node, by this machine's clock. `None`: when it was created.
    #[serde(skip)]
    pub(super) waits_since: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Status {
    timestamp: String,
    pub(super) state: String,
    message: String,
    pub(super) err: String,
    container_status: Option<ContainerStatus>,
    port_status: PortStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    id: String,
    exit_code: i32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PortStatus {
    ports: Vec<Port>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    protocol: String,
    target_port: u16,
    published_port: u16,
    publish_mode: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    container_spec: ContainerSpec,
    resources: Resources,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerSpec {
    image: String,
    labels: HashMap<String, String>,
    healthcheck: Healthcheck,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Healthcheck {
    test: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Resources {
    limits: ResourceLimits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ResourceLimits {
    #[serde(rename = "NanoCPUs")]
    nano_cpus: u64,
    #[serde(rename = "MemoryBytes")]
    memory_bytes: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attachment {
    network: Network,
    addresses: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Network {
    #[serde(rename = "ID")]
    id: String,
}

impl Task {
    /// Its container's identifier, or its own as long as it has none.
    pub(super) fn replica_id(&self) -> &str {
        let container = self.status.container_status.as_ref().map(|container| container.id.as_str());
        container.filter(|id| !id.is_empty()).unwrap_or(&self.id)
    }

    /// When Swarm created it, by the clock of the leader.
    pub(super) fn created_at(&self) -> Timestamp {
        timestamp(&self.created_at).unwrap_or_default()
    }

    /// Whether its container runs.
    pub(super) fn is_running(&self) -> bool {
        self.status.state == "running"
    }

    /// Whether it has a container.
    pub(super) fn has_container(&self) -> bool {
        self.replica_id() != self.id
    }

    /// The port of the task's node at which a TCP port of the task alone is published.
    pub(super) fn published(&self, inside: u16) -> Option<u16> {
        let mut ports = self.status.port_status.ports.iter().filter(|port| port.publish_mode == "host");
        let port = ports.find(|port| port.target_port == inside && port.protocol == "tcp" && port.published_port > 0);
        port.map(|port| port.published_port)
    }

    /// The replica that the task is. `own_networks` are the networks of the container in which Windlass runs.
    pub(super) fn replica(
        &self,
        workload: &WorkloadKey,
        service: &str,
        node: Option<&Node>,
        own_networks: Option<&HashSet<String>>,
    ) -> Replica {
        let state = self.status.state.as_str();
        let node_is_up = node.is_some_and(Node::is_up);
        // Swarm repeats the last state that a node reported, however long ago that was.
        let phase = if !self.node.is_empty() && !node_is_up { Phase::Unknown } else { phase(state) };
        let is_running = phase == Phase::Running;
        let at = timestamp(&self.status.timestamp);
        let container_labels = &self.spec.container_spec.labels;
        let error = match node {
            _ if phase != Phase::Unknown || !self.status.err.is_empty() => self.status.err.clone(),
            Some(node) if node.is_up() => format!("Swarm calls its state `{state}`"),
            Some(node) => format!("its node `{}` is down", node.name()),
            None => format!("its node {} is gone", self.node),
        };
        let limits = &self.spec.resources.limits;
        Replica {
            id: ContainerId(self.replica_id().to_owned()),
            name: format!("{service}.{}.{}", self.slot, self.id),
            workload: workload.clone(),
            image: self.spec.container_spec.image.clone(),
            made_from: MadeFrom {
                generation: container_labels.get(labels::GENERATION).map(Generation::stored),
                image_id: None,
            },
            creator: Creator::Windlass,
            slot: Slot(self.slot),
            phase,
            status: state.to_owned(),
            created_at: self.created_at(),
            started_at: at.filter(|_| is_running),
            finished_at: at.filter(|_| phase == Phase::Exited),
            exit_code: self.exit_code().filter(|_| phase == Phase::Exited),
            out_of_memory: false,
            error,
            engine_restarts: 0,
            // Swarm restarts tasks, which is no surprise to report.
            restart_policy: None,
            limits: Limits {
                cpu_cores: (limits.nano_cpus > 0).then(|| cores(limits.nano_cpus)),
                memory_bytes: Some(limits.memory_bytes).filter(|bytes| *bytes > 0),
            },
            stops_by_kill: false,
            has_slot_name: true,
            ports: if is_running { self.ports(node) } else { BTreeMap::new() },
            address: own_networks.filter(|_| is_running).and_then(|own| self.address_in(own)),
            node: node.map(|node| node.name().to_owned()),
            is_protected: container_labels.get(Workload::PROTECTION).is_some_and(|value| value == "true"),
            usage: None,
            health_check: self.health_check(phase, at),
        }
    }

    /// The task as one for which Swarm finds no node. `None` if it has one, or is about to end.
    pub(super) fn pending(&self) -> Option<PendingReplica> {
        let waits = self.desired_state == "running" && matches!(self.status.state.as_str(), "new" | "pending");
        waits.then(|| PendingReplica {
            slot: Slot(self.slot),
            since: self.waits_since.unwrap_or_else(|| self.created_at()),
            reason: if self.status.err.is_empty() { self.status.message.clone() } else { self.status.err.clone() },
        })
    }

    /// The latest end of the tasks before it in its slot: why its process is not running yet.
    pub(super) fn with_end_of(mut replica: Replica, before: &[Self]) -> Replica {
        let ended = before.iter().filter(|task| Slot(task.slot) == replica.slot && !task.status.err.is_empty());
        let ended: Vec<&Self> = ended.collect();
        let Some(latest) = ended.iter().max_by_key(|task| timestamp(&task.status.timestamp)) else { return replica };
        replica.error.clone_from(&latest.status.err);
        replica.exit_code = latest.exit_code();
        replica.finished_at = timestamp(&latest.status.timestamp);
        replica.engine_restarts = u32::try_from(ended.len()).unwrap_or(u32::MAX);
        replica
    }

    fn exit_code(&self) -> Option<i32> {
        let container = self.status.container_status.as_ref()?;
        (!container.id.is_empty()).then_some(container.exit_code)
    }

    /// Ports that the task's node publishes for this task alone. Swarm lists a port once per address family.
    fn ports(&self, node: Option<&Node>) -> BTreeMap<ContainerPort, Vec<PortBinding>> {
        let host_ip = node.and_then(Node::address).map(|ip| ip.to_string()).unwrap_or_default();
        let mut ports: BTreeMap<ContainerPort, Vec<PortBinding>> = BTreeMap::new();
        for port in self.status.port_status.ports.iter().filter(|port| port.publish_mode == "host") {
            let (Ok(protocol), 1..) = (port.protocol.parse(), port.published_port) else { continue };
            let inside = ContainerPort { number: port.target_port, protocol };
            let binding = PortBinding { host_ip: host_ip.clone(), host_port: port.published_port };
            let bindings = ports.entry(inside).or_default();
            if !bindings.contains(&binding) {
                bindings.push(binding);
            }
        }
        ports
    }

    /// Its address in the first of these networks that it is in.
    pub(super) fn address_in(&self, own_networks: &HashSet<String>) -> Option<IpAddr> {
        let shared = self.networks_attachments.iter().filter(|it| own_networks.contains(&it.network.id));
        shared.flat_map(|it| &it.addresses).find_map(|address| address.split('/').next()?.parse().ok())
    }

    /// The result of the service's health check. Swarm reports a task as running once its check has succeeded.
    fn health_check(&self, phase: Phase, at: Option<Timestamp>) -> Option<HealthCheck> {
        let first = self.spec.container_spec.healthcheck.test.first()?;
        match phase {
            _ if first == "NONE" => None,
            Phase::Running => {
                let checks = at.map(|at| ProbeResult { at, outcome: ProbeOutcome::Success(0) });
                Some(HealthCheck { is_healthy: Some(true), checks: checks.into_iter().collect() })
            }
            Phase::Starting if self.status.state == "starting" => Some(HealthCheck::default()),
            _ => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of cores needs no more than 53 bits")]
fn cores(nano_cpus: u64) -> f64 {
    nano_cpus as f64 / 1e9
}

fn phase(state: &str) -> Phase {
    match state {
        "new" | "allocated" | "pending" | "assigned" | "accepted" | "preparing" | "ready" | "starting" => {
            Phase::Starting
        }
        "running" => Phase::Running,
        "complete" | "shutdown" | "failed" | "rejected" => Phase::Exited,
        "remove" => Phase::Stopping,
        // `orphaned`: its node was down for a day.
        _ => Phase::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(state: &str) -> Node {
        serde_json::from_value(json!({"ID": "n1", "Description": {"Hostname": "one"},
            "Status": {"State": state, "Addr": "10.0.0.1"}}))
        .unwrap()
    }

    fn task(state: &str, more: &Value) -> Task {
        let mut task = json!({"ID": "t1", "ServiceID": "s1", "NodeID": "n1", "Slot": 2, "DesiredState": "running",
            "CreatedAt": "2026-03-01T10:00:00Z",
            "Spec": {"ContainerSpec": {"Image": "web:1", "Labels": {"windlass.generation": "00ff"}},
                     "Resources": {"Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 64}}},
            "NetworksAttachments": [{"Network": {"ID": "net"}, "Addresses": ["10.0.1.3/24"]}],
            "Status": {"Timestamp": "2026-03-01T10:00:02Z", "State": state, "Message": "started",
                "PortStatus": {"Ports": [
                    {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 32768, "PublishMode": "host"},
                    {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 32768, "PublishMode": "host"}]}}});
        for (name, value) in more.as_object().into_iter().flatten() {
            task["Status"][name] = value.clone();
        }
        serde_json::from_value(task).unwrap()
    }

    fn replica(task: &Task, node: Option<&Node>) -> Replica {
        task.replica(&WorkloadKey::stored("web"), "web", node, None)
    }

    #[test]
    fn a_running_task_is_a_replica_with_its_container_and_ports() {
        let running = task("running", &json!({"ContainerStatus": {"ContainerID": "c1", "ExitCode": 0}}));
        let found = replica(&running, Some(&node("ready")));
        assert_eq!((found.id.as_str(), found.name.as_str(), found.slot), ("c1", "web.2.t1", Slot(2)));
        assert_eq!((found.phase, found.status.as_str(), found.exit_code), (Phase::Running, "running", None));
        assert_eq!(
            (found.created_at, found.started_at),
            (Timestamp(1_772_359_200_000), Some(Timestamp(1_772_359_202_000)))
        );
        let port = PortBinding { host_ip: "10.0.0.1".to_owned(), host_port: 32_768 };
        assert_eq!(found.ports, BTreeMap::from([("80/tcp".parse().unwrap(), vec![port])]));
        assert_eq!(found.limits, Limits { cpu_cores: Some(0.5), memory_bytes: Some(64) });
        assert_eq!(found.made_from.generation, Some(Generation::stored("00ff")));
        assert_eq!(found.address, None, "another network");
        let own = HashSet::from(["net".to_owned()]);
        let shared = running.replica(&WorkloadKey::stored("web"), "web", Some(&node("ready")), Some(&own));
        assert_eq!(shared.address, Some(IpAddr::from([10, 0, 1, 3])));
    }

    #[test]
    fn a_ghost_on_a_dead_node_is_not_running() {
        let ghost = task("running", &json!({"ContainerStatus": {"ContainerID": "c1"}}));
        for silent in ["ready", "unknown"] {
            assert!(replica(&ghost, Some(&node(silent))).is_running(), "a new leader has heard from no node yet");
        }
        for node in [Some(node("down")), Some(node("disconnected")), None] {
            let found = replica(&ghost, node.as_ref());
            assert_eq!((found.phase, found.is_running(), found.started_at), (Phase::Unknown, false, None));
            assert!(found.error.starts_with("its node ") && found.ports.is_empty(), "{}", found.error);
        }
    }

    #[test]
    fn a_task_that_cannot_be_placed_is_pending_for_swarms_reason() {
        let why = "no suitable node (scheduling constraints not satisfied on 1 node)";
        let mut waiting = task("pending", &json!({"Err": why}));
        waiting.node = String::new();
        let found = replica(&waiting, None);
        assert_eq!((found.phase, found.id.as_str(), found.error.as_str()), (Phase::Starting, "t1", why));
        let expected = PendingReplica { slot: Slot(2), since: Timestamp(1_772_359_200_000), reason: why.to_owned() };
        assert_eq!(waiting.pending(), Some(expected));
        assert_eq!(task("running", &Value::Null).pending(), None);
        waiting.desired_state = "shutdown".to_owned();
        assert_eq!(waiting.pending(), None);
    }

    #[test]
    fn a_crash_loop_shows_how_the_task_before_ended() {
        let ended = |second: u32, code: i32| {
            let at = format!("2026-03-01T10:00:{second:02}Z");
            let error = format!("task: non-zero exit ({code})");
            task(
                "failed",
                &json!({"Timestamp": at, "Err": error, "ContainerStatus": {"ContainerID": "c", "ExitCode": code}}),
            )
        };
        let mut other = ended(9, 7);
        other.slot = 3;
        let now = replica(&task("ready", &Value::Null), Some(&node("ready")));
        let found = Task::with_end_of(now.clone(), &[ended(3, 1), ended(5, 3), other]);
        assert_eq!(
            (found.error.as_str(), found.exit_code, found.engine_restarts),
            ("task: non-zero exit (3)", Some(3), 2)
        );
        assert_eq!(Task::with_end_of(now.clone(), &[]), now);
    }

    #[test]
    fn a_running_task_with_a_check_is_healthy() {
        let mut checked = task("starting", &Value::Null);
        checked.spec.container_spec.healthcheck.test = vec!["CMD".to_owned(), "true".to_owned()];
        let health = |task: &Task| replica(task, Some(&node("ready"))).health_check.map(|check| check.is_healthy);
        assert_eq!(health(&checked), Some(None));
        checked.status.state = "running".to_owned();
        assert_eq!(health(&checked), Some(Some(true)));
        checked.spec.container_spec.healthcheck.test = vec!["NONE".to_owned()];
        assert_eq!(health(&checked), None);
    }

    #[test]
    fn each_state_has_its_phase() {
        for (state, expected) in [
            ("preparing", Phase::Starting),
            ("running", Phase::Running),
            ("rejected", Phase::Exited),
            ("remove", Phase::Stopping),
            ("orphaned", Phase::Unknown),
            ("a newer one", Phase::Unknown),
        ] {
            assert_eq!(phase(state), expected, "{state}");
        }
    }
}

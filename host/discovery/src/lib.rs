//! Service discovery: the addresses of running replicas' ports, for Prometheus and for load balancers.
//!
//! The data comes from the loop's latest observation, so nothing here waits for the engine. [`publish`] sends changes
//! to a file, a command and a webhook; [`template`] formats the file, and [`identifier`] the names in it.

mod command;
mod file;
pub mod identifier;
pub mod publish;
pub mod template;

use crate::identifier::unique;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use windlass_control::{Controller, WorkloadView};
use windlass_core::contract::HealthStatus;
use windlass_core::workload::{ContainerPort, Protocol};
use windlass_core::{ContainerId, Phase, PortBinding, ProbeTarget, Replica};

/// A TCP port of a running replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Host or address and port at which it is reachable: `127.0.0.1:32768`, `[::1]:32768`.
    pub address: String,
    /// The host or address alone.
    pub host: String,
    /// The port at which it is reachable.
    pub host_port: u16,
    /// The port inside the replica.
    pub port: u16,
    /// The workload's key.
    pub workload: String,
    /// The workload's image.
    pub image: String,
    /// Name of the container.
    pub container: String,
    /// The engine's identifier of the container.
    pub container_id: String,
    /// The replica's slot in its workload; a replacement takes the same slot.
    pub slot: u32,
    /// The latest status from the health policy.
    pub health: HealthStatus,
    /// Whether the replica may receive requests.
    pub ready: bool,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
}

/// A workload with its ready targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// The workload's key.
    pub name: String,
    /// The key without characters that a load balancer forbids; unique in the list.
    pub identifier: String,
    /// The workload's image.
    pub image: String,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// The ready targets, by slot and port.
    pub targets: Vec<Target>,
}

/// Lists targets. Cheap to clone.
#[derive(Clone)]
pub struct Discovery {
    controller: Controller,
    address: Option<String>,
}

impl Discovery {
    /// `address` is the host or address under which clients reach published ports. If `None`, targets carry the
    /// addresses at which this machine reaches the replicas.
    pub fn new(controller: Controller, address: Option<String>) -> Self {
        Self { controller, address }
    }

    /// All targets, by workload, replica (oldest first) and port.
    pub fn targets(&self) -> Vec<Target> {
        self.controller.views().iter().flat_map(|view| self.targets_of(view)).collect()
    }

    /// All workloads with their ready targets, by key. With `presumed`, running replicas that were not probed yet count
    /// as ready.
    fn ready(&self, presumed: bool) -> Vec<Workload> {
        let views = self.controller.views();
        let keys: Vec<String> = views.iter().map(|view| view.workload.key.to_string()).collect();
        let identifiers = unique(&keys);
        let workloads = views.iter().zip(&keys).zip(identifiers).map(|((view, key), identifier)| {
            let mut targets = self.targets_of(view);
            let is_in_transition = |target: &Target| {
                let id = ContainerId(target.container_id.clone());
                view.leaving.contains(&id) || view.begun.contains(&id)
            };
            let is_presumed =
                |target: &Target| presumed && target.health != HealthStatus::Unhealthy && !is_in_transition(target);
            targets.retain(|target| target.ready || is_presumed(target));
            // By slot, so that a list only changes where replicas come and go.
            targets.sort_by_key(|target| (target.slot, target.port));
            Workload {
                name: key.clone(),
                identifier,
                image: view.workload.image.to_string(),
                labels: view.workload.labels.clone(),
                targets,
            }
        });
        workloads.collect()
    }

    fn targets_of(&self, view: &WorkloadView) -> Vec<Target> {
        let running = view.replicas.iter().filter(|replica| replica.phase == Phase::Running);
        let reachable =
            running.flat_map(|replica| tcp_ports(&view.workload, replica).into_iter().map(move |port| (replica, port)));
        let targets = reachable.filter_map(|(replica, port)| {
            let (host, host_port) = self.location(replica, port)?;
            let bracketed = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.clone() };
            Some(Target {
                address: format!("{bracketed}:{host_port}"),
                host,
                host_port,
                port: port.number,
                workload: view.workload.key.to_string(),
                image: view.workload.image.to_string(),
                container: replica.name.clone(),
                container_id: replica.id.to_string(),
                slot: replica.slot.0,
                health: view.health.get(&replica.id).copied().unwrap_or_default(),
                ready: view.is_ready(replica),
                labels: view.workload.labels.clone(),
            })
        });
        targets.collect()
    }

    /// The host and port at which a replica's port is reachable. `None` if it is not.
    fn location(&self, replica: &Replica, port: ContainerPort) -> Option<(String, u16)> {
        match &self.address {
            Some(address) => {
                let published = replica.ports.get(&port)?.iter().find(|binding| is_published_at(binding, address))?;
                Some((address.clone(), published.host_port))
            }
            None => {
                let reachable = self.controller.endpoint(replica, port.number)?;
                Some((reachable.ip().to_string(), reachable.port()))
            }
        }
    }
}

/// The TCP ports of a replica: those of its start request or, if labels declare the workload, the published ones and the one
/// that is probed.
fn tcp_ports(workload: &windlass_core::Workload, replica: &Replica) -> BTreeSet<ContainerPort> {
    let is_tcp = |port: &ContainerPort| port.protocol == Protocol::Tcp;
    if !workload.declaration.is_adopted() {
        return workload.ports.keys().copied().filter(is_tcp).collect();
    }
    let probed = workload.probe.as_ref().and_then(|probe| match &probe.target {
        ProbeTarget::Http(probe) => Some(probe.port),
        ProbeTarget::Tcp { port } => Some(*port),
        ProbeTarget::Exec { .. } | ProbeTarget::Docker | ProbeTarget::None => None,
    });
    let probed = probed.map(|number| ContainerPort { number, protocol: Protocol::Tcp });
    replica.ports.keys().copied().filter(is_tcp).chain(probed).collect()
}

/// Whether clients that use this address of the host reach a published port. Only one that is published on the loopback
/// alone is certainly out of reach: the address may be a name, or one in front of the host's own.
fn is_published_at(binding: &PortBinding, address: &str) -> bool {
    let is_loopback = |text: &str| text.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    !is_loopback(&binding.host_ip) || is_loopback(address) || address == "localhost"
}

/// The format of Prometheus service discovery over HTTP and from files: a list of groups, here with one target each.
pub fn prometheus(targets: &[Target]) -> Value {
    targets.iter().map(group).collect()
}

fn group(target: &Target) -> Value {
    let mut labels: BTreeMap<String, String> = (target.labels.iter())
        .map(|(name, value)| (format!("__meta_windlass_label_{}", label_name(name)), value.clone()))
        .collect();
    let health = json!(target.health).as_str().unwrap_or_default().to_owned();
    for (name, value) in [
        ("workload", target.workload.clone()),
        ("image", target.image.clone()),
        ("container", target.container.clone()),
        ("container_id", target.container_id.clone()),
        ("slot", target.slot.to_string()),
        ("port", target.port.to_string()),
        ("health", health),
        ("ready", target.ready.to_string()),
    ] {
        labels.insert(format!("__meta_windlass_{name}"), value);
    }
    json!({"targets": [target.address], "labels": labels})
}

/// A valid label name: invalid characters become underscores, as in Prometheus itself.
fn label_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::fixtures::{running, workload};
    use windlass_core::{Declaration, HttpProbe, Probe};

    #[test]
    fn a_port_that_is_published_on_the_loopback_is_no_target_elsewhere() {
        let published = |host_ip: &str, address: &str| {
            is_published_at(&PortBinding { host_ip: host_ip.to_owned(), host_port: 8080 }, address)
        };
        for host_ip in ["0.0.0.0", "::", "", "10.0.0.5"] {
            assert!(published(host_ip, "lb.example") && published(host_ip, "127.0.0.1"), "{host_ip:?}");
        }
        assert!(published("127.0.0.1", "localhost") && published("127.0.0.1", "127.0.0.1"));
        assert!(!published("127.0.0.1", "lb.example") && !published("::1", "10.0.0.5"));
    }

    #[test]
    fn the_ports_of_an_adopted_workload_are_published_or_probed() {
        let port = |text: &str| text.parse::<ContainerPort>().expect("a port");
        let mut workload = workload("web:1", 1, 3);
        workload.ports = [(port("80/tcp"), 0.into())].into();
        let listed = [(port("8080/tcp"), Vec::new()), (port("53/udp"), Vec::new())].into();
        let replica = Replica { ports: listed, ..running(&workload, 1, 0) };
        let numbers = |workload: &windlass_core::Workload| {
            tcp_ports(workload, &replica).iter().map(|port| port.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&workload), [80]);
        workload.declaration = Declaration::Swarm { service: "web".to_owned() };
        assert_eq!(numbers(&workload), [8080]);
        let target = ProbeTarget::Http(HttpProbe::get(9000, "/"));
        workload.probe = Some(Probe::usual(target));
        assert_eq!(numbers(&workload), [8080, 9000], "the port that is probed");
    }

    #[test]
    fn a_target_is_told_in_the_form_of_prometheus() {
        let target = Target {
            address: "[fd00::2]:80".to_owned(),
            host: "fd00::2".to_owned(),
            host_port: 80,
            port: 80,
            workload: "web".to_owned(),
            image: "ghcr.io/org/web:1".to_owned(),
            container: "web-1".to_owned(),
            container_id: "ab12".to_owned(),
            slot: 1,
            health: HealthStatus::Healthy,
            ready: true,
            labels: BTreeMap::from([("com.example/team-ä".to_owned(), "shop".to_owned())]),
        };
        let expected = json!([{"targets": ["[fd00::2]:80"], "labels": {
            "__meta_windlass_container": "web-1",
            "__meta_windlass_container_id": "ab12",
            "__meta_windlass_health": "healthy",
            "__meta_windlass_image": "ghcr.io/org/web:1",
            "__meta_windlass_label_com_example_team__": "shop",
            "__meta_windlass_port": "80",
            "__meta_windlass_ready": "true",
            "__meta_windlass_slot": "1",
            "__meta_windlass_workload": "web",
        }}]);
        assert_eq!(prometheus(&[target]), expected);
        assert_eq!(prometheus(&[]), json!([]));
    }
}

//! Chooses the address of a container in several networks: by reachability first, then in the user's order.

use crate::client::{EngineClient, EngineInfo};
use crate::container::uses_host_network;
use crate::labels;
use bollard::models::{ContainerInspectResponse, EndpointSettings, NetworkInspect};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Time after which the engine is asked again about a network that it did not describe, and about our own networks.
const RETRY: Duration = Duration::from_secs(60);
/// Time limit of a question about a network. The chosen address is only better with its answer.
const LONGEST_CALL: Duration = Duration::from_secs(5);
/// Drivers whose containers the engine's own machine does not reach.
const UNREACHED_DRIVERS: [&str; 5] = ["macvlan", "ipvlan", "overlay", "null", "none"];

/// Whether this process reaches the containers of a network. The better one is the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// It does: a bridge of this machine, or a network of the container in which Windlass runs.
    Reached,
    /// The network has a driver from a plugin, or the engine does not describe it.
    Unknown,
    /// It does not, unless someone prepared this machine for it.
    NotReached,
}

/// Chooses addresses, and keeps what the engine answered about networks. Clones share the answers.
#[derive(Clone)]
pub(crate) struct Networks {
    engine: EngineClient,
    proc_folder: PathBuf,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Default)]
struct Cache {
    /// By identifier. A network's driver never changes, so an answer is kept; the time is that of a failed question.
    networks: HashMap<String, (Reach, Option<Instant>)>,
    /// The identifiers of our own networks, and when they were read.
    own: Option<(Option<Arc<HashSet<String>>>, Instant)>,
}

impl Networks {
    /// `proc_folder` is `/proc`, from which the container in which Windlass runs is known.
    pub(crate) fn new(engine: EngineClient, proc_folder: PathBuf) -> Self {
        Self { engine, proc_folder, cache: Arc::default() }
    }

    /// The address at which a running container is reached directly: that of the engine's host, or one in a network.
    /// `None` if there is none, or if only its published ports are reachable.
    pub(crate) async fn address(
        &self,
        inspected: &ContainerInspectResponse,
        info: EngineInfo,
        is_local: bool,
    ) -> Option<IpAddr> {
        if uses_host_network(inspected) {
            return info.host(is_local);
        }
        if !info.reaches_networks(is_local) {
            return None;
        }
        let own = if info.in_container { self.own().await } else { None };
        let mut found = Vec::new();
        for (name, endpoint) in in_order(inspected) {
            if let Some(address) = address_in(endpoint) {
                found.push((self.reach(name, endpoint, own.as_deref()).await, address));
            }
        }
        choose(&found, info.host(is_local).is_some() && publishes(inspected))
    }

    async fn reach(&self, name: &str, endpoint: &EndpointSettings, own: Option<&HashSet<String>>) -> Reach {
        let id = endpoint.network_id.as_deref().filter(|id| labels::is_plain(id));
        if let Some(own) = own {
            let is_own = id.is_some_and(|id| own.contains(id));
            return if is_own { Reach::Reached } else { Reach::NotReached };
        }
        // The default network; it has the same driver in every engine.
        if name == "bridge" {
            return Reach::Reached;
        }
        let Some(id) = id else { return Reach::Unknown };
        let known = self.cache.lock().networks.get(id).copied();
        match known {
            Some((reach, None)) => return reach,
            Some((reach, Some(failed))) if failed.elapsed() < RETRY => return reach,
            _ => {}
        }
        let limit = LONGEST_CALL.min(self.engine.call_timeout());
        let answer = self
            .engine
            .call_within(limit, "inspect network", |docker| async move { docker.inspect_network(id, None).await })
            .await;
        let entry = match &answer {
            Ok(network) => (reach_of(network), None),
            Err(error) => {
                tracing::debug!(network = name, ?error, "the driver of a network is unknown");
                (Reach::Unknown, Some(Instant::now()))
            }
        };
        self.cache.lock().networks.insert(id.to_owned(), entry);
        entry.0
    }

    /// The networks of the container in which Windlass runs. `None` if it uses the host's network, or is no container
    /// of this engine.
    pub(crate) async fn own(&self) -> Option<Arc<HashSet<String>>> {
        let known = self.cache.lock().own.clone();
        if let Some((own, at)) = known
            && at.elapsed() < RETRY
        {
            return own;
        }
        let own = self.read_own().await.map(Arc::new);
        self.cache.lock().own = Some((own.clone(), Instant::now()));
        own
    }

    async fn read_own(&self) -> Option<HashSet<String>> {
        let mounts = tokio::fs::read_to_string(self.proc_folder.join("self/mountinfo")).await.ok()?;
        let id = container_in(&mounts)?;
        let limit = LONGEST_CALL.min(self.engine.call_timeout());
        let inspected = self
            .engine
            .call_within(limit, "inspect our own container", |docker| async move {
                docker.inspect_container(id, None).await
            })
            .await
            .ok()?;
        if uses_host_network(&inspected) {
            return None;
        }
        let networks = inspected.network_settings?.networks?;
        Some(networks.into_values().filter_map(|endpoint| endpoint.network_id).collect())
    }
}

/// The first of the most reachable addresses, which are in the user's order. An address that is hardly reachable is
/// no better than a published port.
fn choose(found: &[(Reach, IpAddr)], has_published: bool) -> Option<IpAddr> {
    // Of equal ones, this returns the first.
    let (reach, address) = found.iter().min_by_key(|(reach, _)| *reach)?;
    (*reach != Reach::NotReached || !has_published).then_some(*address)
}

/// The container's networks in the user's order, then by name, so that every inspection has the same order.
fn in_order(inspected: &ContainerInspectResponse) -> Vec<(&str, &EndpointSettings)> {
    let labelled = inspected.config.as_ref().and_then(|config| config.labels.as_ref()?.get(labels::NETWORKS));
    let order: Vec<&str> = match labelled {
        Some(names) => names.split(',').collect(),
        // Containers of earlier versions, and those in one network, only name the first one.
        None => inspected.host_config.iter().filter_map(|config| config.network_mode.as_deref()).collect(),
    };
    let position = |name: &str| order.iter().position(|wanted| *wanted == name).unwrap_or(usize::MAX);
    let networks = inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut networks: Vec<_> =
        networks.into_iter().flatten().map(|(name, endpoint)| (name.as_str(), endpoint)).collect();
    networks.sort_by_key(|(name, _)| (position(name), *name));
    networks
}

fn address_in(endpoint: &EndpointSettings) -> Option<IpAddr> {
    let mut addresses = [&endpoint.ip_address, &endpoint.global_ipv6_address].into_iter();
    addresses.find_map(|address| address.as_deref()?.parse().ok())
}

fn publishes(inspected: &ContainerInspectResponse) -> bool {
    let ports = inspected.network_settings.as_ref().and_then(|settings| settings.ports.as_ref());
    ports.into_iter().flatten().any(|(_, bindings)| bindings.as_ref().is_some_and(|bindings| !bindings.is_empty()))
}

fn reach_of(network: &NetworkInspect) -> Reach {
    let option = |name: &str| network.options.as_ref().and_then(|options| options.get(name)).map(String::as_str);
    match network.driver.as_deref() {
        // Such a bridge has no address of the host.
        Some("bridge") if option("com.docker.network.bridge.inhibit_ipv4") == Some("true") => Reach::NotReached,
        Some("bridge") if option("com.docker.network.bridge.gateway_mode_ipv4") == Some("isolated") => {
            Reach::NotReached
        }
        Some("bridge" | "host") => Reach::Reached,
        Some(driver) if UNREACHED_DRIVERS.contains(&driver) => Reach::NotReached,
        Some(_) | None => Reach::Unknown,
    }
}

/// The identifier of the container in which a process runs, from its table of mounts: an engine mounts files such as
/// `/etc/hostname` from a folder of that name.
fn container_in(mounts: &str) -> Option<&str> {
    let is_id = |segment: &str| segment.len() == 64 && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hostname = mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/etc/hostname"));
    let mut segments = hostname.flat_map(|line| line.split(' ').nth(3).unwrap_or_default().split('/'));
    segments.find(|segment| is_id(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(mode: &str, networks: Option<&str>) -> ContainerInspectResponse {
        let mut labels = serde_json::json!({});
        if let Some(networks) = networks {
            labels[labels::NETWORKS] = networks.into();
        }
        serde_json::from_value(serde_json::json!({
            "HostConfig": {"NetworkMode": mode}, "Config": {"Labels": labels},
            "NetworkSettings": {"Networks": {
                "alpha": {"IPAddress": "192.168.9.2", "NetworkID": "a"},
                "front": {"IPAddress": "172.18.0.5", "NetworkID": "f"},
                "back": {"IPAddress": "", "GlobalIPv6Address": "fd00::5", "NetworkID": "b"}}}
        }))
        .unwrap()
    }

    fn network(description: serde_json::Value) -> NetworkInspect {
        serde_json::from_value(description).unwrap()
    }

    #[test]
    fn networks_are_tried_in_the_users_order() {
        let names = |mode: &str, label: Option<&str>| -> Vec<String> {
            in_order(&inspected(mode, label)).into_iter().map(|(name, _)| name.to_owned()).collect()
        };
        assert_eq!(names("front", Some("front,back,alpha")), ["front", "back", "alpha"]);
        assert_eq!(names("front", None), ["front", "alpha", "back"], "of an earlier version");
        assert_eq!(names("front", Some("back")), ["back", "alpha", "front"], "joined by somebody else");
    }

    #[test]
    fn the_most_reachable_address_is_chosen_and_a_published_port_before_an_unreachable_one() {
        use Reach::{NotReached, Reached, Unknown};
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let found = [(NotReached, address(1)), (Unknown, address(2)), (Reached, address(3)), (Reached, address(4))];
        assert_eq!(choose(&found, true), Some(address(3)));
        assert_eq!(choose(&found[..2], true), Some(address(2)));
        assert_eq!(choose(&found[..1], true), None);
        assert_eq!(choose(&found[..1], false), Some(address(1)), "this machine may be prepared for it");
        assert_eq!(choose(&[], false), None);
    }

    #[test]
    fn a_bridge_is_reached_unless_the_host_has_no_address_in_it() {
        let reach = |driver: &str| reach_of(&network(serde_json::json!({"Driver": driver})));
        assert_eq!(reach("bridge"), Reach::Reached);
        for driver in ["macvlan", "ipvlan", "overlay", "null"] {
            assert_eq!(reach(driver), Reach::NotReached, "{driver}");
        }
        assert_eq!(reach("weave"), Reach::Unknown);
        for option in [
            serde_json::json!({"com.docker.network.bridge.gateway_mode_ipv4": "isolated"}),
            serde_json::json!({"com.docker.network.bridge.inhibit_ipv4": "true"}),
        ] {
            assert_eq!(
                reach_of(&network(serde_json::json!({"Driver": "bridge", "Options": option}))),
                Reach::NotReached
            );
        }
    }

    #[test]
    fn our_own_container_is_found_in_the_table_of_mounts() {
        let id = "5f".repeat(32);
        let lines = |path: &str| {
            format!(
                "31 24 0:26 / /proc rw - proc proc rw\n\
                 40 31 8:1 /var/lib/docker/containers/{id}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n\
                 41 31 8:1 {path} /etc/hostname rw - ext4 /dev/sda1 rw\n"
            )
        };
        assert_eq!(container_in(&lines(&format!("/var/lib/docker/containers/{id}/hostname"))), Some(id.as_str()));
        assert_eq!(container_in(&lines("/etc/hostname")), None, "no container");
        let podman = lines(&format!("/containers/overlay-containers/{id}/userdata/hostname"));
        assert_eq!(container_in(&podman), Some(id.as_str()));
    }
}

//! A node of a Swarm, as far as its tasks depend on it.

use serde::Deserialize;
use std::net::IpAddr;

/// A machine of a Swarm.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Node {
    #[serde(rename = "ID")]
    pub(super) id: String,
    description: Description,
    status: Status,
    manager_status: Option<ManagerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Description {
    hostname: String,
    resources: Resources,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(rename = "NanoCPUs")]
    nano_cpus: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Status {
    state: String,
    addr: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ManagerStatus {
    addr: String,
}

impl Node {
    /// The name of the machine.
    pub(super) fn name(&self) -> &str {
        &self.description.hostname
    }

    /// Whether the managers hear from it. After an election, the new leader has heard from no node for some seconds and calls
    /// their state `unknown`; a node that is silent for longer is `down`.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.status.state.as_str(), "ready" | "unknown")
    }

    /// Its number of CPUs.
    pub(super) fn cpus(&self) -> Option<u32> {
        u32::try_from(self.description.resources.nano_cpus / 1_000_000_000).ok().filter(|cpus| *cpus > 0)
    }

    /// The address at which it publishes ports. `None` if the Swarm does not know it: a leader may report its own as
    /// `0.0.0.0`.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let of_manager = self.manager_status.as_ref().and_then(|manager| manager.addr.rsplit_once(':'));
        let of_manager = of_manager.map(|(host, _)| host.trim_matches(['[', ']']));
        let known = [Some(self.status.addr.as_str()), of_manager];
        known.into_iter().flatten().filter_map(|text| text.parse().ok()).find(|ip: &IpAddr| !ip.is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_the_address_that_other_nodes_reach() {
        let node = |status: &str, manager: &str| -> Node {
            serde_json::from_value(serde_json::json!({"ID": "n", "Status": {"State": "ready", "Addr": status},
                "Description": {"Hostname": "one", "Resources": {"NanoCPUs": 2_000_000_000_u64}},
                "ManagerStatus": {"Leader": true, "Addr": manager}}))
            .unwrap()
        };
        assert_eq!(node("10.0.0.1", "").address(), Some(IpAddr::from([10, 0, 0, 1])));
        assert_eq!(node("0.0.0.0", "10.0.0.2:2377").address(), Some(IpAddr::from([10, 0, 0, 2])));
        assert_eq!(node("0.0.0.0", "").address(), None);
        assert_eq!(node("", "[fd00::1]:2377").address(), "fd00::1".parse().ok());
        let node = node("", "");
        assert!(node.is_up());
        assert_eq!((node.name(), node.cpus()), ("one", Some(2)));
        assert!(!Node::default().is_up());
    }
}

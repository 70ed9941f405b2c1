//! The nodes of a Swarm, with the way to the agent of each and the containers that run there.

use super::node::Node;
use super::observer::Picture;
use super::task::Task;
use crate::agents::Place;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use windlass_core::ContainerId;

/// The label of a service whose tasks are agents.
const AGENT: &str = "windlass.agent";
/// Why a node that is down has no agent.
const DOWN: &str = "the node is down";

/// All nodes; those that are down have no agent. `port` is the port on which agents listen, `own_networks` are the networks of the container in
/// which Windlass runs.
pub(super) fn places(picture: &Picture, port: u16, own_networks: Option<&HashSet<String>>) -> Vec<Place> {
    let agents = picture.services.iter().filter(|service| service.label(AGENT) == Some("true"));
    let agents: Vec<&Task> =
        agents.flat_map(|service| picture.tasks(service)).filter(|task| task.is_running()).collect();
    let place = |node: &Node| {
        let containers = picture.tasks_on(&node.id).filter(|task| task.has_container());
        Place {
            node: node.id.clone(),
            name: node.name().to_owned(),
            agent: if node.is_up() { agent(&agents, node, port, own_networks) } else { Err(DOWN.to_owned()) },
            containers: containers.map(|task| ContainerId(task.replica_id().to_owned())).collect(),
        }
    };
    let mut places: Vec<Place> = picture.nodes.values().map(place).collect();
    places.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.node.cmp(&b.node)));
    places
}

fn agent(
    agents: &[&Task],
    node: &Node,
    port: u16,
    own_networks: Option<&HashSet<String>>,
) -> Result<SocketAddr, String> {
    let Some(task) = agents.iter().find(|task| task.node == node.id) else {
        return Err(format!("no task of a service with the label `{AGENT}=true` runs there"));
    };
    let direct = own_networks.and_then(|own| task.address_in(own)).map(|ip| SocketAddr::new(ip, port));
    let published = || -> Option<SocketAddr> {
        // A Swarm of one machine may not know the address of its node.
        let ip = node.address().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        Some(SocketAddr::new(ip, task.published(port)?))
    };
    direct.or_else(published).ok_or_else(|| {
        format!("its agent is in no network of this Windlass, and does not publish its port {port} in host mode")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::service::Service;
    use serde_json::json;
    use tokio::time::Instant;

    #[tokio::test]
    async fn an_agent_is_reached_directly_or_at_its_published_port() {
        let service = |id: &str, label: &str| {
            let specification = json!({"Name": id, "Labels": {label: "true"}, "Mode": {"Global": {}}});
            Service::read(json!({"ID": id, "Version": {"Index": 1}, "Spec": specification}), Instant::now()).unwrap()
        };
        let task = |id: &str, service: &str, node: &str, published: u16| -> Task {
            let ports =
                json!([{"Protocol": "tcp", "TargetPort": 7443, "PublishedPort": published, "PublishMode": "host"}]);
            let status = json!({"State": "running", "ContainerStatus": {"ContainerID": format!("c-{id}")},
                "PortStatus": {"Ports": if published > 0 { ports } else { json!([]) }}});
            serde_json::from_value(json!({"ID": id, "ServiceID": service, "NodeID": node, "Status": status,
                "NetworksAttachments": [{"Network": {"ID": "net"}, "Addresses": ["10.0.1.3/24"]}]}))
            .unwrap()
        };
        let node = |id: &str, state: &str| -> Node {
            serde_json::from_value(json!({"ID": id, "Description": {"Hostname": format!("name-{id}")},
                "Status": {"State": state, "Addr": "192.0.2.1"}}))
            .unwrap()
        };
        let picture = Picture::of(
            vec![service("agents", "windlass.agent"), service("web", "windlass.enable")],
            vec![
                task("a1", "agents", "n1", 30_000),
                task("a2", "agents", "n2", 0),
                task("a4", "agents", "n4", 30_000),
                task("w1", "web", "n1", 0),
            ],
            vec![node("n1", "ready"), node("n2", "ready"), node("n3", "ready"), node("n4", "down")],
        );
        let found = places(&picture, 7_443, None);
        let agents: Vec<_> = found.iter().map(|place| place.agent.as_ref().map(ToString::to_string)).collect();
        assert_eq!(agents[0], Ok("192.0.2.1:30000".to_owned()));
        assert!(agents[1].as_ref().is_err_and(|why| why.contains("does not publish its port 7443")));
        assert!(agents[2].as_ref().is_err_and(|why| why.contains("`windlass.agent=true`")));
        assert_eq!((found[0].name.as_str(), found[3].name.as_str()), ("name-n1", "name-n4"));
        assert_eq!(found[3].agent, Err("the node is down".to_owned()), "whatever its task's state is");
        let expected = HashSet::from(["c-a1", "c-w1"].map(|id| ContainerId(id.to_owned())));
        assert_eq!(found[0].containers, expected);
        let own = HashSet::from(["net".to_owned()]);
        let direct = places(&picture, 7_443, Some(&own));
        assert_eq!(direct[1].agent, Ok(SocketAddr::from(([10, 0, 1, 3], 7_443))));
    }
}

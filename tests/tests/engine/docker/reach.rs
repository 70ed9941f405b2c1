//! The addresses at which replicas are reached, and published.

use super::fixture::{Fixture, Foreign, docker, eventually};
use super::port;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;
use windlass_core::Slot;
use windlass_core::engine::{Engine, SlotEngine};
use windlass_core::publication::short_form;
use windlass_docker::Environment;

#[tokio::test]
async fn a_replica_is_reached_through_a_bridge_whatever_other_networks_it_joins() {
    let fixture = Fixture::new("reach").await;
    let (far, near) = (Foreign::unreachable_network("a-far"), Foreign::network("near"));
    let (other, last) = (Foreign::network("other"), Foreign::network("b-last"));
    let mut workload = fixture.workload(&["httpd", "-f", "-p", "80", "-h", "/www"]);
    for (slot, networks, expected) in [
        (0, [&far, &near].as_slice(), &near),
        // Of two bridges, the first in the user's order, which is not that of their names.
        (1, &[&far, &other, &last], &other),
        (2, &[&last, &far, &near], &last),
    ] {
        workload.networks = networks.iter().map(|network| network.name.clone()).collect();
        let created = fixture.runtime.create(&workload, Slot(slot)).await.unwrap();
        let running = fixture.runtime.start(&created.id).await.unwrap();
        let format = format!("{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}", expected.name);
        let shown = docker(&["inspect", "--format", &format, running.id.as_str()]);
        let address: IpAddr = String::from_utf8(shown.stdout).unwrap().trim().parse().unwrap();
        let endpoint = fixture.runtime.endpoint(&running, 80).unwrap();
        assert_eq!(endpoint, SocketAddr::new(address, 80), "{:?}", workload.networks);
        eventually("the replica answers there", || async { TcpStream::connect(endpoint).await.ok() }).await;
        fixture.runtime.remove(&running.id, true).await.unwrap();
    }
}

#[tokio::test]
async fn a_port_is_published_at_its_address_and_in_its_range() {
    let fixture = Fixture::with("publish", Environment::of_process(), |settings| {
        settings.publish_address = Some(IpAddr::from([127, 0, 0, 1]));
    })
    .await;
    let mut workload = fixture.workload(&["httpd", "-f", "-p", "80", "-h", "/www"]);
    let ports = ["80", "127.0.0.2::81", "127.0.0.3:21000-21999:82"];
    let ports = ports.iter().flat_map(|text| short_form(text).unwrap());
    workload.ports = ports.map(|(port, publication)| (port, publication.into())).collect();
    let mut used = Vec::new();
    for slot in [0, 1] {
        let created = fixture.runtime.create(&workload, Slot(slot)).await.unwrap();
        let running = fixture.runtime.start(&created.id).await.unwrap();
        let bound = |inside: &str| running.ports[&port(inside)].clone();
        for (inside, address) in [("80/tcp", "127.0.0.1"), ("81/tcp", "127.0.0.2"), ("82/tcp", "127.0.0.3")] {
            let addresses: Vec<String> = bound(inside).into_iter().map(|binding| binding.host_ip).collect();
            assert_eq!(addresses, [address], "{inside}");
        }
        used.push(bound("82/tcp")[0].host_port);
    }
    assert!(used.iter().all(|port| (21_000..22_000).contains(port)) && used[0] != used[1], "{used:?}");
}

//! The program on a Swarm: the endpoints answer for tasks as they do for containers.

use super::WAIT;
use super::site::SwarmSite;
use serde_json::json;
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, start_body};
use windlass_tests::wait::eventually;

pub(crate) async fn the_program_starts_a_service_and_leaves_its_tasks_to_swarm(site: &SwarmSite) {
    let image = Fixture::Deaf.reference();
    let program = Site::on(Engine::at(site.host()).await.unwrap(), "swarm").unwrap();
    let windlass = program.start_with(&["--listen", "127.0.0.1:0", "--engine", "swarm"]).await.unwrap();
    let started = windlass.post("/start/container", start_body(image, 2, 4)).await;
    assert!(started.status < 300, "{started}");
    let containers = eventually("two tasks", WAIT, async || {
        let listed = windlass.get(&format!("/images/{image}/containers")).await;
        let containers = listed.list("/containers").to_vec();
        let are_running = containers.len() == 2 && containers.iter().all(|it| it["status"] == "running");
        if are_running { Ok(containers) } else { Err(listed.to_string()) }
    })
    .await;
    let path = format!("/containers/{}", containers[0]["name"].as_str().unwrap());
    for refused in [windlass.patch(&path, json!({"status": "stopped"})).await, windlass.delete(&path).await] {
        assert_eq!(refused.status, 409, "{refused}");
    }
    windlass.delete(&format!("/images/{image}")).await.ok();
    let label = format!("label=windlass.instance={}", program.instance());
    assert_eq!(site.docker(&["service", "ls", "--quiet", "--filter", &label]), "");
}

//! The program on a Swarm: a workload of a start request, and a service with labels that follows a metric.

use super::WAIT;
use super::site::SwarmSite;
use serde_json::json;
use std::collections::BTreeMap;
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::swarm::NODES;
use windlass_tests::wait::eventually;

pub(crate) async fn the_program_scales_services(site: &SwarmSite) {
    // A replica for each 30 of a metric, up and down at once.
    let policy =
        r#"{ name = "target-tracking", config = { metrics = [{ name = "load", target = 30, kind = "total" }] } }"#;
    let program = Site::on(Engine::at(site.host()).await.unwrap(), "swarm")
        .unwrap()
        .set("profiles.busy.metrics", "{ load = { push = {} } }")
        .set("profiles.busy.scaling_policy", policy)
        .set("profiles.busy.guardrails", r#"{ grace = 0, scale_up = { rates = [] }, scale_down = { window = "1s" } }"#);
    let windlass = program.start_with(&["--listen", "127.0.0.1:0", "--engine", "swarm"]).await.unwrap();
    let (windlass, instance) = (&windlass, program.instance());
    tokio::join!(
        the_program_starts_a_service_and_leaves_its_tasks_to_swarm(site, windlass, instance),
        a_jump_of_a_metric_grows_a_service_across_nodes_and_back(site, windlass, instance),
    );
}

async fn the_program_starts_a_service_and_leaves_its_tasks_to_swarm(
    site: &SwarmSite,
    windlass: &Windlass,
    instance: &str,
) {
    let image = Fixture::Deaf.reference();
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
    let label = format!("label=windlass.instance={instance}");
    let services = site.docker(&["service", "ls", "--filter", &label, "--format", "{{.Name}}"]).await;
    assert!(services.lines().all(|service| service == "busy"), "{services}");
}

async fn a_jump_of_a_metric_grows_a_service_across_nodes_and_back(
    site: &SwarmSite,
    windlass: &Windlass,
    instance: &str,
) {
    let labels = ["--label", "windlass.min=1", "--label", "windlass.max=9", "--label", "windlass.mode=act"];
    let more = ["--label", "windlass.profile=busy", Fixture::Deaf.reference()];
    site.create_for(instance, "busy", 1, &[&labels[..], &more].concat()).await;
    let follows = async |load: u32, expected: &[usize]| {
        let body = json!({"samples": [{"name": "load", "value": load}]});
        eventually("the workload to take the metric", WAIT, async || {
            match windlass.post("/workloads/busy/metrics", body.clone()).await {
                pushed if pushed.status == 200 => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .await;
        eventually("the tasks to follow the metric", WAIT, async || {
            let listed = ["service", "ps", "--filter", "desired-state=running", "--format"];
            let format = ["{{.Node}} {{.CurrentState}}", "busy"];
            let tasks = site.docker(&[&listed[..], &format].concat()).await;
            let mut nodes: BTreeMap<&str, usize> = BTreeMap::new();
            for task in tasks.lines().filter(|task| task.contains("Running")) {
                *nodes.entry(task.split(' ').next().unwrap_or_default()).or_default() += 1;
            }
            let mut counts: Vec<usize> = nodes.into_values().collect();
            counts.sort_unstable();
            if counts == expected && tasks.lines().count() == counts.iter().sum::<usize>() {
                Ok(())
            } else {
                Err(tasks)
            }
        })
        .await;
    };
    follows(170, &[2; NODES]).await;
    follows(55, &[1, 1]).await;
    // A decision is recorded after its change was made.
    eventually("the decisions about both changes", WAIT, async || {
        let decisions = windlass.get("/workloads/busy/decisions?limit=20").await.ok().to_string();
        let missing = ["scale-out from 1 to 6", "scale-in from 6 to 2"].into_iter().find(|it| !decisions.contains(it));
        missing.map_or(Ok(()), |missing| Err(format!("no `{missing}`: {decisions}")))
    })
    .await;
    site.docker(&["service", "rm", "busy"]).await;
}

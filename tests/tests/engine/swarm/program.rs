//! The program on a Swarm: a workload of a start request, and a service with labels that follows a metric.

use super::WAIT;
use super::site::SwarmSite;
use super::{endpoints, rollback};
use serde_json::json;
use std::collections::BTreeSet;
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass};
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
        endpoints::the_ten_endpoints_answer_for_tasks(site, windlass),
        rollback::the_command_ends_a_paused_update(site, windlass, instance),
        rollback::the_command_returns_a_workload_of_a_start_request(site, windlass),
        a_jump_of_a_metric_grows_a_service_across_nodes_and_back(site, windlass, instance),
    );
    let label = format!("label=windlass.instance={instance}");
    assert_eq!(site.docker(&["service", "ls", "--quiet", "--filter", &label]).await, "", "no service is left");
}

async fn a_jump_of_a_metric_grows_a_service_across_nodes_and_back(
    site: &SwarmSite,
    windlass: &Windlass,
    instance: &str,
) {
    let labels = ["--label", "windlass.min=1", "--label", "windlass.max=9", "--label", "windlass.mode=act"];
    let more = ["--label", "windlass.profile=busy", Fixture::Deaf.reference()];
    site.create_for(instance, "busy", 1, &[&labels[..], &more].concat()).await;
    let follows = async |load: u32, tasks: usize, on_nodes_at_least: usize| {
        let body = json!({"samples": [{"name": "load", "value": load}]});
        eventually("the workload to take the metric", WAIT, async || {
            match windlass.post("/workloads/busy/metrics", body.clone()).await {
                pushed if pushed.status == 200 => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .await;
        eventually("the tasks to follow the metric", WAIT, async || {
            let nodes = site.nodes_of("busy").await?;
            let different: BTreeSet<&String> = nodes.iter().collect();
            let is_so = nodes.len() == tasks && different.len() >= on_nodes_at_least;
            if is_so { Ok(()) } else { Err(nodes.join(" ")) }
        })
        .await;
    };
    // Swarm spreads them over the nodes. A busy machine may lose one of the three for a moment.
    follows(170, 6, 2).await;
    follows(55, 2, 1).await;
    // A decision is recorded after its change was made.
    eventually("the decisions about both changes", WAIT, async || {
        let decisions = windlass.get("/workloads/busy/decisions?limit=20").await.ok().to_string();
        let missing = ["scale-out from 1 to 6", "scale-in from 6 to 2"].into_iter().find(|it| !decisions.contains(it));
        missing.map_or(Ok(()), |missing| Err(format!("no `{missing}`: {decisions}")))
    })
    .await;
    site.docker(&["service", "rm", "busy"]).await;
}

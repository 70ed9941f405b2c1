//! `windlass rollback` on a Swarm: of a service with labels whose update failed, and of a workload of a start request.

use super::WAIT;
use super::deploys::CRASH;
use super::site::SwarmSite;
use serde_json::{Value, json};
use windlass_tests::commands::Caller;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Windlass, start_body};
use windlass_tests::swarm::finished;
use windlass_tests::wait::eventually;

/// Runs the program as a person does, and returns its standard output, or the text of its failure.
async fn windlass_command(windlass: &Windlass, arguments: &[&str]) -> Result<String, String> {
    let server = format!("http://{}", windlass.address());
    let caller = Caller::new().unwrap().with("WINDLASS_SERVER", &server);
    let mut command = caller.windlass(arguments).unwrap().into();
    finished(&mut command).await.map_err(|error| format!("{error:#}"))
}

/// An update that failed leaves a paused service, which Windlass does not touch by itself. The command ends it: the
/// specification before comes back, with the count of now.
pub(crate) async fn the_command_ends_a_paused_update(site: &SwarmSite, windlass: &Windlass, instance: &str) {
    let labels = ["--label", "windlass.min=1", "--label", "windlass.max=5", "--label", "windlass.mode=act"];
    let update = ["--update-monitor", "10s", "--update-failure-action", "pause", Fixture::Web.reference()];
    site.create_for(instance, "failing", 1, &[&labels[..], &update].concat()).await;
    eventually("the workload to be adopted and ready", WAIT, async || match windlass.get("/workloads/failing").await {
        found if found.status == 200 && found.body["observed"]["running"] == 1 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let refused = windlass_command(windlass, &["rollback", "failing"]).await.unwrap_err();
    assert!(refused.contains("no earlier specification of service `failing` is known"), "{refused}");
    let good = site.inspect("failing").await["Spec"]["TaskTemplate"]["ContainerSpec"].take();
    let forced = json!({"force": {"replicas": 2, "for": "1h"}});
    assert_eq!(windlass.patch("/workloads/failing/overrides", forced).await.status, 200);
    has_count(site, 2).await;

    site.docker(&[&CRASH[..], &["failing"]].concat()).await;
    // Without the forced count, nothing may change during the update.
    assert_eq!(windlass.patch("/workloads/failing/overrides", json!({"force": null})).await.status, 200);
    eventually("the alert about the paused update", WAIT, async || {
        let alerts = windlass.get("/workloads/failing").await.body["alerts"].to_string();
        if alerts.contains("rollout-paused") { Ok(()) } else { Err(alerts) }
    })
    .await;
    let done = windlass_command(windlass, &["rollback", "failing"]).await.unwrap();
    assert!(done.starts_with("failing: returns to the state before"), "{done}");
    let service = site.inspect("failing").await;
    assert_eq!(service["Spec"]["TaskTemplate"]["ContainerSpec"], good, "the earlier specification");
    assert_eq!(service["Spec"]["Mode"]["Replicated"]["Replicas"], 2, "and the count of now");
    eventually("the end of the update", WAIT, async || {
        let state = site.inspect("failing").await["UpdateStatus"]["State"].take();
        if state == "completed" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
    // From then on, the count follows again.
    let forced = json!({"force": {"replicas": 3, "for": "1h"}});
    assert_eq!(windlass.patch("/workloads/failing/overrides", forced).await.status, 200);
    has_count(site, 3).await;
    site.docker(&["service", "rm", "failing"]).await;
}

async fn has_count(site: &SwarmSite, count: u32) {
    eventually("the count", WAIT, async || {
        let now = site.count_of("failing").await;
        if now == count { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

/// The generation before comes back, and the command waits for its last task.
pub(crate) async fn the_command_returns_a_workload_of_a_start_request(site: &SwarmSite, windlass: &Windlass) {
    let start = async |version: &str| {
        let mut body = start_body(Fixture::Deaf.reference(), 1, 2);
        body["name"] = json!("returned");
        body["env"] = json!({"VERSION": version});
        // A failure in its first second would be a failed update.
        body["rollout"] = json!({"min_ready": "1s"});
        let started = windlass.post("/start/container", body).await;
        assert_eq!(started.status, 200, "{started}");
        is_settled(site, windlass, version).await;
    };
    start("1").await;
    let refused = windlass_command(windlass, &["rollback", "returned"]).await.unwrap_err();
    assert!(refused.contains("`returned` has no generation before the current one"), "{refused}");
    start("2").await;
    let done = windlass_command(windlass, &["rollback", "returned", "--wait", "--timeout", "90s"]).await.unwrap();
    assert!(done.starts_with("returned: returns to the state before"), "{done}");
    is_settled(site, windlass, "1").await;
    windlass.delete("/workloads/returned").await.ok();
}

/// Waits until the only task has this version, and the service has no update in progress.
async fn is_settled(site: &SwarmSite, windlass: &Windlass, version: &str) {
    eventually("the task of this version", WAIT, async || {
        let seen = windlass.get("/workloads/returned").await;
        let containers: &[Value] = seen.body["observed"]["containers"].as_array().map_or(&[], Vec::as_slice);
        let [task] = containers else { return Err(seen.to_string()) };
        let service = task["name"].as_str().and_then(|name| name.split('.').next()).unwrap();
        let now = site.inspect(service).await;
        let env = &now["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"];
        let is_at_rest = now["UpdateStatus"]["State"] != "updating" && seen.body["observed"]["outdated"] == 0;
        let is_so = env.to_string().contains(&format!("\"VERSION={version}\"")) && task["status"] == "running";
        if is_at_rest && is_so { Ok(()) } else { Err(format!("{seen} {now}")) }
    })
    .await;
}

//! Two programs of an instance on two managers: one acts, and the other one when the first is killed.

use super::WAIT;
use super::site::SwarmSite;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::site::Site;
use windlass_tests::wait::eventually;

/// The time in which another Windlass acts, as the manual says.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(40);

const ARGUMENTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--engine", "swarm"];

pub(crate) async fn a_standby_acts_when_the_acting_program_is_killed(site: &SwarmSite) {
    let program = async |host: &str| {
        let engine = Engine::at(host).await.unwrap();
        Site::on(engine, "standby").unwrap().set("engine.instance", r#""pair""#)
    };
    let [first, second] = [program(site.host()).await, program(site.other_host()).await];
    let acting = first.start_with(&ARGUMENTS).await.unwrap();
    let standby = second.start_with(&ARGUMENTS).await.unwrap();
    let labels = ["--label", "windlass.min=2", "--label", "windlass.max=9", "--label", "windlass.mode=act"];
    site.create_for("pair", "handed", 1, &[&labels[..], &[Fixture::Deaf.reference()]].concat()).await;
    let has_count = async |count: u32, limit: Duration| {
        eventually("the count of the service", limit, async || {
            let now = site.inspect("handed").await["Spec"]["Mode"]["Replicated"]["Replicas"].clone();
            if now == json!(count) { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    };
    has_count(2, WAIT).await;
    let leader = eventually("the standby to know the service and the leader", WAIT, async || {
        let (ready, seen) = (standby.get("/ready").await, standby.get("/workloads/handed").await);
        let leader = ready.body["standby"].as_str().map(str::to_owned).filter(|_| seen.status == 200);
        leader.ok_or_else(|| format!("{ready} {seen}"))
    })
    .await;
    assert_eq!(acting.get("/ready").await.ok()["standby"], json!(null));
    let refused = standby.patch("/workloads/handed/overrides", json!({"paused": true})).await;
    assert_eq!(refused.status, 409, "{refused}");
    assert!(leader.contains("acts") && refused.to_string().contains("acts"), "{leader} {refused}");

    acting.kill().unwrap();
    let killed = Instant::now();
    site.docker(&["service", "update", "--detach", "--label-add", "windlass.min=3", "handed"]).await;
    has_count(3, TAKES_OVER_WITHIN).await;
    assert!(killed.elapsed() < TAKES_OVER_WITHIN, "{:?}", killed.elapsed());
    assert_eq!(standby.get("/ready").await.ok()["standby"], json!(null));
    site.docker(&["service", "rm", "handed"]).await;
}

//! Two programs of an instance on two managers: one acts, and the other one when the first hangs or is killed.

use super::WAIT;
use super::site::SwarmSite;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::response::Response;
use windlass_tests::site::{Site, Windlass};
use windlass_tests::wait::{eventually, throughout};

/// The time in which another Windlass acts. The manual says 40 s, and the machine of the tests has other work.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(60);

const ARGUMENTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--engine", "swarm"];

/// The service, which the labels keep between 2 and 9.
const SERVICE: &str = "handed";

/// The counts that operators force through the first and the second program. Neither knows the wish of the other one.
const WISH_OF_FIRST: u32 = 4;
const WISH_OF_SECOND: u32 = 3;

/// A program that is stopped and goes on later still has its wish, and wakes up in the middle of what it did. It may write
/// nothing before it holds the lease again.
pub(crate) async fn a_program_that_hangs_or_is_killed_is_replaced_and_one_that_goes_on_stands_by(site: &SwarmSite) {
    let program = async |host: &str| {
        let engine = Engine::at(host).await.unwrap();
        Site::on(engine, "standby").unwrap().set("engine.instance", r#""pair""#).set("control.interval", r#""1s""#)
    };
    let sites = [program(site.host()).await, program(site.other_host()).await];
    let first = sites[0].start_with(&ARGUMENTS).await.unwrap();
    let second = sites[1].start_with(&ARGUMENTS).await.unwrap();
    let labels = ["--label", "windlass.min=2", "--label", "windlass.max=9", "--label", "windlass.mode=act"];
    site.create_for("pair", SERVICE, 1, &[&labels[..], &[Fixture::Deaf.reference()]].concat()).await;
    has_count(site, 2).await;
    stands_by(&second).await;
    acts(&first).await;
    assert_refused(&force(&second, WISH_OF_SECOND).await);
    assert_eq!(force(&first, WISH_OF_FIRST).await.status, 200);
    has_count(site, WISH_OF_FIRST).await;

    signal(&first, Signal::STOP);
    takes_over(&second, WISH_OF_SECOND).await;
    has_count(site, WISH_OF_SECOND).await;
    let written = version(site).await;
    signal(&first, Signal::CONT);
    assert_refused(&force(&first, WISH_OF_FIRST + 1).await);
    let leader = stands_by(&first).await;
    throughout("the count of the program that acts", Duration::from_secs(8), async || {
        match (version(site).await, &*stands_by(&first).await) {
            (now, by) if now == written && by == leader => Ok(()),
            other => Err(format!("{other:?} after {written}")),
        }
    })
    .await;
    assert_eq!(site.count_of(SERVICE).await, WISH_OF_SECOND);
    assert_refused(&force(&first, WISH_OF_FIRST + 1).await);
    acts(&second).await;

    second.kill().unwrap();
    has_count(site, WISH_OF_FIRST).await;
    acts(&first).await;
    site.docker(&["service", "rm", SERVICE]).await;
}

fn signal(windlass: &Windlass, signal: Signal) {
    let process = i32::try_from(windlass.pid()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(process, signal).unwrap();
}

async fn version(site: &SwarmSite) -> Value {
    site.inspect(SERVICE).await["Version"]["Index"].take()
}

async fn has_count(site: &SwarmSite, count: u32) {
    eventually("the count of the service", TAKES_OVER_WITHIN, async || {
        let now = site.count_of(SERVICE).await;
        if now == json!(count) { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

async fn force(windlass: &Windlass, replicas: u32) -> Response {
    let body = json!({"force": {"replicas": replicas, "for": "1h"}});
    windlass.patch(&format!("/workloads/{SERVICE}/overrides"), body).await
}

/// A request that a standby refuses, with the reason.
#[track_caller]
fn assert_refused(answer: &Response) {
    assert_eq!(answer.status, 409, "{answer}");
    let why = answer.text("/detail");
    assert!(why.contains("acts, and this one stands by") || why.contains("waits until it knows"), "{why}");
}

/// Waits until the program takes an operator's wish, which one that stands by refuses.
async fn takes_over(windlass: &Windlass, wish: u32) {
    eventually("the standby to act", TAKES_OVER_WITHIN, async || match force(windlass, wish).await {
        done if done.status == 200 => Ok(()),
        refused => {
            assert_refused(&refused);
            Err(refused.to_string())
        }
    })
    .await;
}

/// Waits until the program knows the service and says which other one acts.
async fn stands_by(windlass: &Windlass) -> String {
    eventually("the standby to know the service and the leader", WAIT, async || {
        let (ready, seen) = (windlass.get("/ready").await, windlass.get(&format!("/workloads/{SERVICE}")).await);
        let leader =
            ready.body["standby"].as_str().filter(|by| by.contains("acts, and this one") && seen.status == 200);
        leader.map(str::to_owned).ok_or_else(|| format!("{ready} {seen}"))
    })
    .await
}

/// Waits until the program is ready and stands by for nobody.
async fn acts(windlass: &Windlass) {
    eventually("the program to act", WAIT, async || match windlass.get("/ready").await {
        ready if ready.status == 200 && ready.body["standby"].is_null() => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
}

//! Containers of a workload over time: scaling, repair, adoption, and containers that are not Windlass's own.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use windlass_tests::callback::Callback;
use windlass_tests::engine::{IMAGE_LABEL, INSTANCE_LABEL};
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, ending, start_body};
use windlass_tests::wait::{eventually, throughout};
use windlass_tests::workloads::running;

const WEB: &str = "windlass-tests/web:1";

/// Time limit, generous enough for two cores that compile other programs at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// An interval so long that no effect in a test depends on it.
const NO_TIMER: (&str, &str) = ("control.interval", "\"1h\"");

async fn web(site: &Site, windlass: &Windlass, replicas: u32) -> anyhow::Result<Vec<String>> {
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut body = start_body(image, replicas, replicas);
    body["resources"]["cpu"] = json!("0.1");
    windlass.post("/start/container", body).await.ok();
    running(site, replicas as usize).await
}

/// Every container of this Windlass on the engine, running or not.
async fn all(site: &Site) -> anyhow::Result<usize> {
    Ok(site.engine().containers(site.instance()).await?.len())
}

fn identifiers(response: &Value) -> Vec<String> {
    let containers = response["containers"].as_array().or(response["current"].as_array());
    let containers = containers.into_iter().flatten();
    containers.filter_map(|container| container["container_id"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn scaling_down_removes_the_oldest_first() -> anyhow::Result<()> {
    let site = Site::new("oldest").await?;
    let windlass = site.start().await?;
    let oldest = web(&site, &windlass, 1).await?;
    let scale = async |count: u32| {
        let body = json!({"min_replicas": count, "max_replicas": count});
        windlass.post(&format!("/images/{WEB}/scale"), body).await.ok()
    };
    let three = identifiers(&scale(3).await);
    assert_eq!(three.len(), 3);
    assert!(three.contains(&oldest[0]));
    // All are healthy; otherwise unhealthy and starting replicas would be removed first.
    eventually("all three to be healthy", LIMIT, async || {
        let health = windlass.get(&format!("/images/{WEB}/health")).await;
        let alive = health.list("/health").iter().filter(|replica| replica["server_alive"] == true).count();
        if alive == 3 { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    let one = identifiers(&scale(1).await);
    assert_eq!(one.len(), 1);
    assert!(!one.contains(&oldest[0]), "the oldest stayed");
    assert_eq!(running(&site, 1).await?, one);
    Ok(())
}

#[tokio::test]
async fn a_container_killed_from_outside_is_replaced_without_waiting_for_the_timer() -> anyhow::Result<()> {
    let site = Site::new("killed").await?.set(NO_TIMER.0, NO_TIMER.1);
    let windlass = site.start().await?;
    let before = web(&site, &windlass, 2).await?;
    site.engine().kill(&before[0]).await?;
    eventually("another in its place", LIMIT, async || {
        let now = site.engine().running(site.instance()).await.map_err(|error| error.to_string())?;
        let replaced = now.len() == 2 && !now.contains(&before[0]) && now.contains(&before[1]);
        if replaced { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    eventually("the dead one to be removed", LIMIT, async || match all(&site).await {
        Ok(2) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_container_removed_from_outside_is_replaced_too() -> anyhow::Result<()> {
    let site = Site::new("removed").await?.set(NO_TIMER.0, NO_TIMER.1);
    let windlass = site.start().await?;
    let before = web(&site, &windlass, 1).await?;
    site.engine().remove(&before[0]).await;
    assert_ne!(running(&site, 1).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_terminated_windlass_leaves_its_containers_and_the_next_adopts_them() -> anyhow::Result<()> {
    let site = Site::new("adopt").await?;
    let mut windlass = site.start().await?;
    let before = web(&site, &windlass, 2).await?;
    let status = windlass.terminate().await?;
    assert_eq!(ending(status), "code 0", "{}", windlass.log());
    assert_eq!(running(&site, 2).await?, before);

    let windlass = site.start().await?;
    let adopted = windlass.post(&format!("/images/{WEB}/reconcile"), Value::Null).await.ok();
    assert_eq!(adopted["actions"], json!([]), "{adopted}");
    let adopted: BTreeSet<String> = identifiers(&adopted).into_iter().collect();
    assert_eq!(adopted, before.into_iter().collect());
    Ok(())
}

#[tokio::test]
async fn killed_amid_scaling_up_to_twenty_the_next_one_ends_at_exactly_twenty() -> anyhow::Result<()> {
    let site = Site::new("twenty").await?;
    let windlass = site.start().await?;
    web(&site, &windlass, 1).await?;
    // No caller waits for the answer: the process is killed when a few containers exist. The engine still creates the
    // containers requested before the kill, so more must be wanted than that.
    // engine was asked for by then it goes on to create, so there must be more than that.
    let url = format!("/images/{WEB}/scale");
    let body = json!({"min_replicas": 20, "max_replicas": 20}).to_string();
    tokio::select! {
        answer = windlass.try_request(reqwest::Method::POST, &url, Some(body)) => {
            anyhow::bail!("it was over before it could be killed: {:?}", answer.map(|answer| answer.to_string()));
        }
        () = eventually("a few of the twenty", LIMIT, async || match all(&site).await {
            Ok(count) if count >= 4 => Ok(()),
            other => Err(format!("{other:?}")),
        }) => {}
    }
    windlass.kill()?;
    let amid = all(&site).await?;
    assert!(amid < 20, "it was over before it was killed: {amid} are there");

    let windlass = site.start().await?;
    let desired = windlass.get(&format!("/images/{WEB}")).await.ok();
    assert_eq!((&desired["desired"]["min_replicas"], &desired["desired"]["max_replicas"]), (&json!(20), &json!(20)));
    running(&site, 20).await?;
    windlass.post(&format!("/images/{WEB}/reconcile"), Value::Null).await.ok();
    throughout("exactly twenty, and all of them running", Duration::from_secs(3), async || {
        let there = all(&site).await.map_err(|error| error.to_string())?;
        let running = site.engine().running(site.instance()).await.map_err(|error| error.to_string())?.len();
        if (there, running) == (20, 20) { Ok(()) } else { Err(format!("{there} are there, {running} run")) }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_crash_looping_image_settles_into_backoff() -> anyhow::Result<()> {
    let site = Site::new("crash").await?.set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Crash).await?;
    let windlass = site.start().await?;
    let since = epoch_seconds();
    // Whether the start itself fails depends on how soon the process crashed.
    windlass.post("/start/container", start_body(image, 1, 1)).await;
    let until = since + 25;
    let one_container = throughout("one container at most", Duration::from_secs(25), async || match all(&site).await {
        // A replacement is created before or after the old container goes.
        Ok(count) if count <= 2 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // The engine remembers only its last 256 events, and other tests cause many: they are read as they come.
    let ((), starts) = tokio::join!(one_container, site.engine().count_events(site.instance(), "start", since, until));
    let starts = starts?;
    // The first start, the restart at once, and another after 10 s; without backoff there would be dozens.
    assert!((2..=4).contains(&starts), "{starts} starts in 25 s");
    let shown = windlass.get(&format!("/images/{image}")).await.ok();
    let container = &shown["observed"]["containers"][0];
    assert_eq!((&container["health"], &container["exit_code"]), (&json!("unhealthy"), &json!(1)), "{shown}");
    let deferred = shown["last_pass"]["deferred"][0]["reason"].as_str().unwrap_or_default();
    assert!(deferred.contains("backoff after"), "{shown}");
    Ok(())
}

fn epoch_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[tokio::test]
async fn containers_of_others_are_not_listed_not_touched_and_not_found() -> anyhow::Result<()> {
    let site = Site::new("foreign").await?;
    let engine = site.engine();
    let image = engine.prepare(Fixture::Web).await?;
    let plain = format!("{}-plain", site.instance());
    let other = format!("{}-other", site.instance());
    let other_labels =
        [(IMAGE_LABEL, WEB), (INSTANCE_LABEL, "another-windlass"), ("windlass.workload", WEB), ("windlass.slot", "0")];
    let foreign = [engine.run(&plain, image, &[]).await?, engine.run(&other, image, &other_labels).await?];

    let outcome = async {
        let windlass = site.start().await?;
        let own = web(&site, &windlass, 1).await?;
        assert_eq!(identifiers(&windlass.get("/containers").await.ok()), own);
        for name in [&plain, &other, &foreign[0], &foreign[1]] {
            let path = format!("/containers/{name}");
            let expected = json!(format!("there is no container `{name}`"));
            for response in [
                windlass.patch(&path, json!({"status": "stopped"})).await,
                windlass.delete(&path).await,
                windlass.delete(&format!("{path}?force=true")).await,
            ] {
                assert_eq!((response.status, &response.body["detail"]), (404, &expected), "{response}");
            }
        }
        windlass.post(&format!("/images/{WEB}/scale"), json!({"min_replicas": 0, "max_replicas": 1})).await.ok();
        windlass.delete(&format!("/images/{WEB}")).await.ok();
        for id in &foreign {
            let state = engine.docker().inspect_container(id, None).await?.state;
            assert_eq!(state.and_then(|state| state.running), Some(true), "a foreign container was touched");
        }
        anyhow::Ok(())
    };
    let outcome = outcome.await;
    for id in &foreign {
        engine.remove(id).await;
    }
    outcome
}

#[tokio::test]
async fn what_fails_its_probe_is_restarted_and_then_replaced() -> anyhow::Result<()> {
    let site = Site::new("probe")
        .await?
        .set("control.interval", "\"1s\"")
        .set("control.backoff_base", "\"1s\"")
        .set("control.health_config", "{ start-period-ms = 1000, failure-threshold = 2 }");
    let image = site.engine().prepare(Fixture::Deaf).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 1, 1);
    body["probe"] = json!({"tcp": {"port": 80}, "interval": "1s", "timeout": "200ms"});
    let first = windlass.post("/start/container", body).await.text("/container_id");
    let engine = site.engine();
    let began = engine.docker().inspect_container(&first, None).await?.state.and_then(|state| state.started_at);

    eventually("the same container to be started again", LIMIT, async || {
        let now = engine.docker().inspect_container(&first, None).await.map_err(|error| error.to_string())?;
        let started = now.state.and_then(|state| state.started_at);
        if started == began { Err(format!("{started:?}")) } else { Ok(()) }
    })
    .await;
    eventually("another container in its place", LIMIT, async || {
        let running = engine.running(site.instance()).await.map_err(|error| error.to_string())?;
        if running.len() == 1 && running[0] != first { Ok(()) } else { Err(format!("{running:?}")) }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn the_discovery_callback_hears_of_create_start_and_stop() -> anyhow::Result<()> {
    let callback = Callback::listen().await?;
    let site = Site::new("callback").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    // No replica is wanted, so a stopped container is not replaced and may start again.
    let mut body = start_body(image, 0, 1);
    body["env"] = json!({"DISCOVERY_CALLBACK": callback.url()});
    body["ports"] = json!({"80/tcp": 0});
    let name = windlass.post("/start/container", body).await.text("/name");
    windlass.patch(&format!("/containers/{name}"), json!({"status": "stopped"})).await.ok();
    windlass.patch(&format!("/containers/{name}"), json!({"status": "running"})).await.ok();

    eventually("the events create, stop and start", Duration::from_secs(20), async || {
        let received = callback.received();
        let of_first = received.iter().filter(|told| told["name"] == *name);
        let events: BTreeSet<&str> = of_first.filter_map(|told| told["event"].as_str()).collect();
        if events == BTreeSet::from(["create", "start", "stop"]) { Ok(()) } else { Err(format!("{received:?}")) }
    })
    .await;
    let received = callback.received();
    let stopped = received.iter().find(|told| told["name"] == *name && told["event"] == "stop");
    let stopped = stopped.cloned().unwrap_or_default();
    let fields: BTreeSet<&str> = stopped.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    let expected = ["image", "container_id", "name", "host", "ports", "status", "event"];
    assert_eq!(fields, BTreeSet::from(expected));
    assert_eq!((&stopped["image"], &stopped["status"]), (&json!(WEB), &json!("stopped")));
    Ok(())
}

#[tokio::test]
async fn a_container_that_ignores_being_asked_is_killed_after_its_grace() -> anyhow::Result<()> {
    let site = Site::new("stubborn").await?.set("control.stop_grace", "\"1s\"");
    let image = site.engine().prepare(Fixture::Stubborn).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    windlass.delete(&format!("/images/{image}")).await.ok();
    assert_eq!(all(&site).await?, 0);
    Ok(())
}

//! Changes that people make to containers through the engine, and engines that answer only in part.

use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::engine_proxy::{EngineProxy, Treatment};
use windlass_tests::images::Fixture;
use windlass_tests::private_engine::PrivateEngine;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::{eventually, throughout};
use windlass_tests::workloads::target_after_pass;

const SOON: Duration = Duration::from_secs(20);

async fn observed(windlass: &Windlass, image: &str) -> Value {
    windlass.get(&format!("/images/{image}")).await.ok()
}

/// The phases of the containers, by identifier.
fn phase_of<'a>(view: &'a Value, id: &str) -> &'a str {
    let containers = view["observed"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = containers.iter().find(|container| container["container_id"] == id);
    found.and_then(|container| container["phase"].as_str()).unwrap_or("absent")
}

fn alerts(view: &Value) -> Vec<&str> {
    let alerts = view["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
    alerts.iter().filter_map(|alert| alert["kind"].as_str()).collect()
}

#[tokio::test]
async fn a_stop_is_kept_whatever_its_signal_and_while_windlass_is_down() -> anyhow::Result<()> {
    // The engine remembers its latest 256 events. Other tests send as many to the machine's engine within seconds.
    let engine = PrivateEngine::start().await?;
    let site = Site::on(engine.engine().await?, "stop-signal")?;
    let image = site.engine().prepare(Fixture::StopsByUsr1).await?;
    let mut windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 2, 2)).await.ok();
    let both = site.engine().running(site.instance()).await?;
    let left = async |windlass: &Windlass, count: usize| {
        let text = match count {
            1 => "; 1 replica was stopped outside Windlass and stays stopped".to_owned(),
            more => format!("; {more} replicas were stopped outside Windlass and stay stopped"),
        };
        let (_, reason) = target_after_pass(windlass, image).await;
        if reason.ends_with(&text) { Ok(()) } else { Err(reason) }
    };
    site.engine().stop(&both[0]).await?;
    eventually("the stopped one is left", SOON, async || left(&windlass, 1).await).await;
    // Windlass sees the other stop only in the engine's past events.
    assert!(windlass.terminate().await?.success());
    site.engine().stop(&both[1]).await?;
    let windlass = site.start().await?;
    eventually("both are left", SOON, async || left(&windlass, 2).await).await;
    assert_eq!(site.engine().containers(site.instance()).await?.len(), 2, "nothing was created instead");
    Ok(())
}

#[tokio::test]
async fn windlass_stops_a_replica_without_a_record_of_a_stop() -> anyhow::Result<()> {
    let site = Site::new("own-stop").await?.set("control.stop_grace", "\"1s\"");
    // Its process ignores the stop signal, so that it has to be killed.
    let image = site.engine().prepare(Fixture::Stubborn).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    windlass.delete(&format!("/images/{image}")).await.ok();
    assert!(site.engine().containers(site.instance()).await?.is_empty());
    let until = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() + 1;
    let count = async |action| site.engine().count_events(site.instance(), action, begun, until).await;
    assert_eq!((count("kill").await?, count("stop").await?), (2, 0));
    Ok(())
}

#[tokio::test]
async fn a_paused_container_is_not_ready_and_is_left_paused() -> anyhow::Result<()> {
    let site = Site::new("paused").await?.set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 2, 2);
    body["ports"] = json!({"80/tcp": 0});
    windlass.post("/start/container", body).await.ok();
    let both = site.engine().running(site.instance()).await?;
    let listed = async || windlass.get("/discovery/prometheus").await.ok().to_string().matches("container_id").count();
    eventually("both are listed", SOON, async || match listed().await {
        2 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    site.engine().pause(&both[0]).await?;
    eventually("it is paused and not listed", SOON, async || {
        let view = observed(&windlass, image).await;
        let listed = listed().await;
        if phase_of(&view, &both[0]) == "paused" && listed == 1 { Ok(()) } else { Err(format!("{listed} {view}")) }
    })
    .await;
    throughout("it is left paused", Duration::from_secs(3), async || {
        let count = site.engine().containers(site.instance()).await.map_err(|error| error.to_string())?.len();
        let view = observed(&windlass, image).await;
        if count == 2 && phase_of(&view, &both[0]) == "paused" { Ok(()) } else { Err(format!("{count} {view}")) }
    })
    .await;
    site.engine().unpause(&both[0]).await?;
    eventually("both are listed again", SOON, async || match listed().await {
        2 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    assert_eq!(site.engine().running(site.instance()).await?, both);
    Ok(())
}

#[tokio::test]
async fn a_copy_of_a_replica_is_a_stranger_and_its_name_blocks_one_slot_only() -> anyhow::Result<()> {
    let site = Site::new("strangers").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 3)).await.ok();
    let original = site.engine().containers(site.instance()).await?.pop().context("one runs")?;
    let labels = original.labels.context("it has labels")?;
    let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // `docker commit` copies the labels into the image, so `docker run` gives them to its container.
    let copy = site.engine().run(&format!("{}-copy", site.instance()), image, &labels).await?;
    let listed = async || {
        let view = observed(&windlass, image).await;
        let is_listed = view["observed"]["strangers"][0]["container_id"] == copy.as_str();
        if is_listed && view["observed"]["replicas"] == 1 { Ok(()) } else { Err(view.to_string()) }
    };
    windlass.post(&format!("/images/{image}/reconcile"), json!({})).await.ok();
    eventually("the copy is a stranger", SOON, listed).await;
    let refused = windlass.patch(&format!("/containers/{copy}"), json!({"status": "stopped"})).await;
    assert_eq!(refused.status, 409, "{refused}");
    assert!(refused.text("/detail").contains("Windlass did not create it"), "{refused}");
    // Another container has the name of slot 2.
    let name = original.names.and_then(|names| names.into_iter().next()).context("it has a name")?;
    let taken = name.trim_start_matches('/').strip_suffix("-1").map(|stem| format!("{stem}-2")).context("slot 1")?;
    let foreign = site.engine().run(&taken, image, &[]).await?;
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 2, "max_replicas": 3})).await.ok();
    let two = async || {
        let view = observed(&windlass, image).await;
        if view["observed"]["running"] == 2 && alerts(&view) == ["blocked"] { Ok(view) } else { Err(view.to_string()) }
    };
    let view = eventually("another slot is filled", SOON, two).await;
    let reason = view["alerts"][0]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains(&foreign[..12]) && reason.contains(&taken), "{reason}");
    // Nothing touches the two others, even if the workload is deleted.
    windlass.delete(&format!("/images/{image}")).await.ok();
    let running = site.engine().running(site.instance()).await?;
    site.engine().docker().inspect_container(&foreign, None).await?;
    site.engine().remove(&foreign).await;
    assert_eq!(running, [copy]);
    Ok(())
}

#[tokio::test]
async fn one_container_that_cannot_be_inspected_leaves_the_others_managed() -> anyhow::Result<()> {
    let site = Site::new("undescribed").await?;
    let proxy = EngineProxy::start(&site.folder().join("proxy.sock"), site.engine().host())?;
    let site = site.set("engine.host", &json!(proxy.host()).to_string()).set("control.interval", "\"1s\"");
    let site = site.set("control.backoff_base", "\"1s\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 2, 2)).await.ok();
    let both = site.engine().running(site.instance()).await?;
    for treatment in [Treatment::Garble, Treatment::Refuse, Treatment::Hang] {
        let other = site.engine().running(site.instance()).await?.into_iter().find(|id| *id != both[0]);
        proxy.treat(&format!("/containers/{}/json", both[0]), treatment);
        eventually("it is unknown", SOON, async || {
            let view = observed(&windlass, image).await;
            if phase_of(&view, &both[0]) == "unknown" && alerts(&view) == ["unknown"] {
                Ok(())
            } else {
                Err(view.to_string())
            }
        })
        .await;
        // The other one is seen, counted and repaired meanwhile.
        site.engine().kill(&other.context("two run")?).await?;
        eventually("the other one is replaced", SOON, async || match site.engine().running(site.instance()).await {
            Ok(running) if running.len() == 2 && running.contains(&both[0]) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!(windlass.get("/ready").await.status, 200, "the engine is not lost");
        proxy.forward_all();
        eventually("it is known again", SOON, async || {
            let view = observed(&windlass, image).await;
            if phase_of(&view, &both[0]) == "running" && alerts(&view).is_empty() {
                Ok(())
            } else {
                Err(view.to_string())
            }
        })
        .await;
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_refuses_endpoints_is_named_and_harms_no_replica() -> anyhow::Result<()> {
    let site = Site::new("filtered").await?;
    let proxy = EngineProxy::start(&site.folder().join("proxy.sock"), site.engine().host())?;
    let site = site.set("engine.host", &json!(proxy.host()).to_string()).set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    proxy.treat("/info ", Treatment::Refuse);
    proxy.treat("/exec ", Treatment::Refuse);
    let windlass = site.start().await?;
    let mut body = start_body(image, 1, 1);
    body["probe"] = json!({"exec": {"command": ["true"]}, "interval": "1s", "timeout": "1s"});
    body["health_policy"] = json!({"name": "liveness", "config": {"start-period-ms": 0, "failure-threshold": 1}});
    windlass.post("/start/container", body).await.ok();
    let before = site.engine().running(site.instance()).await?;
    let named = async || match windlass.log() {
        log if log.contains("`GET /info` was refused with status 403")
            && log.contains("`POST /containers/ID/exec`") =>
        {
            Ok(())
        }
        log => Err(log),
    };
    eventually("the log names both endpoints", SOON, named).await;
    throughout("the replica is not restarted", Duration::from_secs(4), async || {
        match site.engine().running(site.instance()).await {
            Ok(running) if running == before => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let started = |view: &Value| view["observed"]["containers"][0]["started_at"].clone();
    let first = started(&observed(&windlass, image).await);
    // A refused creation carries the endpoint to the caller.
    proxy.treat("/containers/create", Treatment::Refuse);
    let refused = windlass
        .post(
            "/start/container",
            json!({
        "image": image, "name": "second", "resources": {"cpu": "0.5", "memory": "64m"}}),
        )
        .await;
    assert!(refused.to_string().contains("`POST /containers/create` was refused with status 403"), "{refused}");
    assert_eq!(started(&observed(&windlass, image).await), first, "it is still the first process");
    Ok(())
}

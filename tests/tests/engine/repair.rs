//! Unhealthy replicas: every kind of probe, the repair, and its end.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::callback::Callback;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

/// Time limit, generous enough for two cores that compile other programs at the same time.
const LIMIT: Duration = Duration::from_secs(90);

/// A site with short times between passes, restarts and verdicts.
async fn fast(name: &str) -> anyhow::Result<Site> {
    Ok(Site::new(name)
        .await?
        .set("control.interval", "\"1s\"")
        .set("control.backoff_base", "\"1s\"")
        .set("control.backoff_max", "\"1s\"")
        .set("control.health_config", "{ start-period-ms = 1000, failure-threshold = 2 }"))
}

/// Waits until the first container of a workload has this health and reason, and returns its state in the API.
async fn becomes(windlass: &Windlass, image: &str, health: &str, reason: &str) -> Value {
    let what = format!("a container that is {health}: {reason}");
    eventually(&what, LIMIT, async || {
        let shown = windlass.get(&format!("/images/{image}")).await.ok();
        let one = &shown["observed"]["containers"][0];
        let is_so = one["health"] == health && one["health_reason"].as_str().is_some_and(|why| why.contains(reason));
        if is_so { Ok(one.clone()) } else { Err(one.to_string()) }
    })
    .await
}

/// Starts one replica with a probe, and returns its container.
async fn start(windlass: &Windlass, image: &str, probe: &Value) -> String {
    let mut body = start_body(image, 1, 1);
    body["probe"] = probe.clone();
    windlass.post("/start/container", body).await.text("/container_id")
}

/// Makes the HEALTHCHECK of a container fail from now on.
async fn fall_ill(site: &Site, container: &str) -> anyhow::Result<()> {
    site.engine().exec(container, &["mkdir", "/tmp/ill"]).await
}

#[tokio::test]
async fn an_image_with_a_healthcheck_is_healed_by_it_unless_somebody_says_no() -> anyhow::Result<()> {
    let site = fast("healthcheck").await?;
    let image = site.engine().prepare(Fixture::Checked).await?;
    let windlass = site.start().await?;
    let first = start(&windlass, image, &Value::Null).await;
    becomes(&windlass, image, "healthy", "its probe succeeded in").await;
    fall_ill(&site, &first).await?;
    // The same container is restarted, still unhealthy, and then replaced.
    eventually("another container that is well", LIMIT, async || {
        let shown = windlass.get(&format!("/images/{image}")).await.ok();
        let one = &shown["observed"]["containers"][0];
        let is_well = one["container_id"] != *first && one["health"] == "healthy";
        if is_well { Ok(()) } else { Err(one.to_string()) }
    })
    .await;
    let decisions = windlass.get(&format!("/images/{image}/decisions?limit=100")).await.ok();
    let all = decisions["decisions"].as_array().cloned().unwrap_or_default();
    let steps: Vec<&Value> = all.iter().rev().flat_map(|one| one["steps"].as_array().into_iter().flatten()).collect();
    let kinds: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(kinds, ["create", "restart", "replace"], "{decisions}");
    let why = steps[1]["reason"].as_str().unwrap_or_default();
    assert!(why.ends_with("probes in a row failed: the image's HEALTHCHECK ended with status 1"), "{why}");

    // A workload can refuse the HEALTHCHECK; it is then not run.
    let second = start(&windlass, image, &json!({"none": {}})).await;
    becomes(&windlass, image, "healthy", "its process is running").await;
    fall_ill(&site, &second).await?;
    eventually("the engine to call it unhealthy", LIMIT, async || {
        let state = site.engine().docker().inspect_container(&second, None).await.map_err(|error| error.to_string())?;
        let health = state.state.and_then(|state| state.health).and_then(|health| health.status);
        let health = health.map(|health| health.to_string());
        if health.as_deref() == Some("unhealthy") { Ok(()) } else { Err(format!("{health:?}")) }
    })
    .await;
    windlass.post(&format!("/images/{image}/reconcile"), json!(null)).await.ok();
    let still = becomes(&windlass, image, "healthy", "its process is running").await;
    assert_eq!(still["container_id"], *second);
    Ok(())
}

#[tokio::test]
async fn a_healthcheck_that_is_asked_for_must_be_there() -> anyhow::Result<()> {
    let site = fast("no-healthcheck").await?;
    let image = site.engine().prepare(Fixture::Deaf).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 1, 1);
    body["probe"] = json!({"docker": {}});
    let refused = windlass.post("/start/container", body.clone()).await;
    assert!(refused.status >= 400, "{refused}");
    let why = refused.text("/detail");
    assert!(
        why.contains("has no HEALTHCHECK, which the probe `docker` needs; add one or choose another `probe`"),
        "{why}"
    );
    windlass.delete(&format!("/images/{image}")).await.ok();
    // Nor can it be chosen for containers that run without one.
    start(&windlass, image, &Value::Null).await;
    let refused = windlass.post("/start/container", body).await;
    assert_eq!(refused.status, 409, "{refused}");
    Ok(())
}

#[tokio::test]
async fn commands_and_answers_are_probed_as_they_are_described() -> anyhow::Result<()> {
    let site = fast("probes").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let http =
        |expect: Value| json!({"http": {"port": 80, "headers": {"host": "shop"}, "expect": expect}, "interval": "1s"});
    let exec = |script: &str| json!({"exec": {"command": ["sh", "-c", script]}, "interval": "1s", "timeout": "1s"});
    start(&windlass, image, &exec("exit 0")).await;
    becomes(&windlass, image, "healthy", "its probe succeeded in").await;
    // Nothing is repaired, so the verdicts stay visible.
    windlass.put(&format!("/images/{image}/policy"), json!({"mode": "recommend"})).await.ok();
    for (probe, why) in [
        (http(json!({"status": [404]})), "GET / on port 80 answered 200"),
        (http(json!({"headers": {"x-ready": null}})), "GET / on port 80 answered without the header `x-ready`"),
        (http(json!({"body": "nowhere to be found"})), "answered without `nowhere to be found` in its body"),
        (exec("echo not yet >&2; exit 3"), "the command ended with status 3: not yet"),
        (exec("sleep 1000"), "the command of an earlier call still runs in it"),
    ] {
        start(&windlass, image, &probe).await;
        becomes(&windlass, image, "unhealthy", why).await;
    }
    let good = http(json!({"status": ["200-204"], "headers": {"content-type": "text/html"}, "body": "\n"}));
    start(&windlass, image, &good).await;
    becomes(&windlass, image, "healthy", "its probe succeeded in").await;
    let shown = windlass.get(&format!("/images/{image}")).await.ok();
    assert_eq!(shown["desired"]["probe"]["http"]["expect"], good["http"]["expect"]);
    Ok(())
}

#[tokio::test]
async fn what_answers_slowly_is_degraded_and_left_alone_until_it_is_quick_again() -> anyhow::Result<()> {
    let config = "{ failure-threshold = 2, success-threshold = 2, degraded-above-ms = 2000 }";
    let site = Site::new("slow").await?.set("control.interval", "\"1s\"").set("control.health_config", config);
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let script = "[ ! -d /tmp/slow ] || sleep 2.5";
    let probe = json!({"exec": {"command": ["sh", "-c", script]}, "interval": "5s", "timeout": "5s"});
    let container = start(&windlass, image, &probe).await;
    becomes(&windlass, image, "healthy", "its probe succeeded in").await;
    site.engine().exec(&container, &["mkdir", "/tmp/slow"]).await?;
    let slow = becomes(&windlass, image, "degraded", "2 probes in a row took more than 2000 ms").await;
    assert_eq!(slow["container_id"], *container);
    let pass = windlass.post(&format!("/images/{image}/reconcile"), json!(null)).await.ok();
    assert_eq!(pass["actions"], json!([]), "{pass}");
    site.engine().exec(&container, &["busybox", "rmdir", "/tmp/slow"]).await?;
    let quick = becomes(&windlass, image, "healthy", "its probe succeeded in").await;
    assert_eq!(quick["container_id"], *container);
    Ok(())
}

#[tokio::test]
async fn what_never_stays_up_is_given_up_told_once_and_healed_again_by_an_operator() -> anyhow::Result<()> {
    let posted = Callback::listen().await?;
    let site = fast("gives-up")
        .await?
        .set("control.restart_limit", "2")
        .set("control.alert_url", &json!(posted.url()).to_string());
    let image = site.engine().prepare(Fixture::Crash).await?;
    let mut windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    let given_up = async |windlass: &Windlass| {
        eventually("an alert", LIMIT, async || {
            let shown = windlass.get(&format!("/images/{image}")).await.ok();
            let alerts = shown["alerts"].as_array().cloned().unwrap_or_default();
            if alerts.is_empty() { Err(shown.to_string()) } else { Ok(alerts[0].clone()) }
        })
        .await
    };
    let alert = given_up(&windlass).await;
    assert_eq!((&alert["kind"], &alert["slot"]), (&json!("given-up"), &json!(1)));
    let why = "its process ended with exit code 1; it is given up after 2 restarts in a row; fix the cause, then start the \
               workload again";
    assert_eq!(alert["reason"], why);
    let decision = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok();
    assert_eq!(decision["decisions"][0]["alerts"][0]["reason"], why);
    let told = eventually("the alert to be posted", LIMIT, async || {
        posted.received().first().cloned().ok_or_else(|| "nothing came".to_owned())
    })
    .await;
    assert_eq!((&told["kind"], &told["image"], &told["reason"]), (&json!("given-up"), &json!(image), &json!(why)));
    assert_eq!(told["container_id"], alert["container_id"]);

    // The replica stays as it is, also over a restart of Windlass, without a second alert.
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    let after = given_up(&windlass).await;
    assert_eq!((&after["container_id"], &after["since"]), (&alert["container_id"], &alert["since"]));
    windlass.post(&format!("/images/{image}/reconcile"), json!(null)).await.ok();
    assert_eq!(posted.received().len(), 1);

    let name = told["name"].as_str().unwrap_or_default();
    windlass.delete(&format!("/containers/{name}")).await.ok();
    eventually("another alert, after it was healed again", LIMIT, async || {
        let all = posted.received().len();
        if all == 2 { Ok(()) } else { Err(format!("{all} alerts")) }
    })
    .await;
    assert_ne!(given_up(&windlass).await["container_id"], alert["container_id"]);
    Ok(())
}

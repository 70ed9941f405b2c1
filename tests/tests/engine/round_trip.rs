//! The answer of a `GET` can be sent back unchanged, and changes nothing. A new resource is a new row of [`ROWS`].

use reqwest::Method;
use serde_json::{Map, Value, json};
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

/// One resource: the part of an answer that is sent back, and the request that accepts it.
struct Row {
    resource: &'static str,
    get: &'static str,
    /// The body of the request, from the answer.
    body: fn(&Value) -> Value,
    method: Method,
    /// `{name}` is the `name` of the body.
    send: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        resource: "a workload",
        get: "/images/web",
        body: |view| view["desired"].clone(),
        method: Method::POST,
        send: "/start/container",
    },
    Row {
        resource: "a workload of the list",
        get: "/images",
        body: |list| named(&list["images"], "web"),
        method: Method::POST,
        send: "/start/container",
    },
    Row {
        resource: "bounds",
        get: "/images/web",
        body: |view| pick(&view["desired"], &["min_replicas", "max_replicas"]),
        method: Method::POST,
        send: "/images/web/scale",
    },
    Row {
        resource: "guardrails",
        get: "/images/web",
        body: |view| view["desired"]["guardrails"].clone(),
        method: Method::PUT,
        send: "/images/web/guardrails",
    },
    Row {
        resource: "overrides",
        get: "/images/web",
        body: |view| view["desired"]["overrides"].clone(),
        method: Method::PATCH,
        send: "/images/web/overrides",
    },
    Row {
        resource: "metrics",
        get: "/images/web",
        body: |view| pick(&view["desired"], &["metrics"]),
        method: Method::PUT,
        send: "/images/web/metrics",
    },
    Row {
        resource: "policies with their settings",
        get: "/images/web",
        body: |view| pick(&view["desired"], &["scaling_policy", "health_policy", "shadow_policies", "mode"]),
        method: Method::PUT,
        send: "/images/web/policy",
    },
    Row {
        resource: "samples",
        get: "/images/web/metrics",
        body: |answer| {
            let metric = named(&answer["metrics"], "queue");
            let samples = metric["samples"].as_array().into_iter().flatten();
            let samples = samples.map(|sample| {
                let mut sample = sample.clone();
                sample["name"] = json!("queue");
                sample
            });
            json!({"samples": samples.collect::<Vec<_>>()})
        },
        method: Method::POST,
        send: "/images/web/metrics",
    },
    Row {
        resource: "a container that runs",
        get: "/containers",
        body: |list| find(&list["containers"], "status", "running"),
        method: Method::PATCH,
        send: "/containers/{name}",
    },
    Row {
        resource: "a container that is held",
        get: "/containers",
        body: |list| find(&list["containers"], "status", "exited"),
        method: Method::PATCH,
        send: "/containers/{name}",
    },
    Row {
        resource: "a container of a workload",
        get: "/images/web",
        body: |view| view["observed"]["containers"][0].clone(),
        method: Method::PATCH,
        send: "/containers/{name}",
    },
    Row {
        resource: "a container with its health",
        get: "/images/web/health",
        body: |answer| answer["health"][0].clone(),
        method: Method::PATCH,
        send: "/containers/{name}",
    },
];

/// The parts of a start request that may be left out, each with a value other than its default.
fn parts() -> Map<String, Value> {
    let parts = json!({
        "env": {"A": "1"},
        "ports": {"80/tcp": 0, "81/tcp": "127.0.0.1:0", "82/udp": ["127.0.0.2:0", "127.0.0.3:20000-29999"]},
        "labels": {"team": "blue"},
        "networks": ["bridge"],
        "probe": {
            "http": {"port": 80, "path": "/", "expect": {"status": ["200-299", 404], "headers": {"etag": null}}},
            "interval": "1m 30s", "timeout": "250ms",
        },
        "command": null,
        "scaling_policy": [
            {"name": "min-max", "config": {}},
            {"name": "pass-through", "config": {"metric": "queue"}},
        ],
        "health_policy": {"name": "liveness", "config": {"failure-threshold": 7}},
        "shadow_policies": [{"name": "min-max", "config": {}}],
        "mode": "act",
        "metrics": {
            "queue": {"push": {}, "max_age": "1h", "allow_negative": true},
            "depth": {"json": {"url": "http://127.0.0.1:9/", "pointer": "/0"}, "interval": "1h", "timeout": "2s"},
        },
        "guardrails": {
            "grace": "7m",
            "scale_up": {"window": "15s", "cooldown": "1s", "select": "min", "rates": [{"count": 2, "per": "30s"}]},
            "scale_down": {"window": "10m", "rates": []},
            "fallback": {"replicas": 2, "after": 4},
        },
        "stop_hook": {"exec": {"command": ["true"]}, "timeout": "1s 500ms"},
        "depends_on": ["db"],
        "rollout": {"mode": "rolling", "order": "stop-first", "min_ready": "1s", "ready_within": "5m", "max_failures": 9},
    });
    parts.as_object().cloned().unwrap_or_default()
}

fn pick(value: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), value[*name].clone())).collect::<Map<_, _>>().into()
}

fn find(list: &Value, key: &str, value: &str) -> Value {
    list.as_array().into_iter().flatten().find(|element| element[key] == value).cloned().unwrap_or_default()
}

fn named(list: &Value, name: &str) -> Value {
    find(list, "name", name)
}

/// A workload `web` with every part, which depends on `db`, whose only container is held.
async fn site(name: &str) -> anyhow::Result<(Site, Windlass)> {
    let site = Site::new(name).await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut db = start_body(image, 0, 2);
    db["name"] = json!("db");
    let held = windlass.post("/start/container", db).await.text("/name").to_owned();
    let is_up = async || {
        let view = windlass.get("/images/db").await.ok();
        if view["observed"]["containers"][0]["health"] == "healthy" { Ok(()) } else { Err(format!("{view:#}")) }
    };
    eventually("`db` is up, so that `web` may start", Duration::from_secs(30), is_up).await;
    let mut web = start_body(image, 1, 3);
    web["name"] = json!("web");
    web.as_object_mut().expect("it is one").extend(parts());
    windlass.post("/start/container", web).await.ok();
    windlass.patch(&format!("/containers/{held}"), json!({"status": "stopped"})).await.ok();
    let overrides = json!({"paused": true, "freeze_scale_up": true, "force": {"replicas": 1, "for": "1h"}});
    windlass.patch("/images/web/overrides", overrides).await.ok();
    let samples = json!({"samples": [{"name": "queue", "value": 3}]});
    windlass.post("/images/web/metrics", samples).await.ok();
    Ok((site, windlass))
}

/// Everything that a request could change.
async fn state(windlass: &Windlass) -> Value {
    let mut state = json!({});
    for name in ["web", "db"] {
        let mut view = windlass.get(&format!("/images/{name}")).await.ok();
        // The count follows the policies, whatever is sent.
        view["desired"]["target"].take();
        let containers = view["observed"]["containers"].as_array().cloned().unwrap_or_default();
        let fields = ["container_id", "status", "started_at", "scale_in_protection"];
        let containers: Vec<Value> = containers.iter().map(|container| pick(container, &fields)).collect();
        let metrics = windlass.get(&format!("/images/{name}/metrics")).await.ok();
        let samples = named(&metrics["metrics"], "queue");
        state[name] = json!({"desired": view["desired"], "containers": containers, "samples": samples["samples"]});
    }
    state
}

#[tokio::test]
async fn what_is_returned_can_be_sent_back_and_changes_nothing() -> anyhow::Result<()> {
    let (_site, windlass) = site("round-trip").await?;
    let before = state(&windlass).await;
    assert_eq!(before["web"]["samples"].as_array().map(Vec::len), Some(1), "{before:#}");
    for Row { resource, get, body, method, send } in ROWS {
        let body = body(&windlass.get(get).await.ok());
        assert!(!body.is_null(), "{resource}: nothing to send");
        let path = send.replace("{name}", body["name"].as_str().unwrap_or_default());
        let answer = windlass.request(method.clone(), &path, Some(body.to_string())).await;
        assert_eq!(answer.status, 200, "{resource}: {body:#}\n{answer}");
        let after = state(&windlass).await;
        assert_eq!(before, after, "{resource}: {body:#}");
    }
    // Each part of a workload alone.
    let desired = windlass.get("/images/web").await.ok()["desired"].clone();
    let minimal = ["image", "name", "min_replicas", "max_replicas", "env", "ports", "resources"];
    for name in desired.as_object().into_iter().flat_map(Map::keys) {
        let mut body = pick(&desired, &minimal);
        body[name] = desired[name].clone();
        windlass.post("/start/container", body).await.ok();
        assert_eq!(before, state(&windlass).await, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_returned_is_what_was_said() -> anyhow::Result<()> {
    let (_site, windlass) = site("as-said").await?;
    let desired = windlass.get("/images/web").await.ok()["desired"].clone();
    let shown = |name: &str| -> &Value { &desired[name] };
    assert_eq!(shown("probe"), &parts()["probe"]);
    assert_eq!(shown("ports"), &parts()["ports"]);
    assert_eq!(shown("stop_hook"), &parts()["stop_hook"]);
    assert_eq!(shown("scaling_policy"), &parts()["scaling_policy"]);
    assert_eq!(shown("rollout"), &parts()["rollout"]);
    assert_eq!(shown("metrics")["queue"]["max_age"], "1h");
    assert_eq!(shown("guardrails")["grace"], "7m");
    let until = shown("overrides")["force"]["until"].as_str().unwrap_or_default().to_owned();
    let time: jiff::Timestamp = until.parse()?;
    assert_eq!(shown("overrides")["force"]["until_ms"], time.as_millisecond());
    // Both forms of a time are accepted in queries.
    for until in [until, time.as_millisecond().to_string()] {
        windlass.get(&format!("/images/web/decisions?until={until}")).await.ok();
        windlass.get(&format!("/images/web/metrics?since={until}")).await.ok();
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_part_of_a_repeated_start_is_cleared_and_an_absent_one_stays() -> anyhow::Result<()> {
    let (_site, windlass) = site("cleared").await?;
    let desired = async || windlass.get("/images/web").await.ok()["desired"].clone();
    let before = desired().await;
    let mut body = pick(&before, &["image", "name", "min_replicas", "max_replicas", "env", "ports", "resources"]);
    windlass.post("/start/container", body.clone()).await.ok();
    let mut kept = desired().await;
    kept["target"] = before["target"].clone();
    assert_eq!(kept, before);

    let cleared = json!({
        "labels": {}, "networks": [], "probe": null, "scaling_policy": null, "health_policy": null,
        "shadow_policies": [], "metrics": {}, "stop_hook": null, "depends_on": [],
    });
    body.as_object_mut().expect("it is one").extend(cleared.as_object().cloned().unwrap_or_default());
    body["guardrails"] = json!({});
    body["rollout"] = json!({});
    windlass.post("/start/container", body).await.ok();
    let after = desired().await;
    for (name, value) in cleared.as_object().into_iter().flatten() {
        assert_eq!(&after[name], value, "{name}");
    }
    assert_eq!(after["guardrails"]["grace"], "5m");
    assert_eq!(after["guardrails"]["fallback"], Value::Null);
    assert_eq!((&after["rollout"]["order"], &after["rollout"]["max_failures"]), (&Value::Null, &json!(3)));
    Ok(())
}

#[tokio::test]
async fn a_changed_field_that_is_read_only_is_named() -> anyhow::Result<()> {
    let (_site, windlass) = site("read-only").await?;
    let mut desired = windlass.get("/images/web").await.ok()["desired"].clone();
    desired["overrides"]["paused"] = json!(false);
    let refused = windlass.post("/start/container", desired).await;
    assert_eq!((refused.status, refused.text("/errors/0/pointer").as_str()), (422, "/overrides"), "{refused}");

    let mut container = windlass.get("/images/web").await.ok()["observed"]["containers"][0].clone();
    let path = format!("/containers/{}", container["name"].as_str().unwrap_or_default());
    container["container_id"] = json!("another");
    let refused = windlass.patch(&path, container).await;
    assert_eq!((refused.status, refused.text("/errors/0/pointer").as_str()), (422, "/container_id"), "{refused}");
    Ok(())
}

//! Metrics of a workload: queried, pushed, passed to policies and stored; and the reporting of errors.

use anyhow::Context as _;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use windlass_tests::hostile;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, binary, start_body};
use windlass_tests::wait::eventually;
use windlass_tests::workloads::target_after_pass;

const LIMIT: Duration = Duration::from_secs(30);

/// One metric of the workload in the API's form.
async fn metric(windlass: &Windlass, image: &str, name: &str) -> Value {
    let answer = windlass.get(&format!("/images/{image}/metrics")).await.ok();
    let metrics = answer["metrics"].as_array().cloned().unwrap_or_default();
    metrics.into_iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("no `{name}`: {answer}"))
}

/// Waits until a metric has a value, and returns the last one.
async fn value(windlass: &Windlass, image: &str, name: &str) -> f64 {
    eventually(&format!("a value of {name}"), LIMIT, async || {
        let metric = metric(windlass, image, name).await;
        let last = metric["samples"].as_array().and_then(|samples| samples.last()?["value"].as_f64());
        last.filter(|_| metric["failure"].is_null()).ok_or_else(|| metric.to_string())
    })
    .await
}

/// Waits until a metric has failed with this text.
async fn fails(windlass: &Windlass, image: &str, name: &str, why: &str) {
    eventually(&format!("{name} to be {why}"), LIMIT, async || {
        let metric = metric(windlass, image, name).await;
        let told = metric["failure"].as_str().is_some_and(|failure| failure.starts_with(why));
        if told { Ok(()) } else { Err(metric.to_string()) }
    })
    .await;
}

/// A server of one JSON document that counts requests.
async fn document(body: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2_048];
            if matches!(stream.read(&mut request).await, Ok(1..)) {
                counter.fetch_add(1, Ordering::SeqCst);
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _gone = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
            }
        }
    });
    (url, asked)
}

#[tokio::test]
async fn what_is_measured_steers_the_count_and_an_error_is_never_a_zero() -> anyhow::Result<()> {
    let site = Site::new("metrics").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    let asks = |replicas| hostile::proposes(replicas).requires("queue", 60_000).build();
    windlass.put_component("/policies/queue", asks(3)).await.ok();
    let mut body = start_body(image, 1, 5);
    body["metrics"] = json!({"queue": {"push": {}, "max_age": "1h"}});
    body["scaling_policy"] = json!({"name": "queue"});
    windlass.post("/start/container", body).await.ok();

    // No sample has been pushed yet: whatever the proposal, the count is held.
    let held = "held at 1: no metric has a value (`queue` is missing); `queue` proposed 3: as told";
    assert_eq!(target_after_pass(&windlass, image).await, (1, held.to_owned()));
    let path = format!("/images/{image}/metrics");
    let pushed = windlass.post(&path, json!({"samples": [{"name": "queue", "value": 120}]})).await.ok();
    assert_eq!(pushed, json!({"accepted": 1}));
    assert_eq!(target_after_pass(&windlass, image).await, (3, "as told".to_owned()));
    let decision = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok();
    let series = &decision["decisions"][0]["scaling"]["observation"]["metrics"][0];
    assert_eq!((&series["name"], &series["failure"]), (&json!("queue"), &Value::Null));
    assert_eq!(series["samples"][0]["value"], 120.0);

    // Pushed samples survive the process.
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    assert_eq!(value(&windlass, image, "queue").await, 120.0);
    assert_eq!(target_after_pass(&windlass, image).await.0, 3);

    // The recorded samples, as the API returns them, are a trace for a simulation.
    let newest = metric(&windlass, image, "queue").await["samples"][0]["at_ms"].as_u64().context("a time")?;
    let before = newest - 60_000;
    windlass.post(&path, json!({"samples": [{"name": "queue", "value": 40, "at": before}]})).await.ok();
    let recorded = site.folder().join("recorded.json");
    std::fs::write(&recorded, windlass.get(&path).await.ok().to_string())?;
    let config = r#"{"metric": "queue", "divide-by": 40}"#;
    let mut simulate = std::process::Command::new(binary()?);
    simulate.args(["simulate", "-o", "json", "--policy", "pass-through", "--config", config, "--trace"]).arg(&recorded);
    let told: Value = serde_json::from_slice(&simulate.output()?.stdout)?;
    let points = told["runs"][0]["points"].as_array().context("points")?;
    let of = |name: &str| points.iter().map(|point| point[name].as_f64()).collect::<Option<Vec<_>>>();
    assert_eq!(of("load"), Some(vec![40.0, 40.0, 40.0, 40.0, 120.0]), "{told}");
    assert_eq!(of("wanted"), Some(vec![1.0, 1.0, 1.0, 1.0, 3.0]), "{told}");

    // A source that is down is no reason to scale in.
    let unused = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let gone = json!({"metrics": {"queue": {"json": {"url": format!("http://{unused}/"), "pointer": "/depth"}, "interval": 1}}});
    windlass.put(&path, gone).await.ok();
    windlass.put_component("/policies/queue", asks(1)).await.ok();
    fails(&windlass, image, "queue", "unreachable: ").await;
    let (target, reason) = target_after_pass(&windlass, image).await;
    assert!(target == 3 && reason.starts_with("held at 3: no metric has a value (`queue` is "), "{target} {reason}");
    Ok(())
}

/// A server whose status and body can be changed while it runs; `NOW` in the body is the time in seconds. It keeps the
/// heads of requests.
/// of requests.
#[derive(Clone, Default)]
struct Switchable {
    answer: Arc<Mutex<(&'static str, &'static str)>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Switchable {
    async fn serve(&self) -> std::io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4_096];
                let Ok(read @ 1..) = stream.read(&mut request).await else { continue };
                let head = String::from_utf8_lossy(&request[..read]).into_owned();
                server.heads.lock().expect("no panic").push(head);
                let (status, body) = *server.answer.lock().expect("no panic");
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
                let body = body.replace("NOW", &now.to_string());
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _gone = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
            }
        });
        Ok(url)
    }

    fn answers(&self, status: &'static str, body: &'static str) {
        *self.answer.lock().expect("no panic") = (status, body);
    }
}

#[tokio::test]
async fn a_prometheus_is_asked_and_whatever_it_answers_wrong_is_never_a_zero() -> anyhow::Result<()> {
    const WAITING: &str =
        r#"{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [NOW, "120"]}]}}"#;
    let site = Site::new("prometheus").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let asks = |replicas| hostile::proposes(replicas).requires("queue", 60_000).build();
    windlass.put_component("/policies/queue", asks(3)).await.ok();
    let prometheus = Switchable::default();
    prometheus.answers("200 OK", WAITING);
    let source = json!({"url": prometheus.serve().await?, "query": "sum(queue{job=\"web\"})"});
    let mut body = start_body(image, 1, 5);
    body["metrics"] = json!({"queue": {"prometheus": source, "interval": 1, "max_age": 2}});
    body["scaling_policy"] = json!({"name": "queue"});
    windlass.post("/start/container", body).await.ok();
    assert_eq!(value(&windlass, image, "queue").await, 120.0);
    let asked = prometheus.heads.lock().expect("no panic")[0].clone();
    assert!(asked.contains("/api/v1/query") && asked.contains("queue"), "{asked}");
    assert_eq!(target_after_pass(&windlass, image).await, (3, "as told".to_owned()));

    windlass.put(&format!("/images/{image}/guardrails"), json!({"grace": 0, "scale_down": {"window": 0}})).await.ok();
    windlass.put_component("/policies/queue", asks(1)).await.ok();
    let nothing = r#"{"status": "success", "data": {"resultType": "vector", "result": []}}"#;
    let no_number =
        r#"{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [NOW, "NaN"]}]}}"#;
    let refusal = r#"{"status": "error", "errorType": "bad_data", "error": "parse error"}"#;
    for (status, body, why) in [
        ("500 Internal Server Error", "0", "unreachable: "),
        ("200 OK", nothing, "empty: "),
        ("200 OK", no_number, "not-a-number: "),
        ("400 Bad Request", refusal, "unreachable: "),
        ("200 OK", "0", "unreadable: "),
    ] {
        prometheus.answers(status, body);
        fails(&windlass, image, "queue", why).await;
        let (target, reason) = target_after_pass(&windlass, image).await;
        assert!(target == 3 && reason.starts_with("held at 3: no metric has a value (`queue` is "), "{why}: {reason}");
    }
    // The metric has a value again, and the count is what the policy proposes.
    prometheus.answers("200 OK", WAITING);
    value(&windlass, image, "queue").await;
    assert_eq!(target_after_pass(&windlass, image).await, (1, "as told".to_owned()));

    // A partial answer has a value, but the built-in policies do not scale in by it.
    let total = json!({"metrics": [{"name": "queue", "target": 40, "kind": "total"}]});
    let choice = json!({"scaling_policy": {"name": "target-tracking", "config": total}});
    windlass.put(&format!("/images/{image}/policy"), choice).await.ok();
    assert_eq!(target_after_pass(&windlass, image).await.0, 3);
    prometheus.answers(
        "200 OK",
        r#"{"status": "success", "warnings": ["store b is down"], "data": {"resultType": "vector", "result": [
            {"metric": {}, "value": [NOW, "20"]}]}}"#,
    );
    fails(&windlass, image, "queue", "partial: the source answered in part: store b is down").await;
    let (target, reason) = target_after_pass(&windlass, image).await;
    assert_eq!(target, 3, "{reason}");
    Ok(())
}

#[tokio::test]
async fn the_secrets_of_a_source_are_sent_and_never_shown() -> anyhow::Result<()> {
    let site = Site::new("source-secrets").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let document = Switchable::default();
    document.answers("200 OK", "{\"depth\": \"7\"}");
    let url = format!("{}status?token=s3cret&part=a", document.serve().await?);
    let user = json!({"username": "ops", "password": "s3cret"});
    let source = json!({"url": url, "pointer": "/depth", "headers": {"X-Key": "s3cret"}, "basic_auth": user});
    let mut body = start_body(image, 1, 5);
    body["metrics"] = json!({"depth": {"json": source, "interval": 1}});
    windlass.post("/start/container", body.clone()).await.ok();
    assert_eq!(value(&windlass, image, "depth").await, 7.0);

    let shown = windlass.get(&format!("/images/{image}")).await.ok();
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
    let metrics = shown["desired"]["metrics"].clone();
    assert_eq!(metrics["depth"]["json"]["headers"], json!({"x-key": "***"}));
    // The shown metrics can be sent back, in both ways; the secrets stay.
    let again = windlass.put(&format!("/images/{image}/metrics"), json!({"metrics": metrics})).await.ok();
    assert_eq!(again["desired"]["metrics"], metrics);
    body["metrics"] = metrics;
    windlass.post("/start/container", body).await.ok();
    let asked = || document.heads.lock().expect("no panic").len();
    let before = asked();
    eventually("another request", LIMIT, async || if asked() > before { Ok(()) } else { Err(before.to_string()) })
        .await;
    let head = document.heads.lock().expect("no panic").last().cloned().context("a request")?;
    let is_there = |part: &str| head.to_ascii_lowercase().contains(part);
    assert!(head.starts_with("GET /status?token=s3cret&part=a "), "{head}");
    assert!(is_there("x-key: s3cret") && is_there("authorization: basic b3bzonmzy3jlda=="), "{head}");
    document.answers("403 Forbidden", "the key has expired\nask the team");
    fails(
        &windlass,
        image,
        "depth",
        "unreachable: the server responded with status 403 Forbidden: `the key has expired`",
    )
    .await;
    let log = windlass.log();
    assert!(!log.contains("s3cret"), "{log}");
    Ok(())
}

#[tokio::test]
async fn samples_that_are_pushed_wake_the_workload_and_ten_pushes_are_few_passes() -> anyhow::Result<()> {
    let site = Site::new("pushes").await?.set("control.interval", "\"1h\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let asks = hostile::proposes(3).requires("queue", 60_000).build();
    windlass.put_component("/policies/queue", asks).await.ok();
    let mut body = start_body(image, 1, 5);
    body["metrics"] = json!({"queue": {"push": {}, "max_age": "1h"}});
    body["scaling_policy"] = json!({"name": "queue"});
    windlass.post("/start/container", body).await.ok();
    let target = async || windlass.get(&format!("/images/{image}")).await.ok()["desired"]["target"].clone();
    assert_eq!(target().await, 1);
    // No request asks for a pass, and the next scheduled one is an hour away.
    let path = format!("/images/{image}/metrics");
    let push = || windlass.post(&path, json!({"samples": [{"name": "queue", "value": 120}]}));
    for answer in futures_util::future::join_all((0..10).map(|_| push())).await {
        answer.ok();
    }
    eventually("the pass after a push", LIMIT, async || {
        let target = target().await;
        if target == 3 { Ok(()) } else { Err(target.to_string()) }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_long_history_is_kept_over_a_restart_while_a_policy_looks_back_so_far() -> anyhow::Result<()> {
    const HOUR: u64 = 3_600_000;
    let site = Site::new("history").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    let mut body = start_body(image, 1, 20);
    body["metrics"] = json!({"orders": {"push": {}, "max_age": "1d"}, "other": {"push": {}, "max_age": "1d"}});
    let config = json!({"metric": "orders", "target": 10});
    body["scaling_policy"] = json!({"name": "predictive", "config": config});
    windlass.post("/start/container", body).await.ok();
    let now = u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
    // Eight days at intervals of ten minutes: 90 in the second half of each day that ends now, otherwise 10.
    let path = format!("/images/{image}/metrics");
    let busy = |back: u64| if back % (24 * HOUR) < 12 * HOUR { 90 } else { 10 };
    let samples: Vec<Value> = (1..=8 * 144)
        .rev()
        .map(|number| number * HOUR / 6)
        .map(|back| json!({"name": "orders", "value": busy(back), "at": now - back}))
        .chain([json!({"name": "other", "value": 1, "at": now - 48 * HOUR}), json!({"name": "other", "value": 1})])
        .collect();
    for some in samples.chunks(1_000) {
        windlass.post(&path, json!({"samples": some})).await.ok();
    }
    let all = async |windlass: &Windlass, name: &str| {
        let answer = windlass.get(&format!("{path}?since=0")).await.ok();
        let metrics = answer["metrics"].as_array().cloned().unwrap_or_default();
        let samples = metrics.into_iter().find(|metric| metric["name"] == name).map(|metric| metric["samples"].clone());
        samples.and_then(|samples| samples.as_array().cloned()).unwrap_or_default()
    };
    let before = all(&windlass, "orders").await;
    assert!((1_000..=1_010).contains(&before.len()), "a week: {}", before.len());
    assert_eq!(all(&windlass, "other").await.len(), 1, "no policy requests more than a day");
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    assert_eq!(all(&windlass, "orders").await, before);
    let (_, reason) = target_after_pass(&windlass, image).await;
    assert!(reason.contains("`orders` is forecast to reach ") && reason.contains(" UTC, "), "{reason}");
    Ok(())
}

#[tokio::test]
async fn documents_commands_and_what_the_engine_tells_are_metrics() -> anyhow::Result<()> {
    let site = Site::new("sources").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let (url, _) = document(r#"{"queues": [{"depth": 41}], "text": "many"}"#).await;
    let source = |pointer: &str| json!({"json": {"url": url, "pointer": pointer}, "interval": "1h", "timeout": "5s"});
    let metrics = json!({
        "depth": source("/queues/0/depth"),
        "text": source("/text"),
        "nothing": source("/queues/1/depth"),
        "printed": {"exec": {"command": ["sh", "-c", "echo 42"]}, "interval": 1},
        "fails": {"exec": {"command": ["sh", "-c", "echo 1; echo broken >&2; exit 3"]}, "interval": 1},
        "own": {"json": {"url": format!("http://{}/health", windlass.address()), "pointer": ""}, "interval": 1},
    });
    let mut body = start_body(image, 2, 5);
    body["metrics"] = metrics.clone();
    windlass.post("/start/container", body).await.ok();
    let mut twin = start_body(image, 1, 5);
    twin["name"] = json!("twin");
    twin["metrics"] = json!({"also": source("/queues/0/depth")});
    windlass.post("/start/container", twin).await.ok();

    assert_eq!(value(&windlass, image, "depth").await, 41.0);
    fails(&windlass, image, "text", "not-a-number: the value is a text of 4 bytes").await;
    fails(&windlass, image, "nothing", "missing: nothing is at `/queues/1/depth`").await;
    assert_eq!(value(&windlass, image, "printed").await, 42.0);
    fails(&windlass, image, "fails", "unreachable: the command ended with status 3: broken").await;
    let own = "unreachable: nothing is sent to 127.0.0.1: Windlass itself listens there";
    fails(&windlass, image, "own", own).await;
    // The first query may come before the replicas run.
    eventually("both to be ready", LIMIT, async || match value(&windlass, image, "ready-replicas").await {
        2.0 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let cpu = value(&windlass, image, "cpu-utilization").await;
    assert!((0.0..1.0).contains(&cpu), "{cpu}");
    let memory = value(&windlass, image, "memory-utilization").await;
    assert!(memory > 0.0 && memory < 1.0, "{memory}");
    assert_eq!(value(&windlass, "twin", "also").await, 41.0);

    let shown = windlass.get(&format!("/images/{image}")).await.ok();
    assert_eq!(shown["desired"]["metrics"]["printed"]["exec"]["command"], json!(["sh", "-c", "echo 42"]));
    assert_eq!(shown["desired"]["metrics"]["printed"]["max_age"], json!("1m"));
    // Sending back the response's value changes nothing.
    let said = json!({"metrics": shown["desired"]["metrics"]});
    let again = windlass.put(&format!("/images/{image}/metrics"), said).await.ok();
    assert_eq!(again["desired"]["metrics"], shown["desired"]["metrics"]);
    Ok(())
}

#[tokio::test]
async fn a_command_that_prints_without_end_is_ended() -> anyhow::Result<()> {
    let site = Site::new("flood").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let flood = "sh -c 'echo $$ > /tmp/child; x=0123456789; x=$x$x$x$x$x; while :; do echo $x$x$x$x; done'; echo end";
    let is_alive = "kill -0 $(cat /tmp/child) 2> /tmp/why && echo 1 || echo 0";
    let mut body = start_body(image, 1, 1);
    body["metrics"] = json!({
        "flood": {"exec": {"command": ["sh", "-c", flood]}, "interval": "1h", "timeout": "10s"},
    });
    windlass.post("/start/container", body).await.ok();
    fails(&windlass, image, "flood", "unreachable: the command printed more than 1048576 bytes").await;
    let metrics = json!({"alive": {"exec": {"command": ["sh", "-c", is_alive]}, "interval": 1}});
    windlass.put(&format!("/images/{image}/metrics"), json!({"metrics": metrics})).await.ok();
    // The failure is known before every process has ended.
    eventually("the child of the command to end too", LIMIT, async || {
        let alive = value(&windlass, image, "alive").await;
        if alive == 0.0 { Ok(()) } else { Err(alive.to_string()) }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn the_same_question_of_two_workloads_is_asked_once() -> anyhow::Result<()> {
    let site = Site::new("twins").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let (url, asked) = document("7").await;
    for name in ["one", "two"] {
        let mut body = start_body(image, 1, 5);
        body["name"] = json!(name);
        body["metrics"] = json!({"depth": {"json": {"url": url, "pointer": ""}, "interval": 1}});
        windlass.post("/start/container", body).await.ok();
    }
    // Each workload may have been queried alone before the other existed.
    let count = async |name| metric(&windlass, name, "depth").await["samples"].as_array().map_or(0, Vec::len);
    let (one, two, before) = (count("one").await, count("two").await, asked.load(Ordering::SeqCst));
    let values = eventually("five more values of each", LIMIT, async || {
        let (more, as_many) = (count("one").await - one, count("two").await - two);
        if more >= 5 && as_many >= 5 { Ok(more + as_many) } else { Err(format!("{more} and {as_many}")) }
    })
    .await;
    let questions = (asked.load(Ordering::SeqCst) - before) as usize;
    assert!(questions <= values / 2 + 2, "{questions} questions for {values} values");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_metric_is_told_with_its_place() -> anyhow::Result<()> {
    let site = Site::new("wrong-metrics").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 1, 5);
    body["metrics"] = json!({"queue": {"push": {}}, "other": {"exec": {"command": ["true"]}}});
    windlass.post("/start/container", body).await.ok();
    let path = format!("/images/{image}/metrics");
    let definitions = json!({"metrics": {
        "Queue": {"push": {}},
        "cpu-utilization": {"push": {}},
        "none": {"interval": "15s"},
        "two": {"push": {}, "exec": {"command": ["true"]}},
        "often": {"push": {}, "interval": "10ms"},
        "slow": {"push": {}, "timeout": "1m"},
        "young": {"push": {}, "max_age": "1s"},
        "place": {"json": {"url": "metrics.local", "pointer": "depth"}},
        "empty": {"exec": {"command": []}},
        "asks": {"prometheus": {"url": "http://127.0.0.1:9090"}},
    }});
    insta::assert_snapshot!(windlass.put(&path, definitions).await, @r#"
    422 application/problem+json
    {
      "detail": "/metrics/Queue: a metric's name is 1 to 63 lower-case letters, digits, `-` and `_`; /metrics/asks/prometheus/query: this field is required; /metrics/cpu-utilization: every workload has a metric of this name; choose another one; /metrics/empty/exec/command: expected a program and its arguments; /metrics/none: a metric has one source: `prometheus`, `json`, `exec` or `push`; /metrics/often/interval: expected 1 s to 1 h; /metrics/place/json/url: expected an address such as `http://127.0.0.1:9090`; /metrics/place/json/pointer: expected a JSON pointer such as `/queues/0/depth`, or `\"\"` for the whole document; /metrics/slow/timeout: expected 10 ms up to `interval`; /metrics/two: a metric has one source: `prometheus`, `json`, `exec` or `push`; /metrics/young/max_age: expected `interval` up to a day",
      "errors": [
        {
          "detail": "a metric's name is 1 to 63 lower-case letters, digits, `-` and `_`",
          "pointer": "/metrics/Queue"
        },
        {
          "detail": "this field is required",
          "pointer": "/metrics/asks/prometheus/query"
        },
        {
          "detail": "every workload has a metric of this name; choose another one",
          "pointer": "/metrics/cpu-utilization"
        },
        {
          "detail": "expected a program and its arguments",
          "pointer": "/metrics/empty/exec/command"
        },
        {
          "detail": "a metric has one source: `prometheus`, `json`, `exec` or `push`",
          "pointer": "/metrics/none"
        },
        {
          "detail": "expected 1 s to 1 h",
          "pointer": "/metrics/often/interval"
        },
        {
          "detail": "expected an address such as `http://127.0.0.1:9090`",
          "pointer": "/metrics/place/json/url"
        },
        {
          "detail": "expected a JSON pointer such as `/queues/0/depth`, or `\"\"` for the whole document",
          "pointer": "/metrics/place/json/pointer"
        },
        {
          "detail": "expected 10 ms up to `interval`",
          "pointer": "/metrics/slow/timeout"
        },
        {
          "detail": "a metric has one source: `prometheus`, `json`, `exec` or `push`",
          "pointer": "/metrics/two"
        },
        {
          "detail": "expected `interval` up to a day",
          "pointer": "/metrics/young/max_age"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let samples = json!({"samples": [
        {"name": "quue", "value": 1},
        {"name": "other", "value": 1},
        {"name": "queue", "value": -1},
        {"name": "queue", "value": "1"},
        {"name": "queue", "value": 1, "at": now + 120_000},
        {"name": "queue", "value": 1, "at": 5},
    ]});
    insta::assert_snapshot!(windlass.post(&path, samples).await, @r#"
    422 application/problem+json
    {
      "detail": "/samples/0/name: unknown metric that is pushed; did you mean `queue`?; /samples/1/name: unknown metric that is pushed; expected `queue`; /samples/2/value: negative: the value is -1, and this metric has no negative values; /samples/3/value: expected a number; /samples/4/at: it is more than 60 s ahead of this clock; /samples/5/at: it is more than 28 days ago",
      "errors": [
        {
          "detail": "unknown metric that is pushed; did you mean `queue`?",
          "pointer": "/samples/0/name"
        },
        {
          "detail": "unknown metric that is pushed; expected `queue`",
          "pointer": "/samples/1/name"
        },
        {
          "detail": "negative: the value is -1, and this metric has no negative values",
          "pointer": "/samples/2/value"
        },
        {
          "detail": "expected a number",
          "pointer": "/samples/3/value"
        },
        {
          "detail": "it is more than 60 s ahead of this clock",
          "pointer": "/samples/4/at"
        },
        {
          "detail": "it is more than 28 days ago",
          "pointer": "/samples/5/at"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    // All samples of a request are stored, or none.
    assert_eq!(metric(&windlass, image, "queue").await["samples"], json!([]));
    assert_eq!(windlass.get("/images/unknown/metrics").await.status, 404);
    assert_eq!(windlass.get(&format!("{path}?since=yesterday")).await.status, 422);
    let later = windlass.get(&format!("{path}?since={}", now + 60_000)).await.ok();
    assert!(later["metrics"].as_array().is_some_and(|metrics| metrics.len() == 7), "{later}");
    Ok(())
}

#[tokio::test]
async fn windlass_itself_and_private_addresses_that_are_not_allowed_are_no_sources() -> anyhow::Result<()> {
    let site = Site::new("no-sources").await?.set("network.private_addresses", "false");
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let (private, asked) = document("7").await;
    let own = format!("http://{}/health", windlass.address());
    let mut body = start_body(image, 1, 1);
    body["metrics"] = json!({
        "own": {"json": {"url": own, "pointer": "/ok"}, "interval": 1},
        "private": {"json": {"url": private, "pointer": ""}, "interval": 1},
    });
    windlass.post("/start/container", body).await.ok();
    for (name, why) in [("own", "Windlass itself listens there"), ("private", "it is private")] {
        eventually(&format!("{name} to be refused"), LIMIT, async || {
            let metric = metric(&windlass, image, name).await;
            let is_told = metric["failure"].as_str().is_some_and(|failure| failure.contains(why));
            if is_told { Ok(()) } else { Err(metric.to_string()) }
        })
        .await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    Ok(())
}

//! The whole control loop under load: HAProxy spreads requests over the replicas that Windlass lists, and the replicas
//! follow the load. Other tests configure nginx, and both with hostile names.
//!
//! The tests take about two and a half minutes, so only `make closed-loop` runs them.

mod templates;

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use reqwest::header::HOST;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use windlass_tests::balancers::nginx_configuration;
use windlass_tests::images::{Entry, Fixture, archive, busybox};
use windlass_tests::response::client;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

const IMAGE: &str = "windlass-tests/service:1";

/// Requests a second that one replica can answer.
const CAPACITY: f64 = 40.0;

/// The request rate over time: seconds, and requests a second at the start and the end of each phase.
const CROWD: [(u64, f64, f64); 5] =
    [(8, 20.0, 20.0), (4, 20.0, 120.0), (24, 120.0, 120.0), (4, 120.0, 20.0), (22, 20.0, 20.0)];

/// Times in seconds: when the load rises, how long replicas may take to follow it, and when it has fallen.
const COMES: f64 = 8.0;
const GRACE: f64 = 15.0;
const GONE: f64 = 40.0;

/// The maximum number of concurrent requests; a request above it is an error.
const IN_FLIGHT: usize = 600;

/// Time limit of a request.
const PATIENCE: Duration = Duration::from_secs(4);

/// The template that configures HAProxy: the example's, with the changes below.
const TEMPLATE: &str = include_str!("../../../examples/balancer/haproxy.cfg.jinja");

/// Changes to the example: a port of this test, and statistics as a metric for Windlass.
const CHANGES: [(&str, &str); 2] = [
    (
        "    maxconn 4096\n",
        "    maxconn 4096\n    hard-stop-after 10s\n    stats socket SOCKET expose-fd listeners level admin\n",
    ),
    (
        "frontend http\n    bind 127.0.0.1:8080\n",
        "frontend figures\n    bind 127.0.0.1:FIGURES\n    stats enable\n    stats uri /\n    stats scope http\n\n\
         frontend http\n    bind 127.0.0.1:CROWD\n",
    ),
];

/// The host name that the example's template sends to the workload `service`.
const HOST_NAME: &str = "service.example";

/// Starts HAProxy, or passes the sockets of the running process to a new one.
const RELOAD: &str = "#!/bin/sh
set -e
running=$(cat \"$1/haproxy.pid\" 2>/dev/null || true)
if [ -n \"$running\" ]; then set -- \"$1\" -x \"$1/haproxy.sock\" -sf $running; fi
folder=$1; shift
exec PROGRAM -D -f \"$folder/haproxy.cfg\" -p \"$folder/haproxy.pid\" \"$@\"
";

/// HAProxy under Windlass's control. Dropping the value ends it.
struct Balancer {
    folder: PathBuf,
    crowd: String,
    figures: String,
}

impl Balancer {
    /// Writes the script that Windlass runs.
    fn prepare(folder: &Path) -> anyhow::Result<Self> {
        let [crowd, figures] = free_ports()?;
        let socket = folder.join("haproxy.sock").display().to_string();
        let mut template = TEMPLATE.to_owned();
        for (from, to) in CHANGES {
            ensure!(template.matches(from).count() == 1, "the example's template has another form: no `{from}`");
            template = template.replace(from, to);
        }
        let template = template.replace("SOCKET", &socket).replace("FIGURES", &figures).replace("CROWD", &crowd);
        std::fs::write(folder.join("haproxy.jinja"), template)?;
        std::fs::write(folder.join("reload"), RELOAD.replace("PROGRAM", &program("haproxy")?))?;
        Ok(Self { folder: folder.to_owned(), crowd, figures })
    }

    fn pid(&self) -> Option<Pid> {
        let pid: i32 = std::fs::read_to_string(self.folder.join("haproxy.pid")).ok()?.trim().parse().ok()?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Pid::from_raw(pid).filter(|_| name.trim() == "haproxy")
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            // The process may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// The program and the folder of its libraries: fetched by `.ci/setup balancer`, otherwise the machine's own.
fn program(name: &str) -> anyhow::Result<String> {
    let tools = std::fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .map(|root| root.join("target/tools"))?;
    let fetched = tools.join(name);
    if fetched.is_file() {
        return Ok(format!("env LD_LIBRARY_PATH='{}' '{}'", tools.join("lib").display(), fetched.display()));
    }
    let own = Path::new("/usr/sbin").join(name);
    ensure!(own.is_file(), "there is no {name}: `make closed-loop` fetches it");
    Ok(own.display().to_string())
}

fn free_ports() -> anyhow::Result<[String; 2]> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let [first, second] = listeners.map(|listener| listener.local_addr());
    Ok([first?.port().to_string(), second?.port().to_string()])
}

/// Builds the image of `examples/service`.
async fn prepare_image(site: &Site) -> anyhow::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/service/main.rs");
    let program = site.folder().join("service");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-o"]).arg(&program).arg(source);
    let compiled = rustc.output().context("cannot run rustc")?;
    ensure!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let root = archive(&[
        ("bin", Entry::Folder),
        ("proc", Entry::Folder),
        ("bin/busybox", Entry::File(std::fs::read(busybox()?)?, true)),
        ("bin/sh", Entry::Link("busybox")),
        ("bin/sleep", Entry::Link("busybox")),
        ("bin/service", Entry::File(std::fs::read(&program)?, true)),
    ])?;
    // On SIGTERM the service answers the requests it has; it receives no new ones.
    let script = "trap 'sleep 2; exit 0' TERM; /bin/service & wait";
    site.engine().import(IMAGE, root, &["/bin/sh", "-c", script], Vec::new()).await
}

/// The result of one request.
#[derive(Debug, Clone, Copy)]
struct Answer {
    asked_at: f64,
    is_error: bool,
}

/// The state at one moment.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: f64,
    target: u64,
    ready: u64,
}

/// The request rate at a time since the start; `None` after the last phase.
fn rate(at: f64) -> Option<f64> {
    let mut begin = 0.0;
    for (seconds, from, to) in CROWD {
        let share = (at - begin) / seconds as f64;
        if share < 1.0 {
            return Some(from + (to - from) * share);
        }
        begin += seconds as f64;
    }
    None
}

/// Sends the requests at their times, without waiting for earlier ones.
async fn send_crowd(port: &str, began: Instant) -> Vec<Answer> {
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let url = format!("http://127.0.0.1:{port}/");
    let mut requests = Vec::new();
    let mut at = 0.0;
    while let Some(rate) = rate(at) {
        sleep_until(began + Duration::from_secs_f64(at)).await;
        let (url, places, asked_at) = (url.clone(), Arc::clone(&places), at);
        requests.push(tokio::spawn(async move {
            let Ok(_place) = places.try_acquire() else { return Answer { asked_at, is_error: true } };
            let answer = tokio::time::timeout(PATIENCE, client().get(&url).header(HOST, HOST_NAME).send()).await;
            Answer { asked_at, is_error: !matches!(answer, Ok(Ok(response)) if response.status().is_success()) }
        }));
        at += 1.0 / rate;
    }
    join_all(requests).await.into_iter().map(|answer| answer.expect("a request does not panic")).collect()
}

/// Observes the workload repeatedly until the last phase ends.
async fn watch(windlass: &Windlass, began: Instant, seen: &Mutex<Vec<Seen>>) {
    let mut at = 0.0;
    while rate(at).is_some() {
        sleep_until(began + Duration::from_secs_f64(at)).await;
        let shown = windlass.get("/images/service").await.ok();
        let ready = windlass.get("/discovery/prometheus?ready=true").await.ok();
        let look = Seen {
            at: began.elapsed().as_secs_f64(),
            target: shown["desired"]["target"].as_u64().expect("a target"),
            ready: ready.as_array().map_or(0, |targets| targets.len() as u64),
        };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(look);
        at = (began.elapsed().as_secs_f64() + 0.25).max(at + 0.25);
    }
}

/// Runs the load on a workload with this policy, and returns the observations.
async fn crowd(windlass: &Windlass, balancer: &Balancer, name: &str, policy: Value) -> anyhow::Result<()> {
    let figures = format!("http://127.0.0.1:{}/;json", balancer.figures);
    let body = json!({
        "name": "service",
        "image": IMAGE,
        "min_replicas": 1,
        "max_replicas": 6,
        "ports": {"80/tcp": 0},
        "resources": {"cpu": "0.2", "memory": "64m"},
        "env": {"RATE": CAPACITY.to_string(), "WORK": "4"},
        "probe": {"http": {"port": 80, "path": "/alive"}, "interval": "1s", "timeout": "900ms"},
        // HAProxy's own count of requests in the last second.
        "metrics": {"requests": {"json": {"url": figures, "pointer": "/0/25/value/value"}, "interval": "1s"}},
        "scaling_policy": {"name": "target-tracking", "config": policy},
        "guardrails": {
            "grace": 0,
            "scale_up": {"window": 0, "rates": [{"count": 4, "per": "5s"}]},
            "scale_down": {"window": "6s", "rates": [{"count": 2, "per": "2s"}]},
        },
    });
    windlass.post("/start/container", body).await.ok();
    eventually("HAProxy to answer", Duration::from_secs(30), async || {
        let answer = client().get(format!("http://127.0.0.1:{}/", balancer.crowd)).header(HOST, HOST_NAME).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let began = Instant::now();
    let seen = Mutex::default();
    let (answers, ()) = tokio::join!(send_crowd(&balancer.crowd, began), watch(windlass, began, &seen));
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    show(name, &answers, &seen);
    let removed = windlass.delete("/images/service").await;
    assert_eq!(removed.status, 200, "{removed}");
    judge(name, &answers, &seen);
    Ok(())
}

/// Prints the observations, two seconds a line.
#[expect(clippy::print_stdout, reason = "the table is what `make closed-loop` is run for")]
fn show(name: &str, answers: &[Answer], seen: &[Seen]) {
    println!("\ntarget tracking on {name}\n  second  requests/s  wanted  ready  errors");
    let mut from = 0.0;
    while let Some(rate) = rate(from) {
        let within = |at: f64| at >= from && at < from + 2.0;
        let errors = answers.iter().filter(|answer| within(answer.asked_at) && answer.is_error).count();
        if let Some(look) = seen.iter().rfind(|look| within(look.at)) {
            println!("{from:8.0}{rate:12.0}{:8}{:7}{errors:8}", look.target, look.ready);
        }
        from += 2.0;
    }
    let errors = answers.iter().filter(|answer| answer.is_error).count();
    println!("{} requests, {errors} errors", answers.len());
}

/// The replicas follow up and down, errors are rare after the first seconds of the load, and the count does not flap.
fn judge(name: &str, answers: &[Answer], seen: &[Seen]) {
    let mut counts: Vec<u64> = seen.iter().map(|look| look.target).collect();
    let most = counts.iter().copied().max().unwrap_or_default();
    assert!(most >= 3, "{name}: 120 requests a second need 3 replicas at the least: {counts:?}");
    let most_ready = seen.iter().map(|look| look.ready).max().unwrap_or_default();
    assert!(most_ready >= 3, "{name}: replicas follow what is wanted: {seen:?}");
    let (first, last) = (counts[0], counts[counts.len() - 1]);
    assert!(first <= 2 && last <= 2, "{name}: a calm needs few: {counts:?}");
    counts.dedup();
    let peak = counts.iter().position(|count| *count == most).unwrap_or_default();
    let is_hill = counts[..peak].is_sorted() && counts[peak..].iter().rev().is_sorted();
    assert!(is_hill, "{name}: it goes up and then down, and nothing else: {counts:?}");
    for (when, from, to) in
        [("before the crowd", 0.0, COMES), ("under it", COMES + GRACE, GONE), ("after it", GONE, f64::MAX)]
    {
        let asked: Vec<_> = answers.iter().filter(|answer| (from..to).contains(&answer.asked_at)).collect();
        let errors = asked.iter().filter(|answer| answer.is_error).count();
        assert!(errors * 100 < asked.len(), "{name}, {when}: {errors} of {} requests failed", asked.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes and HAProxy: `make closed-loop`"]
async fn replicas_follow_a_crowd_that_comes_and_goes() -> anyhow::Result<()> {
    let site = Site::new("closed-loop").await?;
    let folder = site.folder().to_owned();
    let of = |name: &str| json!(folder.join(name)).to_string();
    let command = json!(["sh", folder.join("reload"), folder]).to_string();
    let site = site
        .set("control.interval", r#""1s""#)
        .set("control.stop_grace", r#""5s""#)
        .set("engine.sample_interval", r#""1s""#)
        .set("discovery.file", &of("haproxy.cfg"))
        .set("discovery.template", &of("haproxy.jinja"))
        .set("discovery.command", &command);
    let balancer = Balancer::prepare(&folder)?;
    prepare_image(&site).await?;
    let windlass = site.start().await?;
    let requests = json!({"metrics": [{"name": "requests", "target": 30, "kind": "total"}]});
    crowd(&windlass, &balancer, "requests", requests).await?;
    // A request takes 4 ms of a fifth of a core: 20 a second use 0.4 of it, and 40, the maximum, 0.8. A replica's usage
    // counts from two seconds after its start.
    let cpu = json!({"metrics": [{"name": "cpu-utilization", "target": 0.45}], "warm-up-ms": 2000});
    crowd(&windlass, &balancer, "cpu", cpu).await
}

#[tokio::test]
#[ignore = "it takes nginx: `make closed-loop`"]
async fn nginx_reads_the_list_of_the_example_with_replicas_and_without() -> anyhow::Result<()> {
    let site = Site::new("nginx").await?;
    let folder = site.folder().to_owned();
    let image = site.engine().prepare(Fixture::Web).await?;
    let list = folder.join("windlass.conf");
    let directives = format!(
        "include {}/windlass.conf;
    server {{ listen 127.0.0.1:1; location / {{ proxy_pass http://web; }} }}",
        folder.display()
    );
    std::fs::write(folder.join("nginx.conf"), nginx_configuration(&folder, &directives))?;
    std::fs::write(folder.join("template"), include_str!("../../../examples/balancer/nginx.conf.jinja"))?;
    let of = |name: &str| json!(folder.join(name)).to_string();
    let site = site.set("discovery.file", &of("windlass.conf")).set("discovery.template", &of("template"));
    let windlass = site.start().await?;
    let nginx = program("nginx")?;
    let reads = async |server: &str| {
        eventually("the list to tell of it", Duration::from_secs(30), async || {
            let text = std::fs::read_to_string(&list).unwrap_or_default();
            if text.contains(server) { Ok(()) } else { Err(text) }
        })
        .await;
        let test = format!("{nginx} -t -p '{0}' -c '{0}/nginx.conf'", folder.display());
        let read = Command::new("sh").args(["-c", &test]).output()?;
        ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        anyhow::Ok(())
    };
    let mut body = start_body(image, 0, 2);
    body["name"] = json!("web");
    body["ports"] = json!({"80/tcp": 0});
    windlass.post("/start/container", body).await.ok();
    reads("upstream web {\n    server ").await?;
    windlass.patch("/images/web/overrides", json!({"force": {"replicas": 0, "for": "1h"}})).await.ok();
    reads("upstream web {\n    # No replica serves").await
}

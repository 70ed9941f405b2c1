//! The part of `make bench` that needs a Swarm: measures Windlass and the Swarm alone on the same three nodes.
//!
//! It measures:
//!
//! - a service that grows from 2 to 8 tasks: from the jump of a metric, compared with `docker service scale`;
//! - a node that loses its power: the time until the tasks of a service with labels run elsewhere, compared with one without;
//! - the requests to the manager in a minute at rest with 100 services, among them those of the lease.
//!
//! It needs root, and the release binary, which `make bench` builds.

use anyhow::ensure;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;
use windlass_tests::benchmark::{mark, median, print_line, run};
use windlass_tests::engine::Engine;
use windlass_tests::engine_proxy::EngineProxy;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass};
use windlass_tests::swarm::{NODES, Swarm};
use windlass_tests::wait::until;

/// The time limit of each wait, far longer than any of them takes.
const LIMIT: Duration = Duration::from_secs(300);

/// Measurements of growth. The result is their median, because an engine's times differ by half from run to run.
const ROUNDS: usize = 5;

/// Tasks before and after growth.
const GROWTH: [usize; 2] = [2, 8];

/// The services at rest, and the time for which their requests are counted.
const SERVICES: u32 = 100;
const REST: Duration = Duration::from_secs(120);

/// The services with and without labels.
const WATCHED: &str = "watched";
const ALONE: &str = "alone";

/// Tasks of each service when a node dies: two a node.
const SPREAD: usize = 2 * NODES;

const AIM_GROWTH: f64 = 1.2;
const AIM_MOVED: f64 = 1.1;
const AIM_REQUESTS: f64 = 60.0;

#[tokio::main]
async fn main() -> ExitCode {
    run("Swarm", measure).await
}

async fn measure() -> anyhow::Result<()> {
    let image = Engine::of_this_machine().await?.prepare(Fixture::Deaf).await?;
    let mut swarm = Swarm::start().await?;
    swarm.load(image).await?;
    let folder = tempfile::tempdir()?;
    let proxy = EngineProxy::start(&folder.path().join("engine.sock"), &swarm.host(1))?;
    // A task for each 10 of a metric.
    let metrics = r#"metrics = [{ name = "load", target = 10, kind = "total" }]"#;
    let site = Site::on(Engine::at(&proxy.host()).await?, "bench-swarm")?
        .set("profiles.load.metrics", r#"{ load = { push = {}, max_age = "1h" } }"#)
        .set("profiles.load.scaling_policy", &format!(r#"{{ name = "target-tracking", config = {{ {metrics} }} }}"#))
        .set("profiles.load.guardrails", r#"{ grace = 0, scale_up = { rates = [] }, scale_down = { window = "1s" } }"#);
    let windlass = site.start_with(&["--listen", "127.0.0.1:0", "--engine", "swarm"]).await?;
    let labels = [
        format!("windlass.instance={}", site.instance()),
        "windlass.enable=true".to_owned(),
        "windlass.min=1".to_owned(),
        "windlass.max=20".to_owned(),
        "windlass.mode=act".to_owned(),
        "windlass.profile=load".to_owned(),
    ];
    create(&swarm, WATCHED, image, GROWTH[0], &labels).await?;
    create(&swarm, ALONE, image, GROWTH[0], &[]).await?;
    adopted(&windlass, WATCHED).await?;
    for service in [WATCHED, ALONE] {
        runs(&swarm, service, GROWTH[0], None).await?;
    }

    let (mut alone, mut watched) = (vec![], vec![]);
    // The sides alternate, so that other work of the machine affects both alike.
    for round in 0..2 * ROUNDS {
        let began = Instant::now();
        if round % 2 == 0 {
            scale(&swarm, GROWTH[1]).await?;
            runs(&swarm, ALONE, GROWTH[1], None).await?;
            alone.push(began.elapsed());
            scale(&swarm, GROWTH[0]).await?;
        } else {
            push(&windlass, GROWTH[1]).await?;
            runs(&swarm, WATCHED, GROWTH[1], None).await?;
            watched.push(began.elapsed());
            push(&windlass, GROWTH[0]).await?;
        }
        for service in [WATCHED, ALONE] {
            runs(&swarm, service, GROWTH[0], None).await?;
        }
        // Swarm removes the containers of the tasks that ended.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let requests = at_rest(&swarm, &windlass, &proxy, image, &labels).await?;

    scale(&swarm, SPREAD).await?;
    push(&windlass, SPREAD).await?;
    for service in [WATCHED, ALONE] {
        runs(&swarm, service, SPREAD, None).await?;
    }
    let began = Instant::now();
    swarm.lose(NODES)?;
    let dead = Swarm::name(NODES);
    let moved = async |service: &str| {
        runs(&swarm, service, SPREAD, Some(&dead)).await?;
        anyhow::Ok(began.elapsed())
    };
    let (moved_alone, moved_watched) = tokio::try_join!(moved(ALONE), moved(WATCHED))?;

    print_line(format!(
        "\n{:<46} {:>12} {:>12} {:>8} {:>8}",
        "on a Swarm of three nodes", "Swarm alone", "Windlass", "ratio", "aim"
    ));
    row("grow from 2 to 8 tasks", median(alone), median(watched), AIM_GROWTH);
    row("a dead node: all tasks run again", moved_alone, moved_watched, AIM_MOVED);
    print_line(format!(
        "{:<46} {:>12} {requests:>12.1} {:>8} {:>8}{}",
        "requests a minute at rest, 100 services",
        "",
        "",
        format!("< {AIM_REQUESTS}"),
        mark(requests < AIM_REQUESTS)
    ));
    Ok(())
}

/// Prints the times of both sides and their ratio.
fn row(task: &str, alone: Duration, windlass: Duration, aim: f64) {
    let (alone, windlass) = (alone.as_secs_f64(), windlass.as_secs_f64());
    let ratio = windlass / alone;
    let (aim, mark) = (format!("≤ {aim}"), mark(ratio <= aim));
    print_line(format!("{task:<46} {alone:>10.2} s {windlass:>10.2} s {ratio:>8.2} {aim:>8}{mark}"));
}

async fn create(swarm: &Swarm, name: &str, image: &str, count: usize, labels: &[String]) -> anyhow::Result<()> {
    let count = count.to_string();
    let mut arguments = vec!["service", "create", "--detach", "--no-resolve-image", "--network", "host"];
    arguments.extend(["--restart-delay", "1s", "--name", name, "--replicas", &count]);
    arguments.extend(labels.iter().flat_map(|label| ["--label", label.as_str()]));
    arguments.push(image);
    swarm.docker(1, &arguments).await.map(drop)
}

/// Sets the count of the service without labels.
async fn scale(swarm: &Swarm, count: usize) -> anyhow::Result<()> {
    swarm.docker(1, &["service", "scale", "--detach", &format!("{ALONE}={count}")]).await.map(drop)
}

/// Sets the metric of the service with labels so that it calls for this many tasks.
async fn push(windlass: &Windlass, count: usize) -> anyhow::Result<()> {
    let body = json!({"samples": [{"name": "load", "value": 10 * count}]});
    let pushed = windlass.post(&format!("/workloads/{WATCHED}/metrics"), body).await;
    ensure!(pushed.status == 200, "the metric was not taken: {pushed}");
    Ok(())
}

async fn adopted(windlass: &Windlass, workload: &str) -> anyhow::Result<()> {
    until("the service to be adopted", LIMIT, async || match windlass.get(&format!("/workloads/{workload}")).await {
        found if found.status == 200 => Ok(()),
        other => Err(other.to_string()),
    })
    .await
}

/// Waits until exactly `count` tasks of a service run, none of them on the node `without`.
async fn runs(swarm: &Swarm, service: &str, count: usize, without: Option<&str>) -> anyhow::Result<()> {
    until(&format!("{count} tasks of {service} to run"), LIMIT, async || {
        let filter = ["service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}"];
        let listed = swarm.docker(1, &[&filter[..], &[service]].concat()).await.map_err(|error| error.to_string())?;
        let is_there = |task: &&str| {
            let (node, state) = task.split_once(' ').unwrap_or_default();
            state.starts_with("Running") && Some(node) != without
        };
        let running = listed.lines().filter(is_there).count();
        if running == count && listed.lines().count() == count { Ok(()) } else { Err(listed) }
    })
    .await
}

/// The requests a minute to the manager at rest.
async fn at_rest(
    swarm: &Swarm,
    windlass: &Windlass,
    proxy: &EngineProxy,
    image: &str,
    labels: &[String],
) -> anyhow::Result<f64> {
    let names: Vec<String> = (0..SERVICES).map(|number| format!("rest{number}")).collect();
    let creations = names.iter().map(|name| create(swarm, name, image, 1, labels));
    stream::iter(creations).buffer_unordered(4).try_collect::<Vec<()>>().await?;
    for name in &names {
        runs(swarm, name, 1, None).await?;
        adopted(windlass, name).await?;
    }
    // A service that has just begun is polled more often.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = proxy.requests();
    tokio::time::sleep(REST).await;
    let requests = proxy.requests() - before;
    let removal: Vec<&str> = ["service", "rm"].into_iter().chain(names.iter().map(String::as_str)).collect();
    swarm.docker(1, &removal).await?;
    #[expect(clippy::cast_precision_loss, reason = "a number of requests needs no more than 53 bits")]
    Ok(requests as f64 / (REST.as_secs_f64() / 60.0))
}

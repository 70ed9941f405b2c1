//! The part of `make bench` that needs a container engine: measures Windlass and the engine alone in the same run.
//!
//! It measures:
//!
//! - scaling 1 → 20, compared with creating and starting 19 containers in parallel through the engine's API;
//! - the replacement of a killed container, compared with creating and starting one;
//! - the resident memory of `windlass serve`, idle with 50 containers;
//! - one round of sampling 500 containers: those 50, ten times each, because this machine cannot run more.
//!
//! It needs the release binary, which `make bench` builds.

use anyhow::{Context, ensure};
use bollard::models::{ContainerCreateBody, HostConfig};
use futures_util::StreamExt;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;
use windlass_docker::cgroup;
use windlass_docker::cgroup::Roots;
use windlass_tests::benchmark::{mark, median, print_line, run};
use windlass_tests::engine::{Engine, INSTANCE_LABEL};
use windlass_tests::images::Fixture;
use windlass_tests::memory::resident;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::until;

/// The time limit of each wait, far longer than any of them takes.
const LIMIT: Duration = Duration::from_secs(300);

/// Containers that both sides create and start in parallel. Windlass has the same default.
const PARALLEL_STARTS: usize = 4;

/// Measurements of each time. The result is their median, because an engine's times differ by half from run to run.
const ROUNDS: usize = 3;

const AIM_SCALE: f64 = 1.2;
const AIM_REPLACE: f64 = 1.5;
const AIM_MEBIBYTES: f64 = 40.0;
const AIM_SAMPLING: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    run("engine", measure).await
}

async fn measure() -> anyhow::Result<()> {
    let engine = Engine::of_this_machine().await?;
    let image = engine.prepare(Fixture::Web).await?;
    let (mut engine_scale, mut windlass_scale, mut engine_start, mut windlass_replace) =
        (vec![], vec![], vec![], vec![]);
    // The sides alternate, so that other work of the machine affects both alike.
    for round in 0..ROUNDS {
        let alone =
            EngineAlone { engine: engine.clone(), group: format!("bench-plain-{}-{round}", std::process::id()) };
        engine_scale.push(alone.run(image, 19).await?);
        alone.remove().await;
        let site = Site::new("bench-scale").await?;
        let windlass = site.start().await?;
        windlass_scale.push(scale_to_twenty(&site, &windlass, image).await?);
        drop((windlass, site));

        engine_start.push(alone.run(image, 1).await?);
        alone.remove().await;
        let site = Site::new("bench-replace").await?;
        let windlass = site.start().await?;
        windlass_replace.push(replacement(&site, &windlass, image).await?);
        drop((windlass, site));
    }
    let (memory, sampling) = idle(image).await?;

    print_line(format!(
        "\n{:<46} {:>12} {:>12} {:>8} {:>8}",
        "on a real engine", "engine alone", "Windlass", "ratio", "aim"
    ));
    row("create and start 19 in parallel | scale 1 → 20", engine_scale, windlass_scale, AIM_SCALE);
    row("create and start 1 | replace a killed one", engine_start, windlass_replace, AIM_REPLACE);
    print_line(format!(
        "{:<46} {:>12} {:>9.1} MiB {:>8} {:>8}{}",
        "resident memory, idle with 50 containers",
        "",
        memory,
        "",
        format!("≤ {AIM_MEBIBYTES} MiB"),
        mark(memory <= AIM_MEBIBYTES)
    ));
    let mark_of_sampling = mark(sampling <= AIM_SAMPLING);
    let (sampling, aim) = (sampling.as_secs_f64() * 1e3, AIM_SAMPLING.as_millis());
    print_line(format!(
        "{:<46} {:>12} {sampling:>10.1} ms {:>8} {:>8}{mark_of_sampling}",
        "resource use of 500 containers sampled",
        "",
        "",
        format!("≤ {aim} ms")
    ));
    Ok(())
}

/// Prints the medians of both sides and their ratio.
fn row(task: &str, engine: Vec<Duration>, windlass: Vec<Duration>, aim: f64) {
    let (engine, windlass) = (median(engine).as_secs_f64(), median(windlass).as_secs_f64());
    let ratio = windlass / engine;
    let (aim, mark) = (format!("≤ {aim}"), mark(ratio <= aim));
    print_line(format!("{task:<46} {engine:>10.2} s {windlass:>10.2} s {ratio:>8.2} {aim:>8}{mark}"));
}

/// Containers that the engine's API creates without Windlass. The label of a group identifies them.
struct EngineAlone {
    engine: Engine,
    group: String,
}

impl EngineAlone {
    /// Creates and starts `count` containers like those of Windlass. Returns the time it took.
    async fn run(&self, image: &str, count: usize) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let starts = futures_util::stream::iter((0..count).map(|_| self.create_and_start(image)))
            .buffer_unordered(PARALLEL_STARTS);
        let results: Vec<anyhow::Result<()>> = starts.collect().await;
        results.into_iter().collect::<anyhow::Result<()>>()?;
        Ok(began.elapsed())
    }

    async fn create_and_start(&self, image: &str) -> anyhow::Result<()> {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            labels: Some([(INSTANCE_LABEL.to_owned(), self.group.clone())].into()),
            host_config: Some(HostConfig {
                nano_cpus: Some(100_000_000),
                memory: Some(64 << 20),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = None::<bollard::query_parameters::CreateContainerOptions>;
        let created = self.engine.docker().create_container(options, body).await?;
        Ok(self.engine.docker().start_container(&created.id, None).await?)
    }

    async fn remove(&self) {
        self.engine.remove_all(&self.group).await;
    }
}

async fn start(windlass: &Windlass, image: &str, replicas: u32) -> anyhow::Result<()> {
    let mut body = start_body(image, replicas, replicas);
    body["resources"]["cpu"] = json!("0.1");
    let started = windlass.post("/start/container", body).await;
    ensure!(started.status == 200, "the start request failed: {started}");
    Ok(())
}

/// Waits until the engine lists exactly `count` running containers, and `without` is not one of them.
async fn running(site: &Site, count: usize, without: Option<&str>) -> anyhow::Result<Vec<String>> {
    until(&format!("{count} containers to run"), LIMIT, async || {
        let running = site.engine().running(site.instance()).await.map_err(|error| error.to_string())?;
        let matches = running.len() == count && !running.iter().any(|id| Some(id.as_str()) == without);
        if matches { Ok(running) } else { Err(format!("{} are running", running.len())) }
    })
    .await
}

async fn scale_to_twenty(site: &Site, windlass: &Windlass, image: &str) -> anyhow::Result<Duration> {
    start(windlass, image, 1).await?;
    running(site, 1, None).await?;
    let began = Instant::now();
    let body = json!({"min_replicas": 20, "max_replicas": 20});
    let scaled = windlass.post(&format!("/images/{image}/scale"), body).await;
    ensure!(scaled.status == 200, "the scale request failed: {scaled}");
    running(site, 20, None).await?;
    Ok(began.elapsed())
}

async fn replacement(site: &Site, windlass: &Windlass, image: &str) -> anyhow::Result<Duration> {
    start(windlass, image, 2).await?;
    let before = running(site, 2, None).await?;
    // The engine answers when the process is gone. The measurement begins then, so it excludes the kill.
    site.engine().kill(&before[0]).await?;
    let began = Instant::now();
    running(site, 2, Some(&before[0])).await?;
    Ok(began.elapsed())
}

/// The resident memory in MiB with 50 running containers after several passes and samples, and the time to sample
/// 500 containers.
async fn idle(image: &str) -> anyhow::Result<(f64, Duration)> {
    let site =
        Site::new("bench-memory").await?.set("control.interval", "\"1s\"").set("engine.sample_interval", "\"1s\"");
    let windlass = site.start().await?;
    start(&windlass, image, 50).await?;
    running(&site, 50, None).await?;
    let first = last_pass(&windlass, image).await?;
    until("five more passes", LIMIT, async || {
        let now = last_pass(&windlass, image).await.map_err(|error| error.to_string())?;
        if now >= first + 5_000 { Ok(()) } else { Err(format!("the last pass was at {now} ms")) }
    })
    .await?;
    let memory = resident(windlass.pid())? as f64 / f64::from(1 << 20);
    Ok((memory, sampling(&site).await?))
}

/// The median time to read the resource use of 500 containers: each running one ten times.
async fn sampling(site: &Site) -> anyhow::Result<Duration> {
    let roots = Roots::at(Path::new("/proc")).context("the control groups of this machine cannot be read")?;
    let mut files = Vec::new();
    for id in site.engine().running(site.instance()).await? {
        let state = site.engine().docker().inspect_container(&id, None).await?.state;
        let pid = state.and_then(|state| state.pid).with_context(|| format!("container `{id}` has no process"))?;
        let located = roots.locate(&id, pid.try_into()?, true);
        files.push(located.with_context(|| format!("the control group of container `{id}` cannot be read"))?);
    }
    let mut rounds: Vec<Duration> = (0..20)
        .map(|_| {
            let began = Instant::now();
            let read = cgroup::sample(files.iter().cycle().take(10 * files.len()));
            assert!(read.iter().all(|(_, counters)| counters.is_ok()), "a container stopped while it was sampled");
            began.elapsed()
        })
        .collect();
    rounds.sort();
    Ok(rounds[rounds.len() / 2])
}

/// The time of the last pass, in milliseconds since 1970.
async fn last_pass(windlass: &Windlass, image: &str) -> anyhow::Result<u64> {
    let response = windlass.get(&format!("/images/{image}")).await;
    response.body["last_pass"]["at_ms"].as_u64().with_context(|| format!("no pass yet: {response}"))
}

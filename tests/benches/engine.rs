//! `make bench`, the part that needs a container engine: measures Windlass and the engine itself in the same run.
//!
//! Four measurements; they need the release build of the program next to this one:
//!
//! - the time of scaling from 1 to 20 replicas, compared with creating and starting 19 containers concurrently through
//!   the engine's API;
//! - the time of replacing a killed container, compared with one create and start;
//! - the memory of an idle `windlass serve` with 50 containers;
//! - the time of one round of sampling 500 containers: ten times those 50, since the machine cannot run more.

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
use windlass_tests::engine::{Engine, INSTANCE_LABEL};
use windlass_tests::images::Fixture;
use windlass_tests::memory::resident;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::until;

/// A time limit far above any of the measurements.
const LIMIT: Duration = Duration::from_secs(300);

/// The number of containers that either side creates and starts concurrently: Windlass's default.
const SIDE_BY_SIDE: usize = 4;

/// Repetitions of each measurement; the median counts, since an engine's times vary by half between runs.
const ROUNDS: usize = 3;

const AIM_SCALE: f64 = 1.2;
const AIM_REPLACE: f64 = 1.5;
const AIM_MEBIBYTES: f64 = 40.0;
const AIM_SAMPLING: Duration = Duration::from_millis(100);

/// Prints a line for the user.
#[expect(clippy::print_stdout, reason = "a program for people speaks on standard output")]
fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --benches` only checks that the program compiles.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("the engine bench failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> anyhow::Result<()> {
    let engine = Engine::of_this_machine().await?;
    let image = engine.prepare(Fixture::Web).await?;
    let (mut own_scale, mut our_scale, mut own_one, mut our_replace) = (vec![], vec![], vec![], vec![]);
    // The sides take turns, so that other work of the machine affects both alike.
    for round in 0..ROUNDS {
        let plain = Plain { engine: engine.clone(), group: format!("bench-plain-{}-{round}", std::process::id()) };
        own_scale.push(plain.run(image, 19).await?);
        plain.away().await;
        let site = Site::new("bench-scale").await?;
        let windlass = site.start().await?;
        our_scale.push(scale_to_twenty(&site, &windlass, image).await?);
        drop((windlass, site));

        own_one.push(plain.run(image, 1).await?);
        plain.away().await;
        let site = Site::new("bench-replace").await?;
        let windlass = site.start().await?;
        our_replace.push(replacement(&site, &windlass, image).await?);
        drop((windlass, site));
    }
    let (memory, sampling) = idle(image).await?;

    say(format!(
        "\n{:<44} {:>12} {:>12} {:>8} {:>8}",
        "on the real engine", "engine alone", "Windlass", "ratio", "aim"
    ));
    row("create and start 19 side by side | scale 1 → 20", own_scale, our_scale, AIM_SCALE);
    row("create and start 1 | replace a killed one", own_one, our_replace, AIM_REPLACE);
    say(format!(
        "{:<44} {:>12} {:>9.1} MiB {:>8} {:>8}",
        "resident, idle with 50 containers",
        "",
        memory,
        "",
        format!("≤ {AIM_MEBIBYTES} MiB")
    ));
    let (sampling, aim) = (sampling.as_secs_f64() * 1e3, AIM_SAMPLING.as_millis());
    say(format!(
        "{:<44} {:>12} {sampling:>10.1} ms {:>8} {:>8}",
        "500 containers sampled",
        "",
        "",
        format!("≤ {aim} ms")
    ));
    Ok(())
}

fn row(what: &str, theirs: Vec<Duration>, ours: Vec<Duration>, aim: f64) {
    let (theirs, ours) = (median(theirs), median(ours));
    let ratio = ours / theirs;
    say(format!("{what:<44} {theirs:>10.2} s {ours:>10.2} s {ratio:>8.2} {:>8}", format!("≤ {aim}")));
}

/// The median, in seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// Containers created through the engine's API alone, with a common label.
struct Plain {
    engine: Engine,
    group: String,
}

impl Plain {
    /// Creates and starts containers like those of Windlass, and returns the time this took.
    async fn run(&self, image: &str, count: usize) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let made = futures_util::stream::iter((0..count).map(|_| self.one(image))).buffer_unordered(SIDE_BY_SIDE);
        let made: Vec<anyhow::Result<()>> = made.collect().await;
        made.into_iter().collect::<anyhow::Result<()>>()?;
        Ok(began.elapsed())
    }

    async fn one(&self, image: &str) -> anyhow::Result<()> {
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

    async fn away(&self) {
        self.engine.remove_all(&self.group).await;
    }
}

async fn start(windlass: &Windlass, image: &str, replicas: u32) -> anyhow::Result<()> {
    let mut body = start_body(image, replicas, replicas);
    body["resources"]["cpu"] = json!("0.1");
    let started = windlass.post("/start/container", body).await;
    ensure!(started.status == 200, "it was not started: {started}");
    Ok(())
}

/// Waits until the engine reports this number of running containers, without `without`.
async fn running(site: &Site, count: usize, without: Option<&str>) -> anyhow::Result<Vec<String>> {
    until(&format!("{count} containers to run"), LIMIT, async || {
        let running = site.engine().running(site.instance()).await.map_err(|error| error.to_string())?;
        let right = running.len() == count && !running.iter().any(|id| Some(id.as_str()) == without);
        if right { Ok(running) } else { Err(format!("{} run", running.len())) }
    })
    .await
}

async fn scale_to_twenty(site: &Site, windlass: &Windlass, image: &str) -> anyhow::Result<Duration> {
    start(windlass, image, 1).await?;
    running(site, 1, None).await?;
    let began = Instant::now();
    let body = json!({"min_replicas": 20, "max_replicas": 20});
    let scaled = windlass.post(&format!("/images/{image}/scale"), body).await;
    ensure!(scaled.status == 200, "it was not scaled: {scaled}");
    running(site, 20, None).await?;
    Ok(began.elapsed())
}

async fn replacement(site: &Site, windlass: &Windlass, image: &str) -> anyhow::Result<Duration> {
    start(windlass, image, 2).await?;
    let before = running(site, 2, None).await?;
    // The engine answers after the process is gone; the measurement excludes killing.
    site.engine().kill(&before[0]).await?;
    let began = Instant::now();
    running(site, 2, Some(&before[0])).await?;
    Ok(began.elapsed())
}

/// Resident memory in MiB with 50 running containers, after several passes and samples; then the time to read the usage
/// of those 50 ten times over.
async fn idle(image: &str) -> anyhow::Result<(f64, Duration)> {
    let site =
        Site::new("bench-memory").await?.set("control.interval", "\"1s\"").set("engine.sample_interval", "\"1s\"");
    let windlass = site.start().await?;
    start(&windlass, image, 50).await?;
    running(&site, 50, None).await?;
    let first = last_pass(&windlass, image).await?;
    until("five passes to go by", LIMIT, async || {
        let now = last_pass(&windlass, image).await.map_err(|error| error.to_string())?;
        if now >= first + 5_000 { Ok(()) } else { Err(format!("the last was at {now}")) }
    })
    .await?;
    let memory = resident(windlass.pid())? as f64 / f64::from(1 << 20);
    Ok((memory, sampling(&site).await?))
}

async fn sampling(site: &Site) -> anyhow::Result<Duration> {
    let roots = Roots::at(Path::new("/proc")).context("this machine's control groups cannot be read")?;
    let mut files = Vec::new();
    for id in site.engine().running(site.instance()).await? {
        let state = site.engine().docker().inspect_container(&id, None).await?.state;
        let pid = state.and_then(|state| state.pid).context("it runs")?;
        files.push(roots.locate(&id, pid.try_into()?, true).context("its files can be read")?);
    }
    let mut rounds: Vec<Duration> = (0..20)
        .map(|_| {
            let began = Instant::now();
            let read = cgroup::sample(files.iter().cycle().take(10 * files.len()));
            assert!(read.iter().all(|(_, counters)| counters.is_ok()), "a container went away");
            began.elapsed()
        })
        .collect();
    rounds.sort();
    Ok(rounds[rounds.len() / 2])
}

/// The time of the last pass's observation, in milliseconds.
async fn last_pass(windlass: &Windlass, image: &str) -> anyhow::Result<u64> {
    let shown = windlass.get(&format!("/images/{image}")).await;
    shown.body["last_pass"]["at"].as_u64().with_context(|| format!("no pass yet: {shown}"))
}

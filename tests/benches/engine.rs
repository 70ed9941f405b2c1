//! `make bench`, the part that needs an engine: Windlass beside the engine's own speed, in the same run.
//!
//! Four questions. How long does scaling 1 → 20 take beside creating and starting 19 containers side by side
//! through the engine's API? How long does a killed container's replacement take beside one create and start?
//! How much memory does `windlass serve` hold, idle with 50 containers? How long does one round of sampling 500
//! containers take (ten times those 50: more than that this machine cannot run)? Needs the release binary beside it.

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

/// Far longer than any of it takes.
const LIMIT: Duration = Duration::from_secs(300);

/// How many are created and started at once by either side; what Windlass does by default.
const SIDE_BY_SIDE: usize = 4;

/// Times each is measured; the median counts, since an engine's times differ by half from run to run.
const ROUNDS: usize = 3;

const AIM_SCALE: f64 = 1.2;
const AIM_REPLACE: f64 = 1.5;
const AIM_MEBIBYTES: f64 = 40.0;
const AIM_SAMPLING: Duration = Duration::from_millis(100);

/// A line for the person who measures.
#[expect(clippy::print_stdout, reason = "a program for people speaks on standard output")]
fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --benches` and the like only want to know that it compiles.
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
    // Round about, so that whatever else the machine does hits both sides alike.
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

/// Containers made through the engine's API alone, by the label of a group.
struct Plain {
    engine: Engine,
    group: String,
}

impl Plain {
    /// Creates and starts so many like those Windlass makes, and returns how long it took.
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

/// Waits until so many run by the engine's own account, `without` none among them.
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
    // The engine answers once the process is gone; killing is not what is measured.
    site.engine().kill(&before[0]).await?;
    let began = Instant::now();
    running(site, 2, Some(&before[0])).await?;
    Ok(began.elapsed())
}

/// Resident memory in MiB once 50 containers run and several passes and samples have gone by; then how long it
/// takes to read the use of those 50, ten times over.
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

/// When the last pass looked, in milliseconds.
async fn last_pass(windlass: &Windlass, image: &str) -> anyhow::Result<u64> {
    let shown = windlass.get(&format!("/images/{image}")).await;
    shown.body["last_pass"]["at_ms"].as_u64().with_context(|| format!("no pass yet: {shown}"))
}

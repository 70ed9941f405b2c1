//! The part of `make bench` about policies in any language.
//!
//! It measures:
//!
//! - a simulated day (`windlass simulate`);
//! - the cost of each example (`windlass policy bench`);
//! - the same decision by a component and by a child process over HTTP on loopback, which is the cost of webhooks and
//!   plugin processes;
//! - decisions that a policy swap loses or delays, at 2,000 decisions per second.
//!
//! It needs the release binary and the built examples. `make bench` builds both.

use anyhow::{Context, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use windlass_core::contract::{ScalingDecision, ScalingObservation, Series};
use windlass_core::policy::{PolicyCatalogue, Push, Source};
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyChoice, PolicyChoices, Timestamp};
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::cache::Cache;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::benchmark::{print_line, run};
use windlass_tests::hostile;
use windlass_tests::policies::policies_of;
use windlass_tests::site::binary;

/// The environment variable that makes this program the child process.
const CHILD_VARIABLE: &str = "WINDLASS_BENCH_CHILD";

const CONFIG: &str = r#"{"target-per-replica": 25}"#;
const LANGUAGES: [&str; 5] = ["rust", "c", "javascript", "go", "python"];

/// The median time of a fresh call with 10 replicas on a bare engine, in microseconds. The aim is that no language is
/// slower in the host. The times were measured on two cores of a virtual machine before the host existed, without limits,
/// checks and a pool.
const BARE_ENGINE_P50_US: [(&str, f64); 5] =
    [("rust", 90.0), ("c", 81.0), ("javascript", 771.0), ("go", 1_397.0), ("python", 2_127.0)];
const CALLS: usize = 2_000;
const WARM_UP: usize = 100;

/// The examples that are swapped: all except Python, because two cores cannot make 2,000 of its calls per second.
const SWAPPED: [&str; 4] = ["rust", "c", "javascript", "go"];

/// The policy that is called while policies are swapped.
const CALLED: &str = "called";

/// The policy that is swapped but never called.
const OTHER: &str = "other";

/// The number of components that are swapped in turn. They differ only in their digest.
const VARIANTS: u32 = 4;

/// Time between two swaps.
const SWAP_PACE: Duration = Duration::from_millis(25);

/// Time between two decisions.
const PACE: Duration = Duration::from_micros(500);

/// Decisions in each phase of the swaps.
const DECISIONS: usize = 10_000;

const AIM_DAY: Duration = Duration::from_secs(1);
const AIM_CHILD: f64 = 3.0;
const AIM_SWAP: f64 = 2.0;

#[tokio::main]
async fn main() -> ExitCode {
    let is_child = std::env::var_os(CHILD_VARIABLE).is_some();
    run("policy", async || if is_child { serve_as_child().await } else { measure().await }).await
}

async fn measure() -> anyhow::Result<()> {
    let examples = binary()?
        .parent()
        .and_then(Path::parent)
        .context("the `windlass` binary is not in a target directory")?
        .join("examples");
    let built = LANGUAGES.map(|language| (language, examples.join(format!("{language}.wasm"))));
    for (language, file) in &built {
        ensure!(file.is_file(), "the {language} example is missing at `{}`; `make bench` builds it", file.display());
    }
    simulated_day()?;
    call_costs(&built)?;
    compare_with_child(&built).await?;
    for (language, file) in built.iter().filter(|(language, _)| SWAPPED.contains(language)) {
        swap_under_load(language, &std::fs::read(file)?).await?;
    }
    Ok(())
}

/// Measures the whole run of `windlass simulate`, per day of load, with a pass every 15 s.
fn simulated_day() -> anyhow::Result<()> {
    let predictive = r#"{"metric": "requests", "target": 80}"#;
    let tracking = r#"{"metrics": [{"name": "requests", "target": 80, "kind": "total"}]}"#;
    for (policy, config, trace, days) in [
        ("min-max", "{}", "two-peaks.csv", 1),
        ("target-tracking", tracking, "two-peaks.csv", 1),
        // `predictive` has too little data for a forecast on a single day. Of eight days, it forecasts on five.
        ("predictive", predictive, "two-peaks.csv", 1),
        ("predictive", predictive, "eight-days.csv", 8),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/traces").join(trace);
        let mut times = (0..5).map(|_| {
            let began = Instant::now();
            let mut simulate = std::process::Command::new(binary()?);
            let simulate = simulate.args(["simulate", "--policy", policy, "--config", config, "--trace"]).arg(&file);
            let output = simulate.output()?;
            ensure!(output.status.success(), "{policy}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(began.elapsed())
        });
        let mut times = times.by_ref().collect::<anyhow::Result<Vec<Duration>>>()?;
        let median = percentile(&mut times, 50) / days;
        let verdict = if median < AIM_DAY { "met" } else { "MISSED" };
        let seconds = median.as_secs_f64();
        print_line(format!("simulated day, {policy}, {trace}: {seconds:.2} s (aim: under 1 s, {verdict})"));
    }
    Ok(())
}

/// Measures each example with `windlass policy bench`, and compares it with a bare engine.
fn call_costs(built: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    for (language, file) in built {
        let output = std::process::Command::new(binary()?)
            .args(["policy", "bench", "-o", "json", "--config", CONFIG])
            .arg(file)
            .output()?;
        ensure!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        let measured: Value = serde_json::from_slice(&output.stdout)?;
        let number = |pointer: &str| measured.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        print_line(format!(
            "{language}: {} bytes, compile {:.0} ms, load from cache {:.1} ms, {:.1} MiB resident; \
             fresh call p50/p99 {:.0}/{:.0} µs with 10 replicas, {:.0}/{:.0} µs with 100",
            measured["size_bytes"],
            number("/compile_ms"),
            number("/load_ms"),
            number("/resident_bytes") / f64::from(1 << 20),
            number("/fresh_call/0/p50_us"),
            number("/fresh_call/0/p99_us"),
            number("/fresh_call/1/p50_us"),
            number("/fresh_call/1/p99_us"),
        ));
        let (_, bare) = BARE_ENGINE_P50_US
            .iter()
            .find(|(name, _)| name == language)
            .with_context(|| format!("`BARE_ENGINE_P50_US` has no entry for {language}"))?;
        let verdict = if number("/fresh_call/0/p50_us") <= *bare { "met" } else { "MISSED" };
        print_line(format!("  aim: at most {bare} µs, as on a bare engine without limits: {verdict}"));
    }
    Ok(())
}

/// The input of both sides: a queue depth of 200, for which the rule proposes 8 replicas.
fn scaling_observation(replicas: usize) -> anyhow::Result<ScalingObservation> {
    let mut observation: ScalingObservation =
        serde_json::from_str(include_str!("../../examples/observations/scaling.json"))?;
    let replica = observation.replicas.first().cloned().context("the example observation has no replica")?;
    observation.replicas = (0..replicas)
        .map(|number| windlass_core::contract::ReplicaFacts { id: format!("{number:064x}"), ..replica.clone() })
        .collect();
    observation.current_replicas = 2;
    let sample = windlass_core::contract::Sample { at: observation.now, value: 200.0 };
    observation.metrics =
        vec![Series { name: "queue-depth".to_owned(), replica: None, samples: vec![sample], failure: None }];
    Ok(observation)
}

/// Compares each example with the same decision by a child process over HTTP.
async fn compare_with_child(built: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        // Without it, a benchmark measures nothing.
        .arg("--bench")
        .env(CHILD_VARIABLE, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("the child's standard output is not piped")?)
        .read_line(&mut line)
        .await?;
    let address = format!("http://{}/decide", line.trim());
    // The HTTP library requires a TLS provider, although the requests are plain HTTP.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let engine = Arc::new(PolicyEngine::new(PolicyLimits::default())?);
    let compiler = Compiler::child(binary()?);
    for replicas in [10, 100] {
        let observation = scaling_observation(replicas)?;
        let mut times = Vec::new();
        for number in 0..CALLS + WARM_UP {
            let began = Instant::now();
            let response = client.post(&address).body(serde_json::to_vec(&observation)?).send().await?;
            let decision: ScalingDecision = serde_json::from_slice(&response.bytes().await?)?;
            if number >= WARM_UP {
                times.push(began.elapsed());
            }
            ensure!(decision.replicas == 8, "the child process returned {decision:?}");
        }
        let over_http = percentile(&mut times, 50);
        print_line(format!(
            "child process over HTTP, {replicas} replicas: p50 {over_http:?}, p99 {:?}",
            percentile(&mut times, 99)
        ));
        for (language, file) in built {
            let bytes = Arc::from(std::fs::read(file)?);
            let policy = PolicyComponent::load(&engine, &compiler, None, bytes).await?;
            let mut times = Vec::new();
            for number in 0..CALLS + WARM_UP {
                let began = Instant::now();
                let decision = policy.decide(CONFIG, &observation).await.answer?;
                if number >= WARM_UP {
                    times.push(began.elapsed());
                }
                ensure!(decision.replicas == 8, "the {language} component returned {decision:?}");
            }
            let in_component = percentile(&mut times, 50);
            let ratio = over_http.as_secs_f64() / in_component.as_secs_f64();
            let aim = match *language {
                "rust" | "c" if ratio >= AIM_CHILD => format!("; aim: at least {AIM_CHILD} times, met"),
                "rust" | "c" => format!("; aim: at least {AIM_CHILD} times, MISSED"),
                _ => String::new(),
            };
            print_line(format!(
                "  {language} component: p50 {in_component:?}, {ratio:.1} times as fast as the child{aim}"
            ));
        }
    }
    child.kill().await?;
    Ok(())
}

/// The swaps during a phase of decisions.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    NoSwaps,
    /// A policy that nobody calls is swapped: the machine has the same work, but no call meets a swap.
    OtherPolicy,
    CalledPolicy,
}

/// Swaps a policy while another thread makes decisions, and reports lost and slow decisions.
async fn swap_under_load(language: &str, component: &[u8]) -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let compiler = Compiler::child(binary()?).with_cache(Cache::open(data_dir.path())?);
    let opened = PolicyRegistry::open(PolicyLimits::default(), compiler, Defaults::default(), Some(data_dir.path()));
    let registry = Arc::new(opened.await?);
    let observation = scaling_observation(10)?;
    // The first push compiles each variant, so that the phases measure only swaps.
    let variants: Vec<Arc<[u8]>> = (0..VARIANTS).map(|number| hostile::padded(component, number).into()).collect();
    for variant in &variants {
        push(&registry, CALLED, variant).await?;
        push(&registry, OTHER, variant).await?;
    }
    let mut phases = Vec::new();
    for phase in [Phase::NoSwaps, Phase::OtherPolicy, Phase::CalledPolicy] {
        let decisions = start_decisions(&registry, &observation);
        let (mut swaps, mut pace) = (0, tokio::time::interval(SWAP_PACE));
        while phase != Phase::NoSwaps && !decisions.is_finished() {
            pace.tick().await;
            let name = if phase == Phase::CalledPolicy { CALLED } else { OTHER };
            push(&registry, name, &variants[swaps % variants.len()]).await?;
            swaps += 1;
        }
        phases.push((phase, swaps, join(decisions).await?));
    }
    for (phase, swaps, measured) in &mut phases {
        let (lost, ratio) = (DECISIONS - measured.answered, slowest_by_p99(measured));
        let label = match phase {
            Phase::NoSwaps => format!("{language}, 2,000 decisions per second, no swaps"),
            Phase::OtherPolicy => format!("  during {swaps} swaps of another policy"),
            Phase::CalledPolicy => format!("  during {swaps} swaps of its own policy"),
        };
        print_line(format!("{label}: {lost} lost, slowest call {ratio:.1} times the p99; {}", summary(measured)));
        if *phase == Phase::CalledPolicy {
            let verdict = if lost == 0 && ratio <= AIM_SWAP { "met" } else { "MISSED" };
            print_line(format!("  aim: none lost, slowest call at most {AIM_SWAP} times the p99: {verdict}"));
        }
    }
    Ok(())
}

/// The time of the slowest call divided by the 99th percentile.
fn slowest_by_p99(measured: &mut Measured) -> f64 {
    let p99 = percentile(&mut measured.uninterrupted, 99).as_secs_f64();
    percentile(&mut measured.uninterrupted, 100).as_secs_f64() / p99
}

/// The measurements of a phase of decisions.
struct Measured {
    /// Times of the calls whose thread kept its processor, or gave it up to wait for something. They include the delays by
    /// a swap, and exclude those by other work of the machine.
    uninterrupted: Vec<Duration>,
    /// Times of the uninterrupted calls that waited for something.
    waited: Vec<Duration>,
    /// Times of the calls whose thread lost its processor.
    interrupted: Vec<Duration>,
    /// The number of calls that returned a decision.
    answered: usize,
}

/// The measurements as text.
fn summary(measured: &mut Measured) -> String {
    let longest = |times: &[Duration]| times.iter().max().copied().unwrap_or_default();
    format!(
        "p99 {:?}, slowest {:?} of {} calls, of which {} waited for something, at most {:?}; \
         {} more calls lost the processor, at most {:?}",
        percentile(&mut measured.uninterrupted, 99),
        percentile(&mut measured.uninterrupted, 100),
        measured.uninterrupted.len(),
        measured.waited.len(),
        longest(&measured.waited),
        measured.interrupted.len(),
        longest(&measured.interrupted),
    )
}

/// Waits for the thread of a phase without blocking the runtime.
async fn join(decisions: JoinHandle<anyhow::Result<Measured>>) -> anyhow::Result<Measured> {
    tokio::task::spawn_blocking(move || decisions.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the thread of the decisions panicked"))?
}

async fn push(registry: &PolicyRegistry, name: &str, component: &Arc<[u8]>) -> anyhow::Result<()> {
    let push = Push {
        name: name.to_owned(),
        component: Arc::clone(component),
        by: "the benchmark".to_owned(),
        source: Source::Upload,
        reset_memory: false,
        candidate: false,
        at: Timestamp(1),
    };
    registry.push(push).await?;
    Ok(())
}

/// Calls the acting revision every [`PACE`]. The calls have their own thread, because context switches are counted per
/// thread.
fn start_decisions(
    registry: &Arc<PolicyRegistry>,
    observation: &ScalingObservation,
) -> JoinHandle<anyhow::Result<Measured>> {
    let (registry, observation) = (Arc::clone(registry), observation.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let choice = PolicyChoice { name: CALLED.to_owned(), config: CONFIG.to_owned() };
            let choices = PolicyChoices { scaling: vec![choice], ..PolicyChoices::default() };
            let mut measured = Measured {
                uninterrupted: Vec::with_capacity(DECISIONS),
                waited: Vec::new(),
                interrupted: Vec::new(),
                answered: 0,
            };
            let mut pace = tokio::time::interval(PACE);
            for _ in 0..DECISIONS {
                pace.tick().await;
                let before = getrusage(UsageWho::RUSAGE_THREAD)?;
                let began = Instant::now();
                let policies = policies_of(&registry, &choices);
                let answer = policies.scaling.decide(&policies.scaling_config, &observation).await;
                let elapsed = began.elapsed();
                let after = getrusage(UsageWho::RUSAGE_THREAD)?;
                if after.involuntary_context_switches() == before.involuntary_context_switches() {
                    measured.uninterrupted.push(elapsed);
                    if after.voluntary_context_switches() > before.voluntary_context_switches() {
                        measured.waited.push(elapsed);
                    }
                } else {
                    measured.interrupted.push(elapsed);
                }
                measured.answered += usize::from(answer.is_ok());
                // A real caller also returns to other work after a call.
                tokio::task::yield_now().await;
            }
            Ok(measured)
        })
    })
}

/// The percentile by nearest rank.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100).max(1) - 1]
}

/// Runs the child process: a minimal HTTP server that keeps its connections, with the rule in the same process. A real
/// server costs more.
async fn serve_as_child() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    print_line(listener.local_addr()?.to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve_connection(stream));
    }
}

/// Answers each request of a connection with a decision.
async fn serve_connection(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            } else if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let observation: ScalingObservation = serde_json::from_slice(&body)?;
        let waiting =
            observation.metrics.first().and_then(|series| series.samples.last()).map_or(0.0, |sample| sample.value);
        let decision = ScalingDecision {
            replicas: (waiting / 25.0).ceil() as u32,
            reason: format!("{waiting} waiting, 25 for each replica"),
            memory: Vec::new(),
            evaluate_after: None,
            parts: Vec::new(),
        };
        let body = serde_json::to_vec(&decision)?;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
}

//! `make bench`, the part about policies in any language.
//!
//! Three questions. What does each example cost (`windlass policy bench`)? How much quicker is a policy in a component
//! than the same decision asked of a child process over HTTP on loopback, which is what webhooks and plugin processes
//! cost? Does swapping a policy under 2,000 decisions a second lose or delay any? Needs the release binary beside it,
//! and `make examples` for the examples.

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
use windlass_core::policy::{PolicyCatalogue, PolicySource, Push, Source};
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyChoice, PolicyChoices, Timestamp};
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::cache::Cache;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::hostile;
use windlass_tests::site::binary;

/// Says to this program that it is the child.
const CHILD: &str = "WINDLASS_BENCH_CHILD";

const CONFIG: &str = r#"{"target-per-replica": 25}"#;
const LANGUAGES: [&str; 5] = ["rust", "c", "javascript", "go", "python"];

/// Microseconds of a fresh call with 10 replicas, the median, as it was measured of each language on two cores of a virtual
/// machine before there was a host: a bare engine without limits, checks and a pool. No language is to be slower.
const BARE: [(&str, f64); 5] =
    [("rust", 90.0), ("c", 81.0), ("javascript", 771.0), ("go", 1_397.0), ("python", 2_127.0)];
const CALLS: usize = 2_000;
const WARM_UP: usize = 100;

/// The examples that are swapped: all but Python, of which 2,000 calls a second are more than two cores do.
const SWAPPED: [&str; 4] = ["rust", "c", "javascript", "go"];

/// The policy that is asked while policies are swapped, and one that is not.
const ASKED: &str = "asked";
const OTHER: &str = "other";

/// How many components are swapped in turn, which differ in nothing but their digest.
const VARIANTS: u32 = 4;

/// Time between two swaps.
const SWAP_PACE: Duration = Duration::from_millis(25);

/// Time between two decisions, and how long each phase of the swaps takes.
const PACE: Duration = Duration::from_micros(500);
const PHASE: usize = 10_000;

const AIM_DAY: Duration = Duration::from_secs(1);
const AIM_CHILD: f64 = 3.0;
const AIM_SWAP: f64 = 2.0;

#[expect(clippy::print_stdout, reason = "a program for people speaks on standard output")]
fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = if std::env::var_os(CHILD).is_some() {
        serve().await
    } else if std::env::args().any(|argument| argument == "--bench") {
        measure().await
    } else {
        // `cargo test --benches` and the like only want to know that it compiles.
        Ok(())
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("the bench of policies failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> anyhow::Result<()> {
    let examples = binary()?.parent().and_then(Path::parent).context("a target directory")?.join("examples");
    let built = LANGUAGES.map(|language| (language, examples.join(format!("{language}.wasm"))));
    for (language, file) in &built {
        ensure!(file.is_file(), "the example in {language} is not built: `make bench` builds it before it measures");
    }
    a_day()?;
    costs(&built)?;
    beside_a_child(&built).await?;
    for (language, file) in built.iter().filter(|(language, _)| SWAPPED.contains(language)) {
        swaps(language, &std::fs::read(file)?).await?;
    }
    Ok(())
}

/// A day of load, a pass each 15 s, as `windlass simulate` runs it from its start to its end.
fn a_day() -> anyhow::Result<()> {
    let predictive = r#"{"metric": "requests", "target": 80}"#;
    let tracking = r#"{"metrics": [{"name": "requests", "target": 80, "kind": "total"}]}"#;
    for (policy, config, trace, days) in [
        ("min-max", "{}", "two-peaks.csv", 1),
        ("target-tracking", tracking, "two-peaks.csv", 1),
        // It has nothing to forecast from on a single day; of eight it has on five.
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
        let verdict = if median < AIM_DAY { "met" } else { "missed" };
        let seconds = median.as_secs_f64();
        say(format!("a day simulated, {policy}, of {trace}: {seconds:.2} s (aim: under 1 s, {verdict})"));
    }
    Ok(())
}

fn costs(built: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    for (language, file) in built {
        let output = std::process::Command::new(binary()?)
            .args(["policy", "bench", "--json", "--config", CONFIG])
            .arg(file)
            .output()?;
        ensure!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        let measured: Value = serde_json::from_slice(&output.stdout)?;
        let number = |pointer: &str| measured.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        say(format!(
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
        let (_, bare) = BARE.iter().find(|(name, _)| name == language).context("each has its aim")?;
        let verdict = if number("/fresh_call/0/p50_us") <= *bare { "met" } else { "MISSED" };
        say(format!("  the aim is {bare} µs, as on a bare engine without limits: {verdict}"));
    }
    Ok(())
}

/// The input of both sides: 200 wait, and the answer is 8 replicas.
fn observation(replicas: usize) -> anyhow::Result<ScalingObservation> {
    let mut shown: ScalingObservation = serde_json::from_str(include_str!("../../examples/observations/scaling.json"))?;
    let replica = shown.replicas.first().cloned().context("the example has a replica")?;
    shown.replicas = (0..replicas)
        .map(|number| windlass_core::contract::ReplicaFacts { id: format!("{number:064x}"), ..replica.clone() })
        .collect();
    shown.current_replicas = 2;
    let sample = windlass_core::contract::Sample { at: shown.now, value: 200.0 };
    shown.metrics =
        vec![Series { name: "queue-depth".to_owned(), replica: None, samples: vec![sample], failure: None }];
    Ok(shown)
}

async fn beside_a_child(built: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut line).await?;
    let address = format!("http://{}/decide", line.trim());
    // The HTTP library wants a provider of TLS, though nothing here speaks it.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let engine = Arc::new(PolicyEngine::new(PolicyLimits::default())?);
    let compiler = Compiler::child(binary()?);
    for replicas in [10, 100] {
        let shown = observation(replicas)?;
        let mut times = Vec::new();
        for number in 0..CALLS + WARM_UP {
            let began = Instant::now();
            let sent = client.post(&address).body(serde_json::to_vec(&shown)?).send().await?;
            let decision: ScalingDecision = serde_json::from_slice(&sent.bytes().await?)?;
            if number >= WARM_UP {
                times.push(began.elapsed());
            }
            ensure!(decision.replicas == 8, "the child said {decision:?}");
        }
        let over_http = percentile(&mut times, 50);
        say(format!(
            "child process over HTTP, {replicas} replicas: p50 {over_http:?}, p99 {:?}",
            percentile(&mut times, 99)
        ));
        for (language, file) in built {
            let bytes = Arc::from(std::fs::read(file)?);
            let policy = PolicyComponent::load(&engine, &compiler, None, bytes).await?;
            let mut times = Vec::new();
            for number in 0..CALLS + WARM_UP {
                let began = Instant::now();
                let decision = policy.decide(CONFIG, &shown).await.answer?;
                if number >= WARM_UP {
                    times.push(began.elapsed());
                }
                ensure!(decision.replicas == 8, "{language} said {decision:?}");
            }
            let here = percentile(&mut times, 50);
            let ratio = over_http.as_secs_f64() / here.as_secs_f64();
            let aim = match *language {
                "rust" | "c" if ratio >= AIM_CHILD => format!("; the aim is {AIM_CHILD}: met"),
                "rust" | "c" => format!("; the aim is {AIM_CHILD}: MISSED"),
                _ => String::new(),
            };
            say(format!("  {language} component: p50 {here:?}, {ratio:.1} times as quick as the child{aim}"));
        }
    }
    child.kill().await?;
    Ok(())
}

/// The work in parallel to the decisions.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    /// Another policy is swapped, which nobody asks: the machine has the same work, and no call meets a swap.
    OtherSwaps,
    Swaps,
}

async fn swaps(language: &str, component: &[u8]) -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let compiler = Compiler::child(binary()?).with_cache(Cache::open(data_dir.path())?);
    let opened = PolicyRegistry::open(PolicyLimits::default(), compiler, Defaults::default(), Some(data_dir.path()));
    let registry = Arc::new(opened.await?);
    let shown = observation(10)?;
    // Compiled once: what is measured is swapping.
    let variants: Vec<Arc<[u8]>> = (0..VARIANTS).map(|number| hostile::padded(component, number).into()).collect();
    for variant in &variants {
        push(&registry, ASKED, variant).await?;
        push(&registry, OTHER, variant).await?;
    }
    let mut phases = Vec::new();
    for beside in [Beside::Nothing, Beside::OtherSwaps, Beside::Swaps] {
        let asking = ask(&registry, &shown);
        let (mut swapped, mut pace) = (0, tokio::time::interval(SWAP_PACE));
        while beside != Beside::Nothing && !asking.is_finished() {
            pace.tick().await;
            let name = if beside == Beside::Swaps { ASKED } else { OTHER };
            push(&registry, name, &variants[swapped % variants.len()]).await?;
            swapped += 1;
        }
        phases.push((beside, swapped, joined(asking).await?));
    }
    for (beside, swapped, asked) in &mut phases {
        let (lost, ratio) = (PHASE - asked.answered, worst(asked));
        let told = match beside {
            Beside::Nothing => format!("{language}, 2,000 decisions a second"),
            Beside::OtherSwaps => format!("  beside {swapped} swaps of another policy"),
            Beside::Swaps => format!("  beside {swapped} swaps of theirs"),
        };
        say(format!("{told}: {lost} lost, the slowest {ratio:.1} times the p99; {}", asked_told(asked)));
        if *beside == Beside::Swaps {
            let verdict = if lost == 0 && ratio <= AIM_SWAP { "met" } else { "MISSED" };
            say(format!("  the aim is none lost and {AIM_SWAP} times the p99 at most: {verdict}"));
        }
    }
    Ok(())
}

/// The slowest call by the 99th percentile.
fn worst(asked: &mut Asked) -> f64 {
    let p99 = percentile(&mut asked.whole, 99).as_secs_f64();
    percentile(&mut asked.whole, 100).as_secs_f64() / p99
}

/// The result of a phase of decisions.
struct Asked {
    /// Times of those calls during which the thread kept its processor or gave it up itself, to wait for something: what a
    /// swap delays is among them, what the machine does to whoever it likes is not.
    whole: Vec<Duration>,
    /// Those of them that waited.
    waited: Vec<Duration>,
    /// Times of the others.
    interrupted: Vec<Duration>,
    answered: usize,
}

fn asked_told(asked: &mut Asked) -> String {
    let longest = |times: &[Duration]| times.iter().max().copied().unwrap_or_default();
    format!(
        "p99 {:?}, most {:?} of {} calls, of which {} waited for something, at most {:?}; \
         {} more lost the processor meanwhile, at most {:?}",
        percentile(&mut asked.whole, 99),
        percentile(&mut asked.whole, 100),
        asked.whole.len(),
        asked.waited.len(),
        longest(&asked.waited),
        asked.interrupted.len(),
        longest(&asked.interrupted),
    )
}

async fn joined(asking: JoinHandle<anyhow::Result<Asked>>) -> anyhow::Result<Asked> {
    tokio::task::spawn_blocking(move || asking.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the asking thread panicked"))?
}

async fn push(registry: &PolicyRegistry, name: &str, component: &Arc<[u8]>) -> anyhow::Result<()> {
    let push = Push {
        name: name.to_owned(),
        component: Arc::clone(component),
        by: "the bench".to_owned(),
        source: Source::Upload,
        reset_memory: false,
        candidate: false,
        at: Timestamp(1),
    };
    registry.push(push).await?;
    Ok(())
}

/// Asks whoever acts, at the pace, on a thread of its own so that its interruptions can be told.
fn ask(registry: &Arc<PolicyRegistry>, shown: &ScalingObservation) -> JoinHandle<anyhow::Result<Asked>> {
    let (registry, shown) = (Arc::clone(registry), shown.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let choice = PolicyChoice { name: ASKED.to_owned(), config: CONFIG.to_owned() };
            let choices = PolicyChoices { scaling: vec![choice], ..PolicyChoices::default() };
            let mut asked =
                Asked { whole: Vec::with_capacity(PHASE), waited: Vec::new(), interrupted: Vec::new(), answered: 0 };
            let mut pace = tokio::time::interval(PACE);
            for _ in 0..PHASE {
                pace.tick().await;
                let before = getrusage(UsageWho::RUSAGE_THREAD)?;
                let began = Instant::now();
                let policies = registry.of(&choices);
                let answer = policies.scaling.decide(&policies.scaling_config, &shown).await;
                let took = began.elapsed();
                let after = getrusage(UsageWho::RUSAGE_THREAD)?;
                if after.involuntary_context_switches() == before.involuntary_context_switches() {
                    asked.whole.push(took);
                    if after.voluntary_context_switches() > before.voluntary_context_switches() {
                        asked.waited.push(took);
                    }
                } else {
                    asked.interrupted.push(took);
                }
                asked.answered += usize::from(answer.is_ok());
                // As whoever asked goes on to something else.
                tokio::task::yield_now().await;
            }
            Ok(asked)
        })
    })
}

/// By nearest rank.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100).max(1) - 1]
}

/// The child: as lean a server as there can be, which keeps its connection, and the rule in the same process. Whoever
/// writes a real one pays for more.
async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(listener.local_addr()?.to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(stream: TcpStream) -> anyhow::Result<()> {
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
        let shown: ScalingObservation = serde_json::from_slice(&body)?;
        let waiting = shown.metrics.first().and_then(|series| series.samples.last()).map_or(0.0, |sample| sample.value);
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

//! `windlass simulate`: policies and guardrails over a trace or a scenario, in simulated time.

use crate::cli::sandbox_args::{hinted, read_component};
use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use windlass_api::start;
use windlass_builtin::BUILT_IN;
use windlass_core::metric::{BuiltIn, Metric, MetricSource};
use windlass_core::policy::ScalingPolicy;
use windlass_core::settings::PolicyLimits;
use windlass_core::text::duration;
use windlass_core::{PolicyChoice, PolicyKind, Workload};
use windlass_policies::combined::Combined;
use windlass_policies::registry::DEFAULT_SCALING;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_simulate::run::{QUEUE, Ran, run};
use windlass_simulate::scenario::Scenario;
use windlass_simulate::trace::Trace;
use windlass_simulate::{Measures, ServiceModel, Silence, Subject, chart};

/// A run that lasts longer shows its progress, where somebody watches.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is said of a trace, and means nothing for a scenario.
const OF_A_TRACE: [&str; 9] =
    ["load", "metrics", "capacity", "start_up", "queue", "replicas", "interval", "svg", "png"];

/// `windlass simulate …`
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// A scaling policy: the name of a built-in one or a component's file; several are compared side by side [default:
    /// those of the workload]
    #[arg(long = "policy", value_name = "NAME|FILE")]
    policies: Vec<String>,
    /// What it is told, JSON text: the first of these for the first policy, and so on [default: {}]
    #[arg(long = "config", value_name = "JSON")]
    configs: Vec<String>,
    /// The load over time: CSV, the answer of a Prometheus to a range query, or of `GET /images/{image}/metrics`
    #[arg(long, value_name = "FILE", required_unless_present = "scenario", conflicts_with = "scenario")]
    trace: Option<PathBuf>,
    /// Observations or proposals with times, one JSON object a line; prints the decision each leads to
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_A_TRACE)]
    scenario: Option<PathBuf>,
    /// A workload in the form of `POST /start/container`: its bounds, guardrails, metrics and policies hold
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// The trace's column that is the load [default: `load`, else the first]
    #[arg(long, value_name = "COLUMN")]
    load: Option<String>,
    /// Show a column as a metric of this name, too; several may be said
    #[arg(long = "metric", value_name = "NAME=COLUMN", value_parser = renamed)]
    metrics: Vec<(String, String)>,
    /// Units of load one replica takes in a second
    #[arg(long, default_value_t = 100.0, value_parser = positive)]
    capacity: f64,
    /// Time from a replica's creation to its readiness
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    start_up: Duration,
    /// Units of load that may wait; more are dropped
    #[arg(long, default_value_t = 1_000.0, value_parser = not_negative)]
    queue: f64,
    /// Replicas at the beginning [default: what the load needs then]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    replicas: Option<u32>,
    /// Time from one pass to the next
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    interval: Duration,
    /// Draw it as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw it as PNG
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Print the figures and every pass as JSON
    #[arg(long)]
    json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).filter(|number| *number > 0.0).ok_or_else(|| "expected a number above 0".to_owned())
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).filter(|number| *number >= 0.0).ok_or_else(|| "expected a number, 0 or more".to_owned())
}

fn renamed(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, column)| !name.is_empty() && !column.is_empty());
    parts.map(|(name, column)| (name.to_owned(), column.to_owned())).ok_or_else(|| "expected `NAME=COLUMN`".to_owned())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A policy that is put to the test.
struct Candidate {
    name: String,
    policy: Arc<dyn ScalingPolicy>,
    config: String,
}

/// What a command prints.
///
/// # Errors
/// What is wrong with the files, or the policy.
pub async fn run_command(arguments: &SimulateArguments) -> anyhow::Result<String> {
    match (&arguments.scenario, &arguments.trace) {
        (Some(file), _) => scenario(arguments, file).await,
        (None, Some(file)) => compare(arguments, file).await,
        (None, None) => bail!("say `--trace FILE` or `--scenario FILE`"),
    }
}

async fn scenario(arguments: &SimulateArguments, file: &Path) -> anyhow::Result<String> {
    let wrong = |why: String| anyhow!("`{}`: {why}", file.display());
    let scenario = Scenario::parse(&text(file)?).map_err(wrong)?;
    let mut body = from_file(arguments.workload.as_deref())?;
    body.extend(scenario.beginning.workload.clone());
    let mut workload = workload(body)?;
    define(&mut workload, scenario.metrics());
    let mut candidates = candidates(arguments, &workload).await?;
    let (1, Some(Candidate { policy, config, .. })) = (candidates.len(), candidates.pop()) else {
        bail!("a scenario is about one policy; give `--policy` once");
    };
    let told = scenario.run(workload, policy, config).await?;
    let lines = told.iter().map(|told| Ok(serde_json::to_string(told)? + "\n"));
    lines.collect()
}

async fn compare(arguments: &SimulateArguments, file: &Path) -> anyhow::Result<String> {
    let wrong = |why: String| anyhow!("`{}`: {why}", file.display());
    let mut trace = Trace::parse(&text(file)?, arguments.load.as_deref()).map_err(wrong)?;
    for (metric, column) in &arguments.metrics {
        trace.show_as(metric, column).map_err(wrong)?;
    }
    let mut workload = workload(from_file(arguments.workload.as_deref())?)?;
    define(&mut workload, trace.names().chain([QUEUE]));
    let model = ServiceModel { capacity: arguments.capacity, start_up: arguments.start_up, queue: arguments.queue };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float casts saturating")]
    let needed = (trace.load(trace.span().0) / model.capacity).ceil() as u32;
    let target = arguments.replicas.unwrap_or_else(|| workload.bounds.clamp(needed));
    let candidates = candidates(arguments, &workload).await?;
    let mut runs: Vec<(String, Ran)> = Vec::new();
    for Candidate { name, policy, config } in candidates {
        let subject =
            Subject::new(workload.clone(), policy, config).beginning_at(Some(target)).every(arguments.interval);
        let ran = run(subject, &trace, model, progress(&name)).await;
        runs.push((name.clone(), ran.map_err(|failure| anyhow!("`{name}`: {failure}"))?));
    }
    let drawn: Vec<chart::Run<'_>> = runs.iter().map(|(name, ran)| (name.as_str(), ran.points.as_slice())).collect();
    if let Some(file) = &arguments.svg {
        let text = chart::svg(&drawn).map_err(|why| anyhow!("cannot draw: {why}"))?;
        std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    if let Some(file) = &arguments.png {
        chart::png(&drawn, file).map_err(|why| anyhow!("cannot draw `{}`: {why}", file.display()))?;
    }
    if arguments.json {
        let runs: Vec<Value> = (runs.iter())
            .map(|(name, ran)| {
                let Ran { measures, points, silences } = ran;
                json!({"policy": name, "measures": measures, "points": points, "silences": silences})
            })
            .collect();
        return Ok(format!("{}\n", json!({ "runs": runs })));
    }
    Ok(table(&runs))
}

/// Tells people how far a long run is.
fn progress(name: &str) -> impl FnMut(f64) {
    let is_watched = std::io::stderr().is_terminal();
    let begin = Subject::wall_clock();
    let mut told = 0;
    move |done: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
        let percent = (done * 100.0) as u32;
        if is_watched && percent > told && Subject::wall_clock().since(begin) > PATIENCE {
            told = percent;
            let end = if percent >= 100 { "\n" } else { "" };
            // Nobody is left to tell if this fails.
            let _unseen = write!(std::io::stderr(), "\r{name}: {percent} %{end}");
        }
    }
}

fn table(runs: &[(String, Ran)]) -> String {
    let mut rows = vec![
        ["policy", "too little", "too much", "dropped", "flaps", "largest lag", "changes", "most"].map(str::to_owned),
    ];
    rows.extend(runs.iter().map(|(name, ran)| {
        let Measures { too_little, too_much, dropped, flaps, largest_lag, changes, most, .. } = ran.measures;
        [
            name.clone(),
            format!("{too_little:.1} min"),
            format!("{too_much:.1} min"),
            format!("{:.2} %", dropped * 100.0),
            flaps.to_string(),
            format!("{largest_lag:.0} s"),
            changes.to_string(),
            most.to_string(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in &rows {
        let _ = write!(text, "{:<1$}", row[0], width(0));
        for (column, cell) in row.iter().enumerate().skip(1) {
            let _ = write!(text, "  {cell:>0$}", width(column));
        }
        text.push('\n');
    }
    text.push_str("too little, too much: replica-minutes below and above what the load needs\n");
    for (name, ran) in runs {
        for Silence { metric, passes, why } in &ran.silences {
            let what = metric.as_ref().map_or("no answer".to_owned(), |metric| format!("no value of `{metric}`"));
            let _ = writeln!(text, "{name}: {what} in {passes} of {} passes; first: {why}", ran.measures.passes);
        }
    }
    text
}

fn text(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))
}

fn from_file(file: Option<&Path>) -> anyhow::Result<Map<String, Value>> {
    let Some(file) = file else { return Ok(Map::new()) };
    serde_json::from_str(&text(file)?).with_context(|| format!("`{}` is no JSON object", file.display()))
}

/// A workload of a start body, whose image and resources do not matter.
fn workload(mut body: Map<String, Value>) -> anyhow::Result<Workload> {
    body.entry("image").or_insert(json!("simulated"));
    body.entry("max_replicas").or_insert(json!(100));
    body.entry("resources").or_insert(json!({"cpu": "1", "memory": "1g"}));
    start::workload(&Value::Object(body)).map_err(|problem| anyhow!("the workload is wrong: {}", problem.detail()))
}

/// Metrics that are told without a definition are taken as pushed.
fn define<'a>(workload: &mut Workload, names: impl IntoIterator<Item = &'a str>) {
    for name in names.into_iter().filter(|name| BuiltIn::of(name).is_none()) {
        workload.metrics.entry(name.to_owned()).or_insert(Metric {
            source: MetricSource::Push,
            interval: Metric::INTERVAL,
            timeout: Metric::TIMEOUT,
            max_age: Metric::usual_max_age(Metric::INTERVAL),
            allow_negative: false,
        });
    }
}

async fn candidates(arguments: &SimulateArguments, workload: &Workload) -> anyhow::Result<Vec<Candidate>> {
    let SimulateArguments { policies, configs, .. } = arguments;
    if configs.len() > policies.len() {
        bail!("{} times `--config`, and {} times `--policy`", configs.len(), policies.len());
    }
    let limits = PolicyLimits { concurrent_calls: 1, ..PolicyLimits::default() };
    // Thousands of calls: a pool is worth it.
    let engine = Arc::new(PolicyEngine::new(limits.clone())?);
    let mut found = Vec::new();
    for (index, name) in policies.iter().enumerate() {
        let config = configs.get(index).cloned().unwrap_or_else(|| "{}".to_owned());
        let policy = load(&engine, &limits, name, &config).await?;
        let again = policies.iter().filter(|other| *other == name).count() > 1;
        let name = Path::new(name).file_stem().map_or(name.clone(), |stem| stem.to_string_lossy().into_owned());
        let name = if again { format!("{name} {}", index + 1) } else { name };
        found.push(Candidate { name, policy, config });
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let default = PolicyChoice { name: DEFAULT_SCALING.to_owned(), config: "{}".to_owned() };
    let default = std::slice::from_ref(&default);
    let chosen = if workload.policies.scaling.is_empty() { default } else { &workload.policies.scaling };
    let mut parts = Vec::new();
    for choice in chosen {
        parts.push((load(&engine, &limits, &choice.name, &choice.config).await?, choice.config.clone()));
    }
    if parts.len() == 1 {
        let (policy, config) = parts.remove(0);
        return Ok(vec![Candidate { name: policy.identity().name.clone(), policy, config }]);
    }
    let combined = Combined::new(parts);
    Ok(vec![Candidate {
        name: combined.identity().name.clone(),
        config: combined.config(),
        policy: Arc::new(combined),
    }])
}

/// A built-in policy by its name, or one of a file, which accepts the configuration.
async fn load(
    engine: &Arc<PolicyEngine>,
    limits: &PolicyLimits,
    name: &str,
    config: &str,
) -> anyhow::Result<Arc<dyn ScalingPolicy>> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let (bytes, file): (Arc<[u8]>, &Path) = match built_in {
        Some((_, bytes)) => (Arc::from(*bytes), Path::new(name)),
        None if Path::new(name).exists() => (read_component(Path::new(name), limits)?, Path::new(name)),
        None => {
            let known: Vec<String> = BUILT_IN.iter().map(|(known, _)| format!("`{known}`")).collect();
            bail!("`{}` is neither a file nor built in; there are {}", name.escape_debug(), known.join(", "));
        }
    };
    let registered = built_in.map(|(known, _)| *known);
    let loaded = PolicyComponent::load(engine, &Compiler::this_program(), registered, Arc::clone(&bytes)).await;
    let policy = loaded.map_err(|error| hinted(file, &bytes, &error))?;
    if policy.kind() != PolicyKind::Scaling {
        bail!("`{name}` is a {} policy, not a scaling policy", policy.kind());
    }
    let asked = policy.configure(config, crate::cli::sandbox_args::now()).await.answer;
    asked.map_err(|failure| anyhow!("`{name}`: {}", failure.reason))?;
    Ok(Arc::new(policy))
}

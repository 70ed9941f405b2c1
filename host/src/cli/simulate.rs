//! `windlass simulate`: runs policies and guardrails in simulated time, with a load trace or a scenario.

use crate::cli::candidates::{Candidate, candidates};
use crate::cli::format::Output;
use crate::cli::sandbox_args::SandboxArgs;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use windlass_api::start;
use windlass_core::Workload;
use windlass_core::text::{duration, show_size};
use windlass_simulate::encoding::decode;
use windlass_simulate::run::{QUEUE, Ran};
use windlass_simulate::scenario::Scenario;
use windlass_simulate::trace::Trace;
use windlass_simulate::{Measures, ServiceModel, Silence, Subject, TimeLimit, chart, define_metrics};

/// A run on a terminal shows its progress after this time.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// The largest input file in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Flags that apply to a trace only.
const TRACE_FLAGS: [&str; 10] =
    ["load", "metrics", "capacity", "start_up", "queue", "replicas", "interval", "svg", "png", "format"];

/// `windlass simulate …`
#[derive(Debug, Args)]
pub(super) struct SimulateArguments {
    /// A scaling policy: the name of a built-in policy, or a component's file. Several policies are compared [default: the
    /// workload's policies]
    #[arg(long = "policy", value_name = "NAME|FILE")]
    policies: Vec<String>,
    /// Configuration as JSON text: the first one is for the first policy, and so on [default: {}]
    #[arg(long = "config", value_name = "JSON")]
    configs: Vec<String>,
    /// The load over time: CSV, the result of a Prometheus range query, or the response of `GET /images/{image}/metrics`
    #[arg(long, value_name = "FILE", required_unless_present = "scenario", conflicts_with = "scenario")]
    trace: Option<PathBuf>,
    /// Observations or proposals with times, one JSON object per line; prints the decision for each
    #[arg(long, value_name = "FILE", conflicts_with_all = TRACE_FLAGS)]
    scenario: Option<PathBuf>,
    /// A workload, as the body of `POST /start/container`; its bounds, guardrails, metrics and policies apply
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// Column of the trace with the load [default: `load`, else the first column]
    #[arg(long, value_name = "COLUMN")]
    load: Option<String>,
    /// Provide a column as a metric with this name; may be repeated
    #[arg(long = "metric", value_name = "NAME=COLUMN", value_parser = renaming)]
    metrics: Vec<(String, String)>,
    /// Units of load that one replica serves per second
    #[arg(long, default_value_t = 100.0, value_parser = positive)]
    capacity: f64,
    /// Time from a replica's creation to its readiness
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    start_up: Duration,
    /// Units of load that can wait; more are dropped
    #[arg(long, default_value_t = 1_000.0, value_parser = not_negative)]
    queue: f64,
    /// Replicas at the start [default: as many as the load needs then]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    replicas: Option<u32>,
    /// Time between two passes
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    interval: Duration,
    /// The longest time that the simulation may take, all policies together
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    time_limit: Duration,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Write a chart as SVG, light or dark as its reader's screen
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write a chart as PNG, light
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// The form of the result; documents also have every pass.
    #[command(flatten)]
    output: Output,
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).filter(|number| *number > 0.0).ok_or_else(|| "expected a number above 0".to_owned())
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).filter(|number| *number >= 0.0).ok_or_else(|| "expected a number, 0 or more".to_owned())
}

fn renaming(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, column)| !name.is_empty() && !column.is_empty());
    parts.map(|(name, column)| (name.to_owned(), column.to_owned())).ok_or_else(|| "expected `NAME=COLUMN`".to_owned())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The text the command prints.
pub(super) async fn run(arguments: &SimulateArguments) -> anyhow::Result<String> {
    match (&arguments.scenario, &arguments.trace) {
        (Some(file), _) => scenario(arguments, file).await,
        (None, Some(file)) => compare(arguments, file).await,
        (None, None) => bail!("there is no input; pass `--trace FILE` or `--scenario FILE`"),
    }
}

async fn scenario(arguments: &SimulateArguments, file: &Path) -> anyhow::Result<String> {
    let wrong = |why: String| anyhow!("`{}`: {why}", file.display());
    let scenario = Scenario::parse(&text(file)?).map_err(wrong)?;
    let mut body = from_file(arguments.workload.as_deref())?;
    body.extend(scenario.beginning.workload.clone());
    let mut workload = workload(body)?;
    define_metrics(&mut workload, scenario.metrics());
    let mut candidates =
        candidates(&arguments.policies, &arguments.configs, &workload, arguments.sandbox.limits()?).await?;
    let (1, Some(Candidate { policy, config, .. })) = (candidates.len(), candidates.pop()) else {
        bail!("a scenario runs one policy; pass `--policy` once");
    };
    let decisions = scenario
        .run(workload, policy, config, Some(TimeLimit::from_now(arguments.time_limit)))
        .await
        .map_err(|failure| wrong(failure.to_string()))?;
    let lines = decisions.iter().map(|decision| Ok(serde_json::to_string(decision)? + "\n"));
    lines.collect()
}

async fn compare(arguments: &SimulateArguments, file: &Path) -> anyhow::Result<String> {
    let wrong = |why: String| anyhow!("`{}`: {why}", file.display());
    let mut trace = Trace::parse(&text(file)?, arguments.load.as_deref()).map_err(wrong)?;
    for note in trace.notes() {
        // A failed write only loses the note.
        let _ignored = writeln!(std::io::stderr(), "note: `{}`: {note}", file.display());
    }
    for (metric, column) in &arguments.metrics {
        trace.show_as(metric, column).map_err(wrong)?;
    }
    let mut workload = workload(from_file(arguments.workload.as_deref())?)?;
    define_metrics(&mut workload, trace.names().chain([QUEUE]));
    let model = ServiceModel { capacity: arguments.capacity, start_up: arguments.start_up, queue: arguments.queue };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float casts saturating")]
    let needed = (trace.load(trace.span().0) / model.capacity).ceil() as u32;
    let target = arguments.replicas.unwrap_or_else(|| workload.bounds.clamp(needed));
    let candidates =
        candidates(&arguments.policies, &arguments.configs, &workload, arguments.sandbox.limits()?).await?;
    let time = TimeLimit::from_now(arguments.time_limit);
    let mut runs: Vec<(String, Ran)> = Vec::new();
    for Candidate { name, policy, config } in candidates {
        let subject = Subject::new(workload.clone(), policy, config)
            .beginning_at(Some(target))
            .every(arguments.interval)
            .within(Some(time));
        let ran = windlass_simulate::run::run(subject, &trace, model, progress(&name)).await;
        runs.push((name.clone(), ran.map_err(|failure| anyhow!("`{name}`: {failure}"))?));
    }
    let drawn: Vec<chart::Run<'_>> = runs.iter().map(|(name, ran)| (name.as_str(), ran.points.as_slice())).collect();
    if let Some(file) = &arguments.svg {
        let text = chart::svg(&drawn).map_err(|why| anyhow!("cannot draw the chart: {why}"))?;
        std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    if let Some(file) = &arguments.png {
        chart::png(&drawn, file).map_err(|why| anyhow!("cannot write `{}`: {why}", file.display()))?;
    }
    let names: Vec<String> = runs.iter().map(|(name, _)| name.clone()).collect();
    let all = runs.iter().map(|(name, ran)| {
        let Ran { measures, points, silences } = ran;
        json!({"policy": name, "measures": measures, "points": points, "silences": silences})
    });
    arguments.output.show(&json!({"runs": all.collect::<Vec<Value>>()}), &names, || table(&runs))
}

/// Shows the progress of a long run on a terminal.
fn progress(name: &str) -> impl FnMut(f64) {
    let is_terminal = std::io::stderr().is_terminal();
    let begin = Subject::wall_clock();
    let mut line = ProgressLine::default();
    move |done: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
        let percent = (done * 100.0) as u32;
        if is_terminal && percent > line.percent && Subject::wall_clock().since(begin) > PROGRESS_AFTER {
            line.show(name, percent);
        }
    }
}

/// A line on the terminal with the progress of a run. It ends with the value, so that an error has a line of its own.
#[derive(Default)]
struct ProgressLine {
    /// The latest number on it. 0 before the first.
    percent: u32,
}

impl ProgressLine {
    fn show(&mut self, name: &str, percent: u32) {
        self.percent = percent;
        // A failed write only loses the progress.
        let _ignored = write!(std::io::stderr(), "\r{name}: {percent} %");
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.percent > 0 {
            let _ignored = writeln!(std::io::stderr());
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
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    if bytes.len() as u64 > MAX_FILE {
        bail!("`{}` is larger than {}; shorten it", file.display(), show_size(MAX_FILE));
    }
    decode(bytes).map_err(|why| anyhow!("cannot read `{}`: {why}", file.display()))
}

fn from_file(file: Option<&Path>) -> anyhow::Result<Map<String, Value>> {
    let Some(file) = file else { return Ok(Map::new()) };
    serde_json::from_str(&text(file)?).with_context(|| format!("`{}` is not a JSON object", file.display()))
}

/// A workload from the body of a start request. Its image and resources have no effect here.
fn workload(mut body: Map<String, Value>) -> anyhow::Result<Workload> {
    body.entry("image").or_insert(json!("simulated"));
    body.entry("max_replicas").or_insert(json!(100));
    body.entry("resources").or_insert(json!({"cpu": "1", "memory": "1g"}));
    start::workload(&Value::Object(body)).map_err(|problem| anyhow!("the workload is invalid: {}", problem.detail()))
}

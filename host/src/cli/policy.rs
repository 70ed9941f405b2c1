//! `windlass policy new`, `check`, `run`, `wrap` and `wit`: a policy on an author's desk, with no server and no
//! container engine, under the limits it will have in production.

use super::desk::{Desk, likely, now};
use super::new;
use super::remote::{self, RemoteCommand, Server};
use super::{bench, replay, trial};
use crate::model::facts::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use crate::model::{FailureKind, PolicyFailure, PolicyKind};
use crate::policy::component::{Called, PolicyComponent};
use crate::policy::language::{self, Language};
use crate::policy::store::CallLog;
use crate::policy::{contract, wrap};
use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `windlass policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Begin a project of your own: an example policy, with its tests, under another name
    New {
        /// Name of the policy, and of the folder that is made
        name: String,
        /// Its language
        #[arg(long)]
        lang: Language,
    },
    /// Load a policy, as the host would, and show what it is
    Check {
        /// The component
        file: PathBuf,
        /// A configuration to be checked too, as JSON text
        #[arg(long, value_name = "JSON")]
        config: Option<String>,
        /// Under whose limits.
        #[command(flatten)]
        desk: Desk,
    },
    /// Ask a policy for one answer and print it as JSON
    Run {
        /// The component
        file: PathBuf,
        /// Its configuration, as JSON text [default: {}]
        #[arg(long, value_name = "JSON", conflicts_with = "decision")]
        config: Option<String>,
        /// The observation, as JSON with the names of the WIT; `-` reads standard input
        #[arg(long, value_name = "FILE", required_unless_present = "decision")]
        input: Option<PathBuf>,
        /// Ask again what was asked for this decision, and say whether the answer is the same: its number at a windlass
        /// that runs, or a file with its record; `-` reads standard input
        #[arg(long, value_name = "NUMBER|FILE", conflicts_with = "input")]
        decision: Option<String>,
        /// Where the decision is.
        #[command(flatten)]
        server: Server,
        /// Under whose limits.
        #[command(flatten)]
        desk: Desk,
    },
    /// Measure a policy: compiling, loading, memory, and the time of a call with 10 and 100 replicas
    Bench {
        /// The component
        file: PathBuf,
        /// Its configuration, as JSON text
        #[arg(long, value_name = "JSON", default_value = "{}")]
        config: String,
        /// Calls with each number of replicas
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        calls: u32,
        /// Print the figures as JSON
        #[arg(long)]
        json: bool,
        /// Under whose limits.
        #[command(flatten)]
        desk: Desk,
    },
    /// Make a component of the core module that a compiler of Rust, C or Go left
    Wrap {
        /// The core module
        module: PathBuf,
        /// Where the component is written
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Print the contract with policies: the WIT package that bindings are made from
    Wit,
    /// What is asked of a windlass that runs.
    #[command(flatten)]
    Remote(RemoteCommand),
}

/// Serves a command: its result on standard output and 0, or why there is none on standard error and 1.
pub async fn run(command: PolicyCommand) -> ExitCode {
    let done = match &command {
        PolicyCommand::New { name, lang } => new::write(*lang, name, Path::new("")),
        PolicyCommand::Check { file, config, desk } => check(file, config.as_deref(), desk).await,
        PolicyCommand::Run { file, decision: Some(decision), server, desk, .. } => {
            replay::replay(file, decision, server, desk).await
        }
        PolicyCommand::Run { file, config, input, desk, .. } => {
            let input = input.as_deref().unwrap_or(Path::new("-"));
            answer(file, config.as_deref().unwrap_or("{}"), input, desk).await
        }
        PolicyCommand::Bench { file, config, calls, json, desk } => bench(file, config, (*calls, *json), desk).await,
        PolicyCommand::Wrap { module, output } => wrapped(module, output),
        PolicyCommand::Wit => Ok(contract::text()),
        PolicyCommand::Remote(command) => remote::run(command).await,
    };
    printed(done)
}

/// Ends a command: its result on standard output and 0, or why there is none on standard error and 1.
pub(super) fn printed(done: anyhow::Result<String>) -> ExitCode {
    let done = done.and_then(|text| {
        let mut output = std::io::stdout().lock();
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("cannot write to standard output")
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _unheard = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What `bench` prints.
async fn bench(file: &Path, config: &str, (calls, json): (u32, bool), desk: &Desk) -> anyhow::Result<String> {
    bench::bench(file, config, calls, json, desk.limits()?).await
}

/// What `wrap` prints.
fn wrapped(module: &Path, output: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(module).with_context(|| format!("cannot read `{}`", module.display()))?;
    let component = wrap::wrap(&bytes).with_context(|| format!("nothing was made of `{}`", module.display()))?;
    std::fs::write(output, &component).with_context(|| format!("cannot write `{}`", output.display()))?;
    Ok(format!("{}: {} bytes\n", output.display(), component.len()))
}

/// What `check` prints.
async fn check(file: &Path, config: Option<&str>, desk: &Desk) -> anyhow::Result<String> {
    let (policy, language) = desk.load(file).await?;
    let description = policy.description();
    let mut lines = vec![
        format!("{} {}: {}", description.name, description.version, description.summary),
        format!("kind:     {} (world `{}`)", policy.kind(), policy.kind().world()),
        format!("digest:   {}", policy.identity().digest),
        format!("size:     {} bytes", policy.size_bytes()),
        format!("language: {}", language.map_or_else(|| "it does not say".to_owned(), |language| language.to_string())),
        format!("imports:  {}", list(policy.imports())),
        format!("exports:  {}", list(policy.exports())),
    ];
    if !policy.identity().replayable {
        lines.push("replay:   not possible: it may ask the network while it decides".to_owned());
    }
    let schema: serde_json::Value = serde_json::from_str(&description.config_schema)?;
    lines.push(format!("config:   {}", serde_json::to_string_pretty(&schema)?.replace('\n', "\n          ")));
    let needs = match configured(&policy, config.unwrap_or("{}")).await {
        Ok(needs) => needs,
        Err(error) if config.is_none() && error.downcast_ref().is_none_or(is_refusal) => {
            lines.push(format!("trial:    none, for it does not accept `{{}}`: {error:#}; say a `--config`"));
            lines.push(String::new());
            return Ok(lines.join("\n"));
        }
        Err(error) => {
            let hint = error.downcast_ref().and_then(|failure| language::hint_for_call(language, failure));
            return Err(anyhow!("the configuration is refused: {error:#}{}", likely(language, hint)));
        }
    };
    if let Some(config) = config {
        let needs: Vec<String> = needs.iter().map(|need| format!("{} over {} ms", need.name, need.window)).collect();
        lines.push(format!("accepted: {config}"));
        lines.push(format!("metrics:  {}", list(&needs)));
    }
    lines.push(tried(&policy, language, config.unwrap_or("{}"), &needs).await);
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// What a policy needs under a configuration, which its schema and it itself accept.
async fn configured(policy: &PolicyComponent, config: &str) -> anyhow::Result<Vec<MetricRequest>> {
    let problems = policy.schema_problems(config).await;
    if !problems.is_empty() {
        let problems =
            problems.iter().map(|(place, why)| if place.is_empty() { why.clone() } else { format!("{place}: {why}") });
        bail!("by its schema: {}", problems.collect::<Vec<_>>().join("; "));
    }
    take(policy.configure(config, now()).await)
}

/// Whether a policy failed on purpose: that is no mistake of its author.
fn is_refusal(failure: &PolicyFailure) -> bool {
    failure.kind == FailureKind::Refused
}

/// What became of a call that shows 10 replicas, and the limits it came near.
async fn tried(
    policy: &PolicyComponent,
    language: Option<language::Language>,
    config: &str,
    needs: &[MetricRequest],
) -> String {
    let limits = policy.limits();
    let mut used = Vec::new();
    let mut spares = None;
    let (said, log, usage) = match policy.kind() {
        PolicyKind::Scaling => {
            let shown = trial::scaling(10, needs, now());
            let Called { answer, log, usage } = policy.decide(config, &shown).await;
            spares = policy.protected(config, &shown).await.map(|called| called.answer);
            let said = answer.map(|decision| {
                used.push(("a reason of bytes", decision.reason.len() as u64, limits.reason_bytes));
                used.push(("memory handed back, in bytes", decision.memory.len() as u64, limits.returned_memory_bytes));
                format!("{} replicas, `{}`", decision.replicas, decision.reason)
            });
            (said, log, usage)
        }
        PolicyKind::Health => {
            let Called { answer, log, usage } = policy.evaluate(config, &trial::health(10, now())).await;
            let said = answer.map(|report| {
                let longest = report.assessments.iter().map(|one| one.reason.len() as u64).max().unwrap_or_default();
                used.push(("a reason of bytes", longest, limits.reason_bytes));
                used.push(("memory handed back, in bytes", report.memory.len() as u64, limits.returned_memory_bytes));
                format!("{} assessments", report.assessments.len())
            });
            (said, log, usage)
        }
    };
    let time = u64::try_from(usage.time.as_micros()).unwrap_or(u64::MAX);
    let limit = u64::try_from(policy.decision_time().as_micros()).unwrap_or(u64::MAX);
    used.push(("microseconds", time, limit));
    used.push(("bytes of linear memory", usage.memory_bytes, limits.memory_bytes));
    used.push(("elements of a table", u64::from(usage.table_elements), u64::from(limits.table_elements)));
    used.push(("log lines", log.lines.len() as u64 + log.dropped_lines, u64::from(limits.log_lines)));
    used.push(("bytes of output", log.output.len() as u64 + log.dropped_output_bytes, limits.output_bytes));
    let mut text = match said {
        Ok(said) => format!("trial:    shown 10 replicas it said {said}"),
        Err(failure) => {
            let hint = language::hint_for_call(language, &failure);
            format!("trial:    shown 10 replicas it gave no answer: {failure}{}", likely(language, hint))
        }
    };
    match spares {
        None => {}
        Some(Ok(spared)) => {
            text.push_str(&format!("\nspares:   {} of the 10 where there are to be fewer", spared.len()));
        }
        Some(Err(failure)) => {
            let hint = language::hint_for_call(language, &failure);
            text.push_str(&format!(
                "\nspares:   asked whom to spare it gave no answer: {failure}{}",
                likely(language, hint)
            ));
        }
    }
    text.push_str(&format!("\nused:     {time} microseconds, {} bytes of linear memory", usage.memory_bytes));
    // Near is half of it: another day has twice the replicas, or a slower machine.
    let near = used.iter().filter(|(_, used, limit)| used.saturating_mul(2) >= *limit && *used > 0);
    let near: Vec<String> = near.map(|(what, used, limit)| format!("{what}: {used} of {limit}")).collect();
    text.push_str(&format!("\nnear:     {}", if near.is_empty() { "no limit".to_owned() } else { near.join("; ") }));
    text
}

/// What `run` prints.
async fn answer(file: &Path, config: &str, input: &Path, desk: &Desk) -> anyhow::Result<String> {
    let input = read_input(input)?;
    let (policy, _) = desk.load(file).await?;
    print(&asked(&policy, config, &input).await?)
}

/// What a policy answers.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Scaling(ScalingDecision),
    Health(HealthReport),
}

/// The answer to one observation.
pub(super) async fn asked(policy: &PolicyComponent, config: &str, observation: &[u8]) -> anyhow::Result<Answer> {
    match policy.kind() {
        PolicyKind::Scaling => {
            let observation: ScalingObservation = parse(observation, policy.kind())?;
            take(policy.configure(config, observation.now).await).context("the configuration is refused")?;
            Ok(Answer::Scaling(take(policy.decide(config, &observation).await).context("no decision")?))
        }
        PolicyKind::Health => {
            let observation: HealthObservation = parse(observation, policy.kind())?;
            take(policy.configure(config, observation.now).await).context("the configuration is refused")?;
            Ok(Answer::Health(take(policy.evaluate(config, &observation).await).context("no report")?))
        }
    }
}

pub(super) fn read_input(input: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if input == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        bytes = std::fs::read(input).with_context(|| format!("cannot read `{}`", input.display()))?;
    }
    Ok(bytes)
}

pub(super) fn parse<T: DeserializeOwned>(input: &[u8], kind: PolicyKind) -> anyhow::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(input);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        anyhow!("the input is not the observation of a {kind} policy: at `{path}`: {}", error.into_inner())
    })?;
    if deserializer.end().is_err() {
        bail!("the input goes on after the observation");
    }
    Ok(parsed)
}

/// An answer; what the policy wrote goes to standard error first.
pub(super) fn take<T>(called: Called<T>) -> anyhow::Result<T> {
    let CallLog { lines, dropped_lines, output, dropped_output_bytes } = called.log;
    let mut errors = std::io::stderr().lock();
    for (level, line) in lines {
        writeln!(errors, "{}: {line}", format!("{level:?}").to_lowercase())?;
    }
    if !output.is_empty() {
        writeln!(errors, "output: {output}")?;
    }
    if dropped_lines > 0 || dropped_output_bytes > 0 {
        writeln!(errors, "dropped past the limits: {dropped_lines} log lines, {dropped_output_bytes} bytes of output")?;
    }
    Ok(called.answer?)
}

pub(super) fn print(answer: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(answer)? + "\n")
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

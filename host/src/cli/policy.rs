//! `windlass policy new`, `check`, `run`, `wrap` and `wit`: a policy on an author's desk, with no server and no
//! container engine, under the limits it will have in production.

use crate::cli::remote::{RemoteCommand, Server};
use crate::cli::sandbox_args::Desk;
use crate::cli::{bench, check, new, remote, replay};
use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use windlass_core::PolicyKind;
use windlass_core::contract::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use windlass_sandbox::call_store::CallLog;
use windlass_sandbox::component::{Called, PolicyComponent};
use windlass_sandbox::language::Language;
use windlass_sandbox::{wit_text, wrap};

/// `windlass policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Begin a project of your own: an example policy, with its tests, under another name
    New {
        /// Name of the policy, and of the folder that is made
        name: String,
        /// Its language
        #[arg(long, value_parser = new::language_parser())]
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
        PolicyCommand::Check { file, config, desk } => check::check(file, config.as_deref(), desk).await,
        PolicyCommand::Run { file, decision: Some(decision), server, desk, .. } => {
            replay::replay(file, decision, server, desk).await
        }
        PolicyCommand::Run { file, config, input, desk, .. } => {
            let input = input.as_deref().unwrap_or(Path::new("-"));
            answer(file, config.as_deref().unwrap_or("{}"), input, desk).await
        }
        PolicyCommand::Bench { file, config, calls, json, desk } => bench(file, config, (*calls, *json), desk).await,
        PolicyCommand::Wrap { module, output } => wrapped(module, output),
        PolicyCommand::Wit => Ok(wit_text::text()),
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

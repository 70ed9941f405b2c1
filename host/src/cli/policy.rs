//! `windlass policy new`, `check`, `run`, `wrap` and `wit`: a policy on an author's desk, with no server and no
//! container engine, under the limits it will have in production.

use super::new::{self, Language};
use super::remote::{self, RemoteCommand};
use crate::model::PolicyKind;
use crate::model::Timestamp;
use crate::model::facts::{HealthObservation, ScalingObservation};
use crate::model::settings::PolicyLimits;
use crate::policy::compile::Compiler;
use crate::policy::component::{Called, PolicyComponent};
use crate::policy::engine::PolicyEngine;
use crate::policy::store::CallLog;
use crate::policy::{contract, wrap};
use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    },
    /// Ask a policy for one answer and print it as JSON
    Run {
        /// The component
        file: PathBuf,
        /// Its configuration, as JSON text
        #[arg(long, value_name = "JSON", default_value = "{}")]
        config: String,
        /// The observation, as JSON with the names of the WIT; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
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
        PolicyCommand::Check { file, config } => check(file, config.as_deref()).await,
        PolicyCommand::Run { file, config, input } => answer(file, config, input).await,
        PolicyCommand::Wrap { module, output } => wrapped(module, output),
        PolicyCommand::Wit => Ok(contract::text()),
        PolicyCommand::Remote(command) => remote::run(command).await,
    };
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

/// What `wrap` prints.
fn wrapped(module: &Path, output: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(module).with_context(|| format!("cannot read `{}`", module.display()))?;
    let component = wrap::wrap(&bytes).with_context(|| format!("nothing was made of `{}`", module.display()))?;
    std::fs::write(output, &component).with_context(|| format!("cannot write `{}`", output.display()))?;
    Ok(format!("{}: {} bytes\n", output.display(), component.len()))
}

/// What `check` prints.
async fn check(file: &Path, config: Option<&str>) -> anyhow::Result<String> {
    let policy = load(file).await?;
    let description = policy.description();
    let mut lines = vec![
        format!("{} {}: {}", description.name, description.version, description.summary),
        format!("kind:     {} (world `{}`)", policy.kind(), policy.kind().world()),
        format!("digest:   {}", policy.identity().digest),
        format!("size:     {} bytes", policy.size_bytes()),
        format!("imports:  {}", list(policy.imports())),
        format!("exports:  {}", list(policy.exports())),
    ];
    let schema: serde_json::Value = serde_json::from_str(&description.config_schema)?;
    lines.push(format!("config:   {}", serde_json::to_string_pretty(&schema)?.replace('\n', "\n          ")));
    if let Some(config) = config {
        let needs = take(policy.configure(config, now()).await).context("the configuration is refused")?;
        let needs: Vec<String> = needs.iter().map(|need| format!("{} over {} ms", need.name, need.window)).collect();
        lines.push(format!("accepted: {config}"));
        lines.push(format!("metrics:  {}", list(&needs)));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// What `run` prints.
async fn answer(file: &Path, config: &str, input: &Path) -> anyhow::Result<String> {
    let input = read_input(input)?;
    let policy = load(file).await?;
    match policy.kind() {
        PolicyKind::Scaling => {
            let observation: ScalingObservation = parse(&input, policy.kind())?;
            take(policy.configure(config, observation.now).await).context("the configuration is refused")?;
            print(&take(policy.decide(config, &observation).await).context("no decision")?)
        }
        PolicyKind::Health => {
            let observation: HealthObservation = parse(&input, policy.kind())?;
            take(policy.configure(config, observation.now).await).context("the configuration is refused")?;
            print(&take(policy.evaluate(config, &observation).await).context("no report")?)
        }
    }
}

/// A policy loaded for a few calls: compiled in a child process, kept nowhere.
async fn load(file: &Path) -> anyhow::Result<PolicyComponent> {
    let limits = PolicyLimits { concurrent_calls: 1, ..PolicyLimits::default() };
    // Read one byte more than allowed: enough to refuse it, however long it is.
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(limits.component_bytes.saturating_add(1)).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    let engine = Arc::new(PolicyEngine::without_pool(limits)?);
    let loaded = PolicyComponent::load(&engine, &Compiler::this_program(), None, Arc::from(bytes)).await;
    loaded.map_err(|error| {
        let problems: Vec<String> = error.problems.iter().map(|problem| format!("\n  - {problem}")).collect();
        anyhow!("`{}` is not a policy this host can run:{}", file.display(), problems.concat())
    })
}

fn read_input(input: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if input == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        bytes = std::fs::read(input).with_context(|| format!("cannot read `{}`", input.display()))?;
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(input: &[u8], kind: PolicyKind) -> anyhow::Result<T> {
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
fn take<T>(called: Called<T>) -> anyhow::Result<T> {
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

fn print(answer: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(answer)? + "\n")
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The time a configuration is checked at, where no observation tells one.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::default().plus(since_epoch)
}

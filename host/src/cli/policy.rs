//! `windlass policy`: its subcommands and their flags.

use crate::cli::format::Output;
use crate::cli::policy_call::{call, read_input, to_json};
use crate::cli::remote::RemoteCommand;
use crate::cli::sandbox_args::SandboxArgs;
use crate::cli::server::Server;
use crate::cli::{bench, check, new, remote, replay};
use anyhow::Context;
use clap::Subcommand;
use std::path::{Path, PathBuf};
use windlass_sandbox::language::Language;
use windlass_sandbox::{wit_text, wrap};

/// `windlass policy …`
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Create a policy project from an example, with its tests, under a new name
    #[command(after_help = "Examples:\n  windlass policy new mine --lang rust")]
    New {
        /// Name of the policy and of the new folder
        name: String,
        /// Its language
        #[arg(long, value_parser = new::language_parser())]
        lang: Language,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
    },
    /// Load a policy as the host would, and describe it
    #[command(after_help = "Examples:\n  windlass policy check queue.wasm\n  windlass policy check queue.wasm -o json")]
    Check {
        /// The component
        file: PathBuf,
        /// A configuration to check with it, as JSON text
        #[arg(long, value_name = "JSON")]
        config: Option<String>,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// Limits of the call.
        #[command(flatten)]
        sandbox: SandboxArgs,
    },
    /// Call a policy once and print its answer as JSON
    #[command(after_help = "Examples:\n  windlass policy run queue.wasm --input observation.json")]
    Run {
        /// The component
        file: PathBuf,
        /// Its configuration, as JSON text [default: {}]
        #[arg(long, value_name = "JSON", conflicts_with = "decision")]
        config: Option<String>,
        /// The observation, as JSON with the names of the WIT; `-` reads standard input
        #[arg(long, value_name = "FILE", required_unless_present = "decision")]
        input: Option<PathBuf>,
        /// Repeat the call of a recorded decision and compare the answers. A number is a decision of a running windlass;
        /// anything else is a file with the record, or `-` for standard input
        #[arg(long, value_name = "NUMBER|FILE", conflicts_with = "input")]
        decision: Option<String>,
        /// The server that has the decision.
        #[command(flatten)]
        server: Server,
        /// Limits of the call.
        #[command(flatten)]
        sandbox: SandboxArgs,
    },
    /// Measure a policy: compiling, loading, memory, and the time of a call with 10 and 100 replicas
    #[command(after_help = "Examples:\n  windlass policy bench queue.wasm --calls 100 -o json")]
    Bench {
        /// The component
        file: PathBuf,
        /// Its configuration, as JSON text
        #[arg(long, value_name = "JSON", default_value = "{}")]
        config: String,
        /// Calls with each number of replicas
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        calls: u32,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// Limits of the call.
        #[command(flatten)]
        sandbox: SandboxArgs,
    },
    /// Make a component from the core module that a Rust, C or Go compiler produced
    #[command(after_help = "Examples:\n  windlass policy wrap module.wasm -o wrapped.wasm")]
    Wrap {
        /// The core module
        module: PathBuf,
        /// File to write the component to
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Print the policy contract: the WIT package to generate bindings from
    #[command(after_help = "Examples:\n  windlass policy wit")]
    Wit,
    /// Commands that send a request to a running windlass.
    #[command(flatten)]
    Remote(RemoteCommand),
}

/// The text a command prints.
pub(super) async fn run(command: &PolicyCommand) -> anyhow::Result<String> {
    match command {
        PolicyCommand::New { name, lang, output } => {
            let (document, text) = new::write(*lang, name, Path::new(""))?;
            output.show(&document, std::slice::from_ref(name), || text)
        }
        PolicyCommand::Check { file, config, output, sandbox } => {
            let (document, text) = check::check(file, config.as_deref(), sandbox).await?;
            let name = document["name"].as_str().unwrap_or_default().to_owned();
            output.show(&document, &[name], || text)
        }
        PolicyCommand::Run { file, decision: Some(decision), server, sandbox, .. } => {
            replay::replay(file, decision, server, sandbox).await
        }
        PolicyCommand::Run { file, config, input, sandbox, .. } => {
            let input = read_input(input.as_deref().unwrap_or(Path::new("-")))?;
            let (policy, _) = sandbox.load(file).await?;
            to_json(&call(&policy, config.as_deref().unwrap_or("{}"), &input).await?)
        }
        PolicyCommand::Bench { file, config, calls, output, sandbox } => {
            bench::bench(file, config, *calls, *output, sandbox).await
        }
        PolicyCommand::Wrap { module, output } => wrap_module(module, output),
        PolicyCommand::Wit => Ok(wit_text::text()),
        PolicyCommand::Remote(command) => remote::run(command).await,
    }
}

fn wrap_module(module: &Path, output: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(module).with_context(|| format!("cannot read `{}`", module.display()))?;
    let component = wrap::wrap(&bytes).with_context(|| format!("cannot wrap `{}`", module.display()))?;
    std::fs::write(output, &component).with_context(|| format!("cannot write `{}`", output.display()))?;
    Ok(format!("{}: {} bytes\n", output.display(), component.len()))
}

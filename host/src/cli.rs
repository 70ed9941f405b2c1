//! The command line: one file for each command.
//!
//! Each command creates the runtime it needs. `compile-policy` creates none, because its process runs under tight
//! limits.

mod agent;
mod bench;
mod candidates;
mod check;
mod compile_policy;
mod config;
mod explain;
mod health;
mod log_line;
mod logging;
mod new;
mod output;
mod policy;
mod policy_call;
mod profiles;
mod remote;
mod replay;
mod sample_observation;
mod sandbox_args;
mod scaling;
mod serve;
mod server;
mod simulate;
mod swarm;
mod tls;
mod token;

use crate::cli::output::{in_runtime, report};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Keeps your containers running and decides how many you need, with policies in WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control loop and the API until a signal
    Serve(crate::cli::serve::ServeArguments),
    /// Check the configuration
    #[command(subcommand)]
    Config(crate::cli::config::ConfigCommand),
    /// Test policies without a server or a container engine, and manage those of a running windlass
    #[command(subcommand)]
    Policy(crate::cli::policy::PolicyCommand),
    /// Pause the scaling of a workload, freeze one direction, or force a count for some time
    #[command(subcommand)]
    Scaling(crate::cli::scaling::ScalingCommand),
    /// Explain why a workload has its count, and what would change the count
    Explain(crate::cli::explain::ExplainArguments),
    /// Ask a running windlass whether it answers: exit status 0 if it does, else 1
    Health(crate::cli::health::HealthArguments),
    /// Test policies and guardrails in simulated time, with a load trace or a scenario
    Simulate(Box<crate::cli::simulate::SimulateArguments>),
    /// Report the resource use of a node's containers to the windlass of its Swarm, over TLS
    Agent(crate::cli::agent::AgentArguments),
    /// Prepare a Swarm for windlass
    #[command(subcommand)]
    Swarm(crate::cli::swarm::SwarmCommand),
    /// Manage the tokens of people and programs
    #[command(subcommand)]
    Token(crate::cli::token::TokenCommand),
    /// Make a certificate for the API
    #[command(subcommand)]
    Tls(crate::cli::tls::TlsCommand),
    /// The process that compiles one policy under limits; started by windlass itself.
    #[command(hide = true, disable_help_flag = true)]
    CompilePolicy {
        /// Read by the command itself.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _arguments: Vec<OsString>,
    },
}

/// Runs the command that the process's arguments name. Exits 0 on success, 1 on failure, and 2 if the arguments or the
/// configuration are wrong.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(arguments) => crate::cli::serve::run(arguments),
        Command::Config(command) => in_runtime(crate::cli::config::run(command)),
        Command::Policy(command) => in_runtime(async move { report(crate::cli::policy::run(&command).await) }),
        Command::Scaling(command) => in_runtime(async move { report(crate::cli::scaling::run(&command).await) }),
        Command::Explain(arguments) => in_runtime(async move { report(crate::cli::explain::run(&arguments).await) }),
        Command::Health(arguments) => in_runtime(async move { report(crate::cli::health::run(&arguments).await) }),
        Command::Simulate(arguments) => in_runtime(async move { report(crate::cli::simulate::run(&arguments).await) }),
        Command::Agent(arguments) => crate::cli::agent::run(arguments),
        Command::Swarm(command) => in_runtime(async move { report(crate::cli::swarm::run(&command).await) }),
        Command::Token(command) => in_runtime(async move { report(crate::cli::token::run(&command).await) }),
        Command::Tls(command) => report(crate::cli::tls::run(&command)),
        Command::CompilePolicy { .. } => crate::cli::compile_policy::compile_policy(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_compiling_process_takes_any_arguments() {
        assert!(Cli::try_parse_from(["windlass", "compile-policy", "--memory", "1", "-x", "a"]).is_ok());
    }

    #[test]
    fn flags_become_overrides() {
        let line =
            ["windlass", "serve", "--listen", "0.0.0.0:9000", "--insecure", "--interval", "5s", "--engine", "swarm"];
        let Ok(Cli { command: Command::Serve(arguments) }) = Cli::try_parse_from(line) else {
            panic!("clap rejected the arguments");
        };
        let overrides = crate::config::Overrides::from(arguments);
        assert_eq!(overrides.listen.and_then(|listen| listen.tcp).map(|address| address.port()), Some(9000));
        assert_eq!(overrides.insecure, Some(true));
        assert_eq!(overrides.engine_kind, Some(windlass_core::settings::EngineKind::Swarm));
        assert_eq!(overrides.interval, Some(std::time::Duration::from_secs(5)));
        assert!(Cli::try_parse_from(["windlass", "serve", "--interval", "5"]).is_err());
        assert!(Cli::try_parse_from(["windlass", "serve", "--engine", "nomad"]).is_err());
        assert!(Cli::try_parse_from(["windlass", "serve", "--token", "x"]).is_err(), "a token is no flag");
    }
}

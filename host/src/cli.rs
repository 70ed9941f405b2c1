//! The command line: one file for each command.
//!
//! Each command makes the runtime it needs; `compile-policy` makes none, for its process is held to tight
//! limits.

mod bench;
mod check;
pub mod compile_policy;
pub mod config;
pub mod explain;
pub mod logging;
pub mod new;
pub mod policy;
pub mod remote;
mod replay;
mod sample_observation;
mod sandbox_args;
pub mod scaling;
pub mod serve;
pub mod simulate;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Keeps the right number of containers alive; WebAssembly components decide what right means.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control loop and the API until a signal.
    Serve(crate::cli::serve::ServeArguments),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(crate::cli::config::ConfigCommand),
    /// Try policies without a server or an engine, and change those of a windlass that runs.
    #[command(subcommand)]
    Policy(crate::cli::policy::PolicyCommand),
    /// Pause the scaling of a workload, freeze a direction, force a count for a time.
    #[command(subcommand)]
    Scaling(crate::cli::scaling::ScalingCommand),
    /// Tell why a workload has the count it has, and what would change it
    Explain(crate::cli::explain::ExplainArguments),
    /// Put policies and guardrails to the test in simulated time: over the trace of a load, or a scenario
    Simulate(Box<crate::cli::simulate::SimulateArguments>),
    /// The process that compiles one policy under limits; started by windlass itself.
    #[command(hide = true, disable_help_flag = true)]
    CompilePolicy {
        /// Read by the command itself.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _arguments: Vec<OsString>,
    },
}

/// Does what the arguments of the process say. Exits 0 when it was done, 1 when it failed, 2 when the
/// arguments or the configuration are wrong.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(arguments) => crate::cli::serve::run(arguments),
        Command::Config(command) => crate::cli::config::run(command),
        Command::Policy(command) => in_runtime(crate::cli::policy::run(command)),
        Command::Scaling(command) => {
            in_runtime(async move { crate::cli::policy::printed(crate::cli::scaling::run(&command).await) })
        }
        Command::Explain(arguments) => {
            in_runtime(async move { crate::cli::policy::printed(crate::cli::explain::run(&arguments).await) })
        }
        Command::Simulate(arguments) => {
            in_runtime(async move { crate::cli::policy::printed(crate::cli::simulate::run_command(&arguments).await) })
        }
        Command::CompilePolicy { .. } => crate::cli::compile_policy::compile_policy(),
    }
}

fn in_runtime(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => fail(1, format!("cannot start the runtime: {error}")),
    }
}

/// Says on standard error why a command ends, and ends it with this status.
fn fail(status: u8, why: impl Display) -> ExitCode {
    // When standard error is gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "windlass: {why}");
    ExitCode::from(status)
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
        let line = ["windlass", "serve", "--listen", "0.0.0.0:9000", "--insecure", "--interval", "5s"];
        let Ok(Cli { command: Command::Serve(arguments) }) = Cli::try_parse_from(line) else {
            panic!("not understood");
        };
        let overrides = crate::config::Overrides::from(arguments);
        assert_eq!(overrides.listen.map(|listen| listen.port()), Some(9000));
        assert_eq!(overrides.insecure, Some(true));
        assert_eq!(overrides.interval, Some(std::time::Duration::from_secs(5)));
        assert!(Cli::try_parse_from(["windlass", "serve", "--interval", "5"]).is_err());
        assert!(Cli::try_parse_from(["windlass", "serve", "--token", "x"]).is_err(), "a token is no flag");
    }
}

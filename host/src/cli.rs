//! The command line: one file for each command.
//!
//! Each command creates the runtime it needs. `compile-policy` creates none, because its process runs under tight
//! limits.

mod agent;
mod bench;
mod candidates;
mod check;
mod compile_policy;
mod completions;
mod config;
mod container;
mod context;
mod contexts;
mod describe;
mod diff;
mod escape;
mod events;
mod explain;
mod format;
mod get;
mod health;
mod log_line;
mod logging;
mod logs;
mod man;
mod moment;
mod new;
mod new_file;
mod news;
mod outage;
mod output;
mod policy;
mod policy_call;
mod policy_wait;
mod profiles;
mod remote;
mod replay;
mod resources;
mod rollback;
mod sample_observation;
mod sandbox_args;
mod scale;
mod scaling;
mod serve;
mod server;
mod simulate;
mod sse;
mod start;
mod stop;
mod swarm;
mod table;
mod terminal;
mod tls;
mod token;
mod top;
mod wait;
mod waiting;
mod watch;
mod words;
mod workload_file;
mod workload_text;
mod yaml;

use crate::cli::output::{in_runtime, report};
use clap::{CommandFactory, Parser, Subcommand};
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
    #[command(after_help = "Examples:\n  windlass serve --listen 127.0.0.1:8000")]
    Serve(crate::cli::serve::ServeArguments),
    /// List workloads, containers or policies
    #[command(after_help = "Examples:\n  windlass get workloads\n  windlass get workloads web -o yaml\n  \
        windlass get containers --workload web -w\n  windlass get policies -o json")]
    Get(crate::cli::get::GetArguments),
    /// Show one workload, container or policy with everything around it
    #[command(after_help = "Examples:\n  windlass describe workload web\n  windlass describe policy min-max -o json")]
    Describe(crate::cli::describe::DescribeArguments),
    /// Start the workloads of a file, or change them; or start a stopped workload again
    #[command(after_help = "Examples:\n  windlass start -f web.yaml --wait --timeout 2m\n  windlass start web -o json")]
    Start(crate::cli::start::StartArguments),
    /// Show what `start -f` would change: exit code 0 if nothing, 5 if something
    #[command(after_help = "Examples:\n  windlass diff -f web.yaml")]
    Diff(crate::cli::diff::DiffArguments),
    /// Change the bounds of the number of replicas
    #[command(after_help = "Examples:\n  windlass scale web --max 4\n  windlass scale web 2 --wait --timeout 2m")]
    Scale(crate::cli::scale::ScaleArguments),
    /// Stop the containers of a workload, or remove it
    #[command(after_help = "Examples:\n  windlass stop web --wait\n  windlass stop web --remove")]
    Stop(crate::cli::stop::StopArguments),
    /// Return a workload to the generation before
    #[command(after_help = "Examples:\n  windlass rollback web --wait")]
    Rollback(crate::cli::rollback::RollbackArguments),
    /// Wait until a workload is as wanted: exit code 3 if the time ends before
    #[command(after_help = "Examples:\n  windlass wait web --for ready --timeout 2m\n  \
        windlass wait web --for replicas=2 -o json")]
    Wait(crate::cli::wait::WaitArguments),
    /// Stop, start, protect or remove single containers
    #[command(subcommand)]
    Container(crate::cli::container::ContainerCommand),
    /// Show the workloads as a live table, with keys for the actions
    #[command(after_help = "Examples:\n  windlass top\n  windlass top -o json")]
    Top(crate::cli::top::TopArguments),
    /// Show what happened, and follow what happens
    #[command(after_help = "Examples:\n  windlass events --workload web --kind decision -o json\n  windlass events -w")]
    Events(crate::cli::events::EventsArguments),
    /// Show the output of a container
    #[command(after_help = "Examples:\n  windlass logs web-3f91a2-0 --tail 20 --since 10m\n  \
        windlass logs web-3f91a2-0 -f")]
    Logs(crate::cli::logs::LogsArguments),
    /// Explain why a workload has its count, and what would change the count
    #[command(after_help = "Examples:\n  windlass explain web\n  windlass explain web --at 1s -o json")]
    Explain(crate::cli::explain::ExplainArguments),
    /// Pause the scaling of a workload, freeze one direction, or force a count for some time
    #[command(subcommand)]
    Scaling(crate::cli::scaling::ScalingCommand),
    /// Test policies without a server or a container engine, and manage those of a running windlass
    #[command(subcommand)]
    Policy(crate::cli::policy::PolicyCommand),
    /// Test policies and guardrails in simulated time, with a load trace or a scenario
    #[command(after_help = "Examples:\n  windlass simulate --trace load.csv --policy min-max -o json")]
    Simulate(Box<crate::cli::simulate::SimulateArguments>),
    /// Name servers, and choose the one that commands use
    #[command(subcommand)]
    Context(crate::cli::context::ContextCommand),
    /// Ask a running windlass whether it answers: exit code 0 if it does, else 1
    #[command(after_help = "Examples:\n  windlass health -o json")]
    Health(crate::cli::health::HealthArguments),
    /// Check the configuration
    #[command(subcommand)]
    Config(crate::cli::config::ConfigCommand),
    /// Report the resource use of a node's containers to the windlass of its Swarm, over TLS
    #[command(after_help = "Examples:\n  windlass agent --listen 0.0.0.0:9323")]
    Agent(crate::cli::agent::AgentArguments),
    /// Prepare a Swarm for windlass
    #[command(subcommand)]
    Swarm(crate::cli::swarm::SwarmCommand),
    /// Print the completion script of a shell
    #[command(after_help = "Examples:\n  windlass completions bash")]
    Completions(crate::cli::completions::CompletionsArguments),
    /// Print the manual page, or write the pages of all commands
    #[command(after_help = "Examples:\n  windlass man --directory man1")]
    Man(crate::cli::man::ManArguments),
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

/// Runs the command that the process's arguments name. Exits 0 on success, 1 on failure, 2 if the arguments or the
/// configuration are wrong, 3 if a wait timed out, 4 if the server requires a token or a role, and 5 if a comparison found a
/// difference.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(arguments) => crate::cli::serve::run(arguments),
        Command::Get(arguments) => in_runtime(async move { report(crate::cli::get::run(&arguments).await) }),
        Command::Describe(arguments) => in_runtime(async move { report(crate::cli::describe::run(&arguments).await) }),
        Command::Start(arguments) => in_runtime(async move { report(crate::cli::start::run(&arguments).await) }),
        Command::Diff(arguments) => in_runtime(async move { report(crate::cli::diff::run(&arguments).await) }),
        Command::Scale(arguments) => in_runtime(async move { report(crate::cli::scale::run(&arguments).await) }),
        Command::Stop(arguments) => in_runtime(async move { report(crate::cli::stop::run(&arguments).await) }),
        Command::Rollback(arguments) => in_runtime(async move { report(crate::cli::rollback::run(&arguments).await) }),
        Command::Wait(arguments) => in_runtime(async move { report(crate::cli::wait::run(&arguments).await) }),
        Command::Container(command) => in_runtime(async move { report(crate::cli::container::run(&command).await) }),
        Command::Top(arguments) => in_runtime(async move { report(crate::cli::top::run(&arguments).await) }),
        Command::Events(arguments) => in_runtime(async move { report(crate::cli::events::run(&arguments).await) }),
        Command::Logs(arguments) => in_runtime(async move { report(crate::cli::logs::run(&arguments).await) }),
        Command::Explain(arguments) => in_runtime(async move { report(crate::cli::explain::run(&arguments).await) }),
        Command::Scaling(command) => in_runtime(async move { report(crate::cli::scaling::run(&command).await) }),
        Command::Policy(command) => in_runtime(async move { report(crate::cli::policy::run(&command).await) }),
        Command::Simulate(arguments) => in_runtime(async move { report(crate::cli::simulate::run(&arguments).await) }),
        Command::Context(command) => report(crate::cli::context::run(&command)),
        Command::Health(arguments) => in_runtime(async move { report(crate::cli::health::run(&arguments).await) }),
        Command::Config(command) => in_runtime(crate::cli::config::run(command)),
        Command::Agent(arguments) => crate::cli::agent::run(arguments),
        Command::Swarm(command) => in_runtime(async move { report(crate::cli::swarm::run(&command).await) }),
        Command::Completions(arguments) => report(crate::cli::completions::run(&arguments, &Cli::command())),
        Command::Man(arguments) => report(crate::cli::man::run(&arguments, Cli::command())),
        Command::Token(command) => in_runtime(async move { report(crate::cli::token::run(&command).await) }),
        Command::Tls(command) => report(crate::cli::tls::run(&command)),
        Command::CompilePolicy { .. } => crate::cli::compile_policy::compile_policy(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

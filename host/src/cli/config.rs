//! `windlass config check`: prints the effective configuration.

use crate::cli::output::fail;
use crate::cli::serve::{ServeArguments, configuration};
use clap::Subcommand;
use std::io::Write;
use std::process::ExitCode;
use windlass_core::error_chain;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration as `serve` does, check it, and print it as TOML without secrets
    Check(Box<ServeArguments>),
}

/// Exits 0 if the configuration is valid, 2 if it is not, and 1 if it cannot be printed.
pub(super) fn run(command: ConfigCommand) -> ExitCode {
    let ConfigCommand::Check(arguments) = command;
    let config = match configuration(*arguments) {
        Ok(config) => config,
        Err(error) => return fail(2, error_chain(&error)),
    };
    let source = match &config.file {
        Some(file) => format!("# from {}, flags and environment\n", file.display()),
        None => "# from defaults, flags and environment\n".to_owned(),
    };
    match write!(std::io::stdout(), "{source}{}", config.to_toml()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, format_args!("cannot write to standard output: {error}")),
    }
}

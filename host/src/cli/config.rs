//! `windlass config check`: what the configuration comes to.

use crate::cli::fail;
use crate::cli::serve::{ServeArguments, configuration};
use clap::Subcommand;
use std::io::Write;
use std::process::ExitCode;
use windlass_core::error_chain;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read everything `serve` would, and print what it comes to as TOML, without the token.
    Check(Box<ServeArguments>),
}

/// Exits 0 when the configuration is right, 2 when it is wrong, 1 when it cannot be printed.
pub fn run(command: ConfigCommand) -> ExitCode {
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
        Err(error) => fail(1, format_args!("cannot print: {error}")),
    }
}

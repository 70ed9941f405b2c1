//! `windlass config check`: checks the configuration and the policies of its profiles, and prints it.

use crate::cli::output::fail;
use crate::cli::profiles;
use crate::cli::profiles::Checked;
use crate::cli::serve::{ServeArguments, configuration};
use clap::Subcommand;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use windlass_core::error_chain;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration as `serve` does, check it, and print it as TOML without secrets
    Check(Box<ServeArguments>),
}

/// Exits 0 if the configuration is valid, 2 if it is not, and 1 if it cannot be checked or printed.
pub(super) async fn run(command: ConfigCommand) -> ExitCode {
    let ConfigCommand::Check(arguments) = command;
    let config = match configuration(*arguments) {
        Ok(config) => config,
        Err(error) => return fail(2, error_chain(&error)),
    };
    let Checked { problems, unchecked } = match profiles::check(&config).await {
        Ok(checked) => checked,
        Err(error) => return fail(1, format_args!("cannot check the policies of the profiles: {error:#}")),
    };
    if !problems.is_empty() {
        return fail(2, problems.join("\n"));
    }
    let mut text = match &config.file {
        Some(file) => format!("# from {}, flags and environment\n", file.display()),
        None => "# from defaults, flags and environment\n".to_owned(),
    };
    for sentence in unchecked {
        let _ = writeln!(text, "# {sentence}");
    }
    match write!(std::io::stdout(), "{text}{}", config.to_toml()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, format_args!("cannot write to standard output: {error}")),
    }
}

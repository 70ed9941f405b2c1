//! `windlass config check`: checks the configuration and the policies of its profiles, and prints it.

use crate::cli::format::Output;
use crate::cli::output::{fail, report};
use crate::cli::profiles;
use crate::cli::profiles::Checked;
use crate::cli::serve::{ServeArguments, configuration};
use crate::config::Config;
use clap::Subcommand;
use serde_json::json;
use std::fmt::Write as _;
use std::process::ExitCode;
use windlass_core::error_chain;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration as `serve` does, check it, and print it as TOML without secrets
    #[command(after_help = "Examples:\n  windlass config check --config windlass.toml")]
    Check {
        /// The form of the result; `table` is TOML.
        #[command(flatten)]
        output: Output,
        /// The configuration.
        #[command(flatten)]
        arguments: Box<ServeArguments>,
    },
}

/// Exits 0 if the configuration is valid, 2 if it is not, and 1 if it cannot be checked or printed.
pub(super) async fn run(command: ConfigCommand) -> ExitCode {
    let ConfigCommand::Check { output, arguments } = command;
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
    let document = json!({"file": config.file, "notes": unchecked, "configuration": config.to_json()});
    report(output.show(&document, &[], || text(&config, &unchecked)))
}

/// The configuration as TOML, with comments about its origin.
fn text(config: &Config, notes: &[String]) -> String {
    let mut text = match &config.file {
        Some(file) => format!("# from {}, flags and environment\n", file.display()),
        None => "# from defaults, flags and environment\n".to_owned(),
    };
    for sentence in notes {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# {sentence}");
    }
    text + &config.to_toml()
}

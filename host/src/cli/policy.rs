//! Temporary: replaced by the real command.

use clap::Subcommand;
use std::process::ExitCode;

/// Commands about one policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {}

/// Never called: there is no such command yet.
pub fn run(command: PolicyCommand) -> ExitCode {
    match command {}
}

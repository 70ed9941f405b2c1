//! Temporary: replaced by the real command.

use std::process::ExitCode;

/// Fails: there is nothing to compile with yet.
pub fn run() -> ExitCode {
    ExitCode::FAILURE
}

//! How a command ends: its result on standard output, its error on standard error, and the exit code.

use anyhow::Context;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use windlass_core::error_chain;
use windlass_core::text::is_invisible;

/// Prints a command's result and exits 0, or prints its error and exits 1.
pub(super) fn report(result: anyhow::Result<String>) -> ExitCode {
    let printed = result.and_then(|text| {
        let mut output = std::io::stdout().lock();
        let text = printable(&text);
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("cannot write to standard output")
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, error_chain(error.as_ref())),
    }
}

/// Prints an error and exits with `status`.
pub(super) fn fail(status: u8, error: impl Display) -> ExitCode {
    // If standard error is closed, nobody can receive the message.
    let _ = writeln!(std::io::stderr(), "error: {}", printable(&error.to_string()));
    ExitCode::from(status)
}

/// A text for a terminal: a server, a registry or a policy may have sent a part of it.
fn printable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_invisible(*c)).collect()
}

/// Runs a command in a runtime of one thread.
pub(super) fn in_runtime(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => fail(1, format_args!("cannot start the async runtime: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_elsewhere_do_not_steer_the_terminal() {
        assert_eq!(printable("queue\x1b[2J\u{202e}\u{200b}\n\t3\r"), "queue[2J\n\t3");
    }
}

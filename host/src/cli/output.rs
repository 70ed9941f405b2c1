//! The end of a command: its result on standard output, its error on standard error, and the exit code.

use anyhow::Context;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use windlass_core::error_chain;
use windlass_core::text::is_invisible;
use windlass_network::remote::RemoteError;

/// Exit code of a command that failed.
const FAILED: u8 = 1;

/// Exit code of a command whose arguments do not fit together; clap uses the same one.
pub(super) const WRONG_USE: u8 = 2;

/// Exit code of a command that waited in vain.
const TIMED_OUT: u8 = 3;

/// Exit code of a command for which the caller lacks a token or a role.
const REFUSED: u8 = 4;

/// Exit code of a comparison that found a difference.
pub(super) const DIFFERENT: u8 = 5;

/// Arguments that clap accepts and that do not fit together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongUse(pub(super) String);

/// A condition did not come true in time; the text has the pending reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct TimedOut(pub(super) String);

/// The text that a command prints, and its exit code.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) text: String,
    pub(super) status: u8,
}

impl From<String> for Printed {
    fn from(text: String) -> Self {
        Self { text, status: 0 }
    }
}

/// Prints a command's result and exits with its code, or prints its error and exits with the code of that.
pub(super) fn report(result: anyhow::Result<impl Into<Printed>>) -> ExitCode {
    let printed = result.and_then(|result| {
        let Printed { text, status } = result.into();
        print(&text)?;
        Ok(status)
    });
    match printed {
        Ok(status) => ExitCode::from(status),
        Err(error) => fail(status_of(&error), error_chain(error.as_ref())),
    }
}

/// Prints a text at once. `false` if the reader of standard output has left, as `head` does.
pub(super) fn print(text: &str) -> anyhow::Result<bool> {
    write(&mut std::io::stdout().lock(), text).context("cannot write to standard output")
}

/// As [`print()`], on standard error.
pub(super) fn print_error(text: &str) -> anyhow::Result<bool> {
    write(&mut std::io::stderr().lock(), text).context("cannot write to standard error")
}

fn write(output: &mut impl Write, text: &str) -> std::io::Result<bool> {
    match output.write_all(printable(text).as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// The exit code for an error.
fn status_of(error: &anyhow::Error) -> u8 {
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<TimedOut>() {
            return Some(TIMED_OUT);
        }
        if cause.is::<WrongUse>() {
            return Some(WRONG_USE);
        }
        let status = cause.downcast_ref().and_then(RemoteError::status);
        status.filter(|status| matches!(status, 401 | 403)).map(|_| REFUSED)
    };
    error.chain().find_map(of_cause).unwrap_or(FAILED)
}

/// Prints an error and exits with `status`.
pub(super) fn fail(status: u8, error: impl Display) -> ExitCode {
    // If standard error is closed, nobody can receive the message.
    let _ = writeln!(std::io::stderr(), "error: {}", printable(&error.to_string()));
    ExitCode::from(status)
}

/// A text for a terminal: a server, a registry or a policy may have sent a part of it.
pub(super) fn printable(text: &str) -> String {
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
    use anyhow::anyhow;

    #[test]
    fn texts_from_elsewhere_do_not_steer_the_terminal() {
        assert_eq!(printable("queue\x1b[2J\u{202e}\u{200b}\n\t3\r"), "queue[2J\n\t3");
    }

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let refused = |status| RemoteError::Refused { status, detail: "no".to_owned() };
        for (error, status) in [
            (anyhow!("no"), 1),
            (refused(404).into(), 1),
            (WrongUse("no".to_owned()).into(), 2),
            (anyhow::Error::from(TimedOut("no".to_owned())).context("waiting"), 3),
            (anyhow::Error::from(refused(401)).context("asking"), 4),
            (refused(403).into(), 4),
        ] {
            assert_eq!(status_of(&error), status, "{error:?}");
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        struct Closed(ErrorKind);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert!(!write(&mut Closed(ErrorKind::BrokenPipe), "a").expect("no error"));
        write(&mut Closed(ErrorKind::StorageFull), "a").expect_err("an error");
    }
}

//! The lines that a replica printed.

use crate::Timestamp;
use serde::Serialize;

/// Most bytes of a line. A longer one is several lines. Engines cut lines at 16 KiB, and put the time before each part.
pub const LONGEST_LINE: usize = (16 << 10) + 64;

/// Which lines of a replica to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Only so many of the newest lines. `None` for all of them.
    pub tail: Option<u32>,
    /// Only lines since this time.
    pub since: Option<Timestamp>,
    /// Whether the lines that are printed from now on follow.
    pub follow: bool,
}

/// The stream that a line was printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output. A replica with a terminal has no other one.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was printed, by the engine's clock. `None` if the engine does not say.
    pub at: Option<Timestamp>,
    /// The stream.
    pub stream: LogStream,
    /// The line without its line break, at most [`LONGEST_LINE`] bytes; what is no UTF-8 is replaced.
    pub text: String,
}

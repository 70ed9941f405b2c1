//! The log and the output of a policy during one call.

use crate::call_store::log_share;
use crate::convert::{cut, plain};
use windlass_core::settings::PolicyLimits;

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For debugging.
    Debug,
    /// Information.
    Info,
    /// A possible problem.
    Warn,
    /// A failure.
    Error,
}

impl LogLevel {
    /// Whether the host's log takes lines of this level.
    fn is_enabled(self) -> bool {
        match self {
            Self::Debug => tracing::enabled!(tracing::Level::DEBUG),
            Self::Info => tracing::enabled!(tracing::Level::INFO),
            Self::Warn => tracing::enabled!(tracing::Level::WARN),
            Self::Error => tracing::enabled!(tracing::Level::ERROR),
        }
    }
}

/// The log and the output of a policy during one call, within its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallLog {
    /// Lines written through the import `log`, each cut to its limit.
    pub lines: Vec<(LogLevel, String)>,
    /// Lines dropped because they exceeded the limit.
    pub dropped_lines: u64,
    /// Standard output and standard error, in order.
    pub output: String,
    /// Bytes of output dropped because they exceeded the limit.
    pub dropped_output_bytes: u64,
}

impl CallLog {
    /// Writes the policy's log to the host's log, as far as the policy's share of it allows.
    pub fn trace(&self, policy: &str) {
        for (level, line) in self.lines.iter().filter(|(level, _)| level.is_enabled()) {
            if !log_share::take(policy, line.len()) {
                continue;
            }
            match level {
                LogLevel::Debug => tracing::debug!(policy, "{line}"),
                LogLevel::Info => tracing::info!(policy, "{line}"),
                LogLevel::Warn => tracing::warn!(policy, "{line}"),
                LogLevel::Error => tracing::error!(policy, "{line}"),
            }
        }
        let is_debug = tracing::enabled!(tracing::Level::DEBUG);
        if is_debug && !self.output.is_empty() && log_share::take(policy, self.output.len()) {
            tracing::debug!(policy, output = %self.output, "the policy wrote to its standard output");
        }
        if is_debug && (self.dropped_lines > 0 || self.dropped_output_bytes > 0) && log_share::take(policy, 0) {
            let (lines, output_bytes) = (self.dropped_lines, self.dropped_output_bytes);
            tracing::debug!(policy, lines, output_bytes, "dropped what the policy wrote beyond its limits");
        }
    }

    /// Adds a line, or counts it as dropped.
    pub(crate) fn add(&mut self, limits: &PolicyLimits, level: LogLevel, message: &str) {
        if self.lines.len() >= limits.log_lines as usize {
            self.dropped_lines += 1;
            return;
        }
        let limit = usize::try_from(limits.log_line_bytes).unwrap_or(usize::MAX);
        self.lines.push((level, plain(cut(message, limit))));
    }
}

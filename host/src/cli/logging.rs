//! Sets up the log on standard error: readable text on a terminal, JSON otherwise.

use crate::cli::log_line::Lines;
use crate::config::{LogFormat, LogSettings};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The engine client's debug lines contain request bodies, and so the secrets in a workload's environment. A filter that
/// names `bollard` overrides this.
const QUIET: &str = "bollard=info";

/// Starts logging. The filter was checked with the configuration; invalid parts of it are ignored.
///
/// # Errors
/// If logging is already set up.
pub(super) fn init(settings: &LogSettings) -> Result<(), TryInitError> {
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(format!("{QUIET},{}", settings.filter)))
        .with_writer(|| Lines(std::io::stderr()));
    let is_text = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    if is_text {
        builder.with_ansi(terminal).finish().try_init()
    } else {
        builder.json().flatten_event(true).finish().try_init()
    }
}

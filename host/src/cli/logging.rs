//! Sets up the log: for people on a terminal, JSON otherwise, on standard error.

use crate::config::{LogFormat, LogSettings};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// What the engine's client says at finer levels holds the bodies of requests, and so the secrets in a
/// workload's environment. Whoever names it in the filter gets them all the same.
const QUIET: &str = "bollard=info";

/// Begins to log. The filter was checked with the configuration; parts of it that are wrong are left out.
///
/// # Errors
/// When a log was set up before.
pub fn init(settings: &LogSettings) -> Result<(), TryInitError> {
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(format!("{QUIET},{}", settings.filter)))
        .with_writer(std::io::stderr);
    let people = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    if people {
        builder.with_ansi(terminal).finish().try_init()
    } else {
        builder.json().flatten_event(true).finish().try_init()
    }
}

//! `windlass agent`: reports the resource use of a node's containers to the Windlass of its Swarm.

use crate::agent::AgentOptions;
use crate::cli::logging;
use crate::cli::output::{fail, in_runtime};
use crate::config::{LogFormat, LogSettings};
use clap::Args;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use windlass_core::error_chain;
use windlass_core::settings::AgentSettings;
use windlass_core::text::duration;

/// Flags of the agent. Secrets are in files, because other users can read a process's flags.
#[derive(Debug, Args)]
pub(super) struct AgentArguments {
    /// Address the agent listens on
    #[arg(long, env = "WINDLASS_AGENT_LISTEN", value_name = "ADDRESS:PORT",
          default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, AgentSettings::PORT)))]
    listen: SocketAddr,
    /// File with the certificate, in PEM
    #[arg(long, env = "WINDLASS_AGENT_CERT", value_name = "FILE", default_value = "/run/secrets/windlass-agent-cert")]
    cert: PathBuf,
    /// File with the private key of the certificate, in PEM
    #[arg(long, env = "WINDLASS_AGENT_KEY", value_name = "FILE", default_value = "/run/secrets/windlass-agent-key")]
    key: PathBuf,
    /// File with the token that windlass sends
    #[arg(
        long,
        env = "WINDLASS_AGENT_TOKEN_FILE",
        value_name = "FILE",
        default_value = "/run/secrets/windlass-agent-token"
    )]
    token_file: PathBuf,
    /// Folder of the node's control groups; it is only read
    #[arg(long, env = "WINDLASS_AGENT_CGROUPS", value_name = "DIRECTORY", default_value = "/sys/fs/cgroup")]
    cgroups: PathBuf,
    /// Time between two samples; at least 100ms
    #[arg(long, env = "WINDLASS_AGENT_INTERVAL", value_name = "DURATION", default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// Log levels by module, such as `info,windlass_api=debug`
    #[arg(long, env = "WINDLASS_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// Log format
    #[arg(long, env = "WINDLASS_LOG_FORMAT", value_name = "FORMAT", default_value = "auto")]
    log_format: LogFormat,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text).map_err(|invalid| invalid.to_string())?;
    if interval < Duration::from_millis(100) { Err("it is below 100ms".to_owned()) } else { Ok(interval) }
}

/// Runs until a signal. Exits 1 on failure.
pub(super) fn run(arguments: AgentArguments) -> ExitCode {
    let AgentArguments { listen, cert, key, token_file, cgroups, interval, log, log_format } = arguments;
    if let Err(error) = logging::init(&LogSettings { filter: log, format: log_format }) {
        return fail(1, format_args!("cannot set up the log: {error}"));
    }
    let options = AgentOptions { listen, certificate: cert, key, token: token_file, cgroups, interval };
    in_runtime(async move {
        match crate::agent::run(options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, error_chain(error.as_ref())),
        }
    })
}

//! `windlass serve`: runs the control loop and the API until a signal.

use crate::cli::logging;
use crate::cli::output::fail;
use crate::config;
use crate::config::{Config, ConfigError, LogFormat, Overrides, Surroundings};
use clap::Args;
use clap::builder::BoolishValueParser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use windlass_core::settings::EngineKind;
use windlass_core::text::duration;
use windlass_core::{Listen, error_chain};

/// Flags that override the configuration file. The token is no flag, because other users can read a process's flags; it
/// is in a file or in WINDLASS_TOKEN.
#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Configuration file [default: /etc/windlass/windlass.toml, if it exists]
    #[arg(long, env = "WINDLASS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address or Unix socket the API listens on, or both with a comma [default: 127.0.0.1:8000]
    #[arg(long, env = "WINDLASS_LISTEN", value_name = "ADDRESS:PORT|unix:PATH")]
    listen: Option<Listen>,
    /// File with the token that clients must send; or put the token in WINDLASS_TOKEN
    #[arg(long, env = "WINDLASS_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Listen beyond loopback without a token: anyone who can connect can run containers
    #[arg(
        long,
        env = "WINDLASS_INSECURE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    insecure: Option<bool>,
    /// Directory of the database and compiled policies [default: /var/lib/windlass for root, else
    /// ~/.local/state/windlass]
    #[arg(long, env = "WINDLASS_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Kind of the engine: `docker` for one engine, `swarm` for the manager of a Docker Swarm [default: docker]
    #[arg(long, env = "WINDLASS_ENGINE", value_name = "KIND")]
    engine: Option<EngineKind>,
    /// Name of this windlass on the engine; it changes only containers with this name [default: default]
    #[arg(long, env = "WINDLASS_INSTANCE", value_name = "NAME")]
    instance: Option<String>,
    /// Socket or address of the engine [default: DOCKER_HOST, else the engine's default]
    #[arg(long, env = "WINDLASS_ENGINE_HOST", value_name = "HOST")]
    engine_host: Option<String>,
    /// Time between passes of a workload without events [default: 15s]
    #[arg(long, env = "WINDLASS_INTERVAL", value_name = "DURATION", value_parser = duration)]
    interval: Option<Duration>,
    /// Log levels by module, such as `info,windlass_api=debug` [default: info]
    #[arg(long, env = "WINDLASS_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// Log format [default: auto: text on a terminal, JSON otherwise]
    #[arg(long, env = "WINDLASS_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl From<ServeArguments> for Overrides {
    fn from(arguments: ServeArguments) -> Self {
        Self {
            file: arguments.config,
            listen: arguments.listen,
            token_file: arguments.token_file,
            insecure: arguments.insecure,
            data_dir: arguments.data_dir,
            engine_kind: arguments.engine,
            instance: arguments.instance,
            engine_host: arguments.engine_host,
            interval: arguments.interval,
            log: arguments.log,
            log_format: arguments.log_format,
        }
    }
}

/// The configuration from these arguments, the environment and the file.
pub(super) fn configuration(arguments: ServeArguments) -> Result<Config, ConfigError> {
    let surroundings =
        Surroundings { variable: &|name| std::env::var_os(name), is_root: rustix::process::geteuid().is_root() };
    config::load(&arguments.into(), &surroundings)
}

/// Runs until a signal. Exits 1 on failure and 2 if the configuration is wrong.
pub(super) fn run(arguments: ServeArguments) -> ExitCode {
    // No other user may access a new file. The few files for others get their mode explicitly, such as `discovery.file`.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let config = match configuration(arguments) {
        Ok(config) => config,
        Err(error) => return fail(2, error_chain(&error)),
    };
    if let Err(error) = logging::init(&config.log) {
        return fail(1, format_args!("cannot set up the log: {error}"));
    }
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, format_args!("cannot start the async runtime: {error}")),
    };
    match runtime.block_on(crate::app::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = error_chain(error.as_ref()), "windlass stops after an error");
            ExitCode::FAILURE
        }
    }
}

/// Files that Windlass may have open: its connections, those to the engine, and the store.
const MOST_FILES: u64 = 1 << 17;

/// Allows as many open files as the hard limit does. The usual soft limit of 1,024 is used up by the connections of callers.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
}

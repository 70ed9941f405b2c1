//! The types of the checked configuration, its overrides and its errors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use windlass_core::settings::{
    ApiSettings, ControlSettings, DiscoverySettings, EngineKind, EngineSettings, NetworkSettings, PolicySettings,
    StoreSettings,
};
use windlass_core::{Listen, Origin, SourceAccess};

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Text for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Levels by module, such as `info,windlass_api=debug`. Default `info`.
    pub filter: String,
    /// Default [`LogFormat::Auto`].
    pub format: LogFormat,
}

/// The checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that was read; `None` if there was none.
    pub file: Option<PathBuf>,
    /// Settings of the API server.
    pub api: ApiSettings,
    /// Whether the API may listen beyond loopback without a token.
    pub insecure: bool,
    /// The file the token was read from; `None` if it came from elsewhere or there is none.
    pub token_file: Option<PathBuf>,
    /// Address and limits of the container engine.
    pub engine: EngineSettings,
    /// Guardrails and timing of the control loop.
    pub control: ControlSettings,
    /// Limits of policy calls, and sources of policies.
    pub policy: PolicySettings,
    /// Subscribers to the list of replicas.
    pub discovery: DiscoverySettings,
    /// Access to the sources of metrics, by the name of its section.
    pub metric_sources: BTreeMap<String, SourceAccess>,
    /// The addresses that requests may reach.
    pub network: NetworkSettings,
    /// Other hosts that registries may name for their logins and downloads, by the registry's `host` or `host:port`.
    pub registries: BTreeMap<String, Vec<Origin>>,
    /// Location of the data.
    pub store: StoreSettings,
    /// Settings of the log.
    pub log: LogSettings,
}

/// Values from flags and environment that override the file. `None` keeps the file's value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// The file to read.
    pub file: Option<PathBuf>,
    /// `api.listen`.
    pub listen: Option<Listen>,
    /// `api.token_file`.
    pub token_file: Option<PathBuf>,
    /// `api.insecure`.
    pub insecure: Option<bool>,
    /// `store.data_dir`.
    pub data_dir: Option<PathBuf>,
    /// `engine.kind`.
    pub engine_kind: Option<EngineKind>,
    /// `engine.instance`.
    pub instance: Option<String>,
    /// `engine.host`.
    pub engine_host: Option<String>,
    /// `control.interval`.
    pub interval: Option<Duration>,
    /// `log.filter`.
    pub log: Option<String>,
    /// `log.format`.
    pub log_format: Option<LogFormat>,
}

/// The parts of the process environment that the configuration depends on.
pub struct Surroundings<'a> {
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether the process runs as root.
    pub is_root: bool,
}

/// Why the configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file has a syntax error, an unknown key or a value of the wrong type.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// The problem, and the expected value.
        message: String,
    },
    /// Values are out of range or contradict each other; one line for each problem.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// The file with the token cannot be read.
    #[error("cannot read the token from `{}`", path.display())]
    TokenUnreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

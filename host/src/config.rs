//! The configuration: `windlass.toml`, with flags and environment over it, checked into [`Config`].
//!
//! Two stages: [`raw`] is what the file may say (serde, unknown keys refused with the nearest right one),
//! [`Config`] is what the parts of Windlass take ([`windlass_core::settings`]), every value in its range.
//! [`kinds`] reads the values that are written with a unit.

mod discovery;
pub mod kinds;
pub mod raw;
mod show;
#[cfg(test)]
mod tests;

use crate::config::raw::RawConfig;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use windlass_core::settings::{
    ApiSettings, ControlSettings, DiscoverySettings, EngineSettings, PolicyOrigin, PolicySettings, StoreSettings,
};

/// The file that is read when none is named, if it exists.
pub const DEFAULT_FILE: &str = "/etc/windlass/windlass.toml";

/// Shortest token that is taken, in bytes.
const MIN_TOKEN: usize = 16;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Levels by module, as `info,windlass::api=debug`. Default `info`.
    pub filter: String,
    /// Default [`LogFormat::Auto`].
    pub format: LogFormat,
}

/// Everything Windlass is told, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that was read; none: there was none.
    pub file: Option<PathBuf>,
    /// How the API is served.
    pub api: ApiSettings,
    /// Whether an address beyond loopback is served without a token.
    pub insecure: bool,
    /// Where the token was read from; none: not from a file.
    pub token_file: Option<PathBuf>,
    /// How the engine is reached and treated.
    pub engine: EngineSettings,
    /// Guardrails and pace of the control loop.
    pub control: ControlSettings,
    /// Limits of policy calls, and where policies come from.
    pub policy: PolicySettings,
    /// Who is told where the replicas are.
    pub discovery: DiscoverySettings,
    /// Where things are kept.
    pub store: StoreSettings,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// What flags and environment put over the file. None leaves the file's value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// The file to read.
    pub file: Option<PathBuf>,
    /// `api.listen`.
    pub listen: Option<SocketAddr>,
    /// `api.token_file`.
    pub token_file: Option<PathBuf>,
    /// `api.insecure`.
    pub insecure: Option<bool>,
    /// `store.data_dir`.
    pub data_dir: Option<PathBuf>,
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

/// What of the process's surroundings the configuration depends on.
pub struct Surroundings<'a> {
    /// Looks up a variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether the process runs as root.
    pub is_root: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file says something it may not.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// Counts from 1.
        column: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// Values are out of range or contradict each other.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The file with the token cannot be read.
    #[error("cannot read the token from `{}`", path.display())]
    TokenUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Reads, merges and checks everything.
///
/// # Errors
/// With every value that is out of its range at once, each by its name.
pub fn load(overrides: &Overrides, surroundings: &Surroundings<'_>) -> Result<Config, ConfigError> {
    let (file, raw) = match &overrides.file {
        Some(path) => (Some(path.clone()), read(path)?),
        None if Path::new(DEFAULT_FILE).exists() => (Some(DEFAULT_FILE.into()), read(Path::new(DEFAULT_FILE))?),
        None => (None, RawConfig::default()),
    };
    check(file, raw, overrides, surroundings)
}

/// What a file says of policies, and nothing else of it.
///
/// # Errors
/// As [`load`], of every section with ranges.
pub fn policies(path: &Path) -> Result<PolicySettings, ConfigError> {
    let mut problems = Vec::new();
    let settings = read(path)?.settings(&mut problems);
    if problems.is_empty() { Ok(settings.policy) } else { Err(ConfigError::Refused(problems)) }
}

fn read(path: &Path) -> Result<RawConfig, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    crate::config::raw::parse(&text).map_err(|crate::config::raw::Malformed { line, column, message }| {
        ConfigError::Malformed { path: path.to_owned(), line, column, message }
    })
}

/// The second stage: defaults, the file, then flags and environment; everything in its range.
fn check(
    file: Option<PathBuf>,
    raw: RawConfig,
    overrides: &Overrides,
    surroundings: &Surroundings<'_>,
) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let crate::config::raw::Settings { mut api, mut engine, mut control, mut policy } = raw.settings(&mut problems);
    if let Some(listen) = overrides.listen.or(raw.api.listen) {
        api.listen = listen;
    }
    if let Some(instance) = overrides.instance.clone().or(raw.engine.instance) {
        let valid = !instance.is_empty()
            && instance.len() <= 63
            && instance.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !valid {
            problems.push(format!(
                "`engine.instance` is `{}`; expected 1 to 63 letters, digits, `-`, `_` and `.`",
                instance.escape_debug()
            ));
        }
        engine.instance = instance;
    }
    engine.host = overrides.engine_host.clone().or(raw.engine.host);
    if let Some(interval) = overrides.interval {
        crate::config::raw::set_interval(interval, &mut control, &mut problems);
    }
    if control.backoff_base > control.backoff_max {
        problems.push("`control.backoff_base` is above `control.backoff_max`".to_owned());
    }
    // A relative path begins where the file lies that says it.
    let beside = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    policy.folder = raw.policy.folder.map(|folder| beside.join(folder));
    for source in policy.named.values_mut().filter_map(|named| named.source.as_mut()) {
        if let PolicyOrigin::File(path) = source {
            *path = beside.join(&path);
        }
    }
    let discovery = raw.discovery.checked(beside, &mut problems);
    (control.scaling_policy, control.health_policy) = (raw.control.scaling_policy, raw.control.health_policy);
    let log = LogSettings {
        filter: overrides.log.clone().or(raw.log.filter).unwrap_or_else(|| "info".to_owned()),
        format: overrides.log_format.or(raw.log.format).unwrap_or_default(),
    };
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&log.filter) {
        problems.push(format!("`log.filter` is `{}`; {error}", log.filter.escape_debug()));
    }
    let insecure = overrides.insecure.or(raw.api.insecure).unwrap_or(false);
    let (token_file, token) = token(overrides, raw.api.token_file.as_ref(), surroundings, &mut problems)?;
    api.token = token;
    if api.token.is_none() && !api.listen.ip().is_loopback() && !insecure {
        problems.push(format!(
            "`api.listen` is {}, which others can reach, and there is no token; name a file with one (`--token-file`, \
             `api.token_file`), put it in WINDLASS_TOKEN, or say `--insecure` to let anyone run containers here",
            api.listen
        ));
    }
    let data_dir = overrides.data_dir.clone().or(raw.store.data_dir).or_else(|| default_data_dir(surroundings));
    let Some(data_dir) = data_dir.filter(|data_dir| !data_dir.as_os_str().is_empty()) else {
        problems.push("there is no home directory to keep data in; name one with `--data-dir`".to_owned());
        return Err(ConfigError::Refused(problems));
    };
    if !problems.is_empty() {
        return Err(ConfigError::Refused(problems));
    }
    let store = StoreSettings { data_dir };
    Ok(Config { file, api, insecure, token_file, engine, control, policy, discovery, store, log })
}

/// The token and the file it came from. A flag's file is over the environment's token, that over the file's
/// file; a flag's file beside a token in the environment is a contradiction.
fn token(
    overrides: &Overrides,
    file: Option<&PathBuf>,
    surroundings: &Surroundings<'_>,
    problems: &mut Vec<String>,
) -> Result<(Option<PathBuf>, Option<String>), ConfigError> {
    let given = (surroundings.variable)("WINDLASS_TOKEN");
    let (path, text, origin) = match (&overrides.token_file, given, file) {
        (Some(_), Some(_), _) => {
            problems.push("there is both WINDLASS_TOKEN and a token file (`--token-file`); keep one".to_owned());
            return Ok((None, None));
        }
        (None, Some(given), _) => (None, given.to_string_lossy().into_owned(), "WINDLASS_TOKEN".to_owned()),
        (Some(path), None, _) | (None, None, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::TokenUnreadable { path: path.clone(), source })?;
            (Some(path.clone()), text, format!("`{}`", path.display()))
        }
        (None, None, None) => return Ok((None, None)),
    };
    // The message tells where the token was, never the token.
    let token = text.trim();
    if token.len() < MIN_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) {
        problems.push(format!(
            "the token in {origin} has {} bytes; expected at least {MIN_TOKEN}, visible ASCII without blanks \
             (`openssl rand -hex 32` makes a good one)",
            token.len()
        ));
    }
    Ok((path, Some(token.to_owned())))
}

/// `/var/lib/windlass` for root, else the place for state in the user's home; none: there is no home.
fn default_data_dir(surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    if surroundings.is_root {
        return Some("/var/lib/windlass".into());
    }
    // A relative path in XDG_STATE_HOME is to be ignored, says its specification.
    let directory = |name: &str| (surroundings.variable)(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = directory("XDG_STATE_HOME").or_else(|| directory("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("windlass"))
}

//! The second stage: merges file, environment and flags, and checks every value.

use crate::config::network::registries;
use crate::config::parse::{Malformed, parse};
use crate::config::profiles::profiles;
use crate::config::raw::{RawConfig, Settings, set_interval};
use crate::config::sources::sources;
use crate::config::types::{Config, ConfigError, LogSettings, Overrides, Surroundings};
use std::path::{Path, PathBuf};
use windlass_core::Listen;
use windlass_core::settings::{
    ApiSettings, EngineSettings, LocalAccess, NetworkSettings, PolicyOrigin, PolicySettings, StoreSettings, TlsFiles,
};
use windlass_files::private::{PrivateError, read_secret};

/// The file that is read by default, if it exists.
const DEFAULT_FILE: &str = "/etc/windlass/windlass.toml";

/// Minimum length of a token in bytes.
const MIN_TOKEN: usize = 16;

/// Reads, merges and checks the configuration.
///
/// # Errors
/// If the file is unreadable or malformed, or with one line for every invalid value, each named by its key.
pub fn load(overrides: &Overrides, surroundings: &Surroundings<'_>) -> Result<Config, ConfigError> {
    let (file, raw) = match &overrides.file {
        Some(path) => (Some(path.clone()), read(path)?),
        None if Path::new(DEFAULT_FILE).exists() => (Some(DEFAULT_FILE.into()), read(Path::new(DEFAULT_FILE))?),
        None => (None, RawConfig::default()),
    };
    check(file, raw, overrides, surroundings)
}

/// The policy settings of a file.
///
/// # Errors
/// As [`load`], for every section that has ranges.
pub fn policies(path: &Path) -> Result<PolicySettings, ConfigError> {
    let mut problems = Vec::new();
    let settings = read(path)?.settings(&mut problems);
    if problems.is_empty() { Ok(settings.policy) } else { Err(ConfigError::Invalid(problems)) }
}

/// The settings of the engine, by a file and an address that overrides its own; `DEFAULT_FILE` if no file is named and it
/// exists.
///
/// # Errors
/// As [`load`], for `[engine]`.
pub fn engine(file: Option<&Path>, host: Option<String>) -> Result<EngineSettings, ConfigError> {
    let raw = match file {
        Some(path) => read(path)?,
        None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
        None => RawConfig::default(),
    };
    let (mut problems, mut settings) = (Vec::new(), EngineSettings::default());
    raw.engine.apply("engine", &mut settings, &mut problems);
    settings.host = host.or(raw.engine.host);
    if problems.is_empty() { Ok(settings) } else { Err(ConfigError::Invalid(problems)) }
}

/// The addresses that requests may reach, by a file.
///
/// # Errors
/// As [`load`], for `[network]`.
pub fn network(path: &Path) -> Result<NetworkSettings, ConfigError> {
    let mut problems = Vec::new();
    let network = read(path)?.network.check(&mut problems);
    if problems.is_empty() { Ok(network) } else { Err(ConfigError::Invalid(problems)) }
}

fn read(path: &Path) -> Result<RawConfig, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|Malformed { line, column, message }| ConfigError::Malformed {
        path: path.to_owned(),
        line,
        column,
        message,
    })
}

/// The second stage: applies the file, the environment and the flags to the defaults, and checks every value.
fn check(
    file: Option<PathBuf>,
    raw: RawConfig,
    overrides: &Overrides,
    surroundings: &Surroundings<'_>,
) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let Settings { mut api, mut engine, mut control, mut policy, store: limits } = raw.settings(&mut problems);
    if let Some(listen) = overrides.listen.clone().or(raw.api.listen.map(|listen| listen.0)) {
        api.listen = listen;
    }
    api.socket_group = raw.api.socket_group;
    let tls_files = (raw.api.tls_certificate, raw.api.tls_key);
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
    engine.kind = overrides.engine_kind.or(raw.engine.kind).unwrap_or_default();
    engine.host = overrides.engine_host.clone().or(raw.engine.host);
    engine.publish_address = raw.engine.publish_address;
    engine.host_network = raw.engine.host_network.unwrap_or(engine.host_network);
    control.host_network = engine.host_network;
    if let Some(interval) = overrides.interval {
        set_interval(interval, &mut control, &mut problems);
    }
    if control.backoff_base > control.backoff_max {
        problems
            .push("`control.backoff_base` is above `control.backoff_max`; lower it or raise the maximum".to_owned());
    }
    // A relative path starts at the folder of the configuration file.
    let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    policy.folder = raw.policy.folder.map(|path| folder.join(path));
    for source in policy.named.values_mut().filter_map(|named| named.source.as_mut()) {
        if let PolicyOrigin::File(path) = source {
            *path = folder.join(&path);
        }
    }
    api.tls = tls(tls_files, folder, &api.listen, &mut problems);
    engine.agents = raw.engine.agents.and_then(|agents| agents.check(folder, &mut problems));
    let discovery = raw.discovery.check(folder, &mut problems);
    let metric_sources = sources(raw.metric_sources, folder, &mut problems);
    let network = raw.network.check(&mut problems);
    let registries = registries(&raw.registries, &mut problems);
    control.profiles = profiles(&raw.profiles, &mut problems);
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
    let default_local = api.local_access();
    api.local = raw.api.local.filter(|local| *local != default_local);
    check_access(&api, insecure, &mut problems);
    let data_dir = overrides.data_dir.clone().or(raw.store.data_dir).or_else(|| default_data_dir(surroundings));
    let Some(data_dir) = data_dir.filter(|data_dir| !data_dir.as_os_str().is_empty()) else {
        problems.push("there is no home directory for the data; name a directory with `--data-dir`".to_owned());
        return Err(ConfigError::Invalid(problems));
    };
    if !problems.is_empty() {
        return Err(ConfigError::Invalid(problems));
    }
    let store = StoreSettings { data_dir, limits };
    Ok(Config {
        file,
        api,
        insecure,
        token_file,
        engine,
        control,
        policy,
        discovery,
        metric_sources,
        network,
        registries,
        store,
        log,
    })
}

/// The places of the API that the commands of the same machine can use: those of `serve`, without its flags. The defaults if
/// the file cannot be read, because it may be readable for the server only.
pub fn listen(file: Option<&Path>) -> Listen {
    let file = file.unwrap_or(Path::new(DEFAULT_FILE));
    let listen = read(file).ok().and_then(|raw| raw.api.listen);
    listen.map_or_else(|| ApiSettings::default().listen, |listen| listen.0)
}

/// The files of the certificate. Relative paths start at `folder`.
fn tls(
    files: (Option<PathBuf>, Option<PathBuf>),
    folder: &Path,
    listen: &Listen,
    problems: &mut Vec<String>,
) -> Option<TlsFiles> {
    let (certificate, key) = match files {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return None,
        (Some(_), None) | (None, Some(_)) => {
            let (set, missing) = if files.0.is_some() { ("certificate", "key") } else { ("key", "certificate") };
            problems.push(format!(
                "`api.tls_{set}` is set, but `api.tls_{missing}` is not; name both files, or none (`windlass tls init` \
                 makes them)"
            ));
            return None;
        }
    };
    if listen.tcp.is_none() {
        problems
            .push("`api.tls_certificate` is set, but `api.listen` has no address; add one, or remove it".to_owned());
    }
    Some(TlsFiles { certificate: folder.join(certificate), key: folder.join(key) })
}

/// Checks that the settings about callers agree.
fn check_access(api: &ApiSettings, insecure: bool, problems: &mut Vec<String>) {
    if api.token.is_none() && !api.listen.is_local() && !insecure {
        problems.push(format!(
            "`api.listen` is {}, which other machines can reach, but there is no token; name a file with a token \
             (`--token-file`, `api.token_file`), set WINDLASS_TOKEN, or pass `--insecure` to let anyone run containers",
            api.listen
        ));
    }
    if api.socket_group.is_some() && api.listen.socket.is_none() {
        problems.push(
            "`api.socket_group` is set, but `api.listen` has no Unix socket; add one such as \
             `unix:/run/windlass/windlass.sock`, or remove the group"
                .to_owned(),
        );
    }
    let is_limited = matches!(api.local, Some(LocalAccess::ReadOnly | LocalAccess::Off));
    if is_limited && api.token.is_none() && api.listen.socket.is_none() {
        problems.push(
            "`api.local` limits callers on this machine, but there is neither a token nor a Unix socket, so nobody could \
             change anything; set a token, or add a socket to `api.listen`"
                .to_owned(),
        );
    } else if is_limited && api.token.is_none() && !api.listen.is_local() {
        problems.push(
            "`api.local` limits callers on this machine, but `api.insecure` allows everything to callers on others; set a \
             token"
                .to_owned(),
        );
    }
}

/// The token and the file it came from. The environment overrides `api.token_file`. A `--token-file` together with a
/// token in the environment is an error.
fn token(
    overrides: &Overrides,
    file: Option<&PathBuf>,
    surroundings: &Surroundings<'_>,
    problems: &mut Vec<String>,
) -> Result<(Option<PathBuf>, Option<String>), ConfigError> {
    let from_environment = (surroundings.variable)("WINDLASS_TOKEN");
    let (path, text, origin) = match (&overrides.token_file, from_environment, file) {
        (Some(_), Some(_), _) => {
            problems
                .push("both WINDLASS_TOKEN and a token file (`--token-file`) are set; remove one of them".to_owned());
            return Ok((None, None));
        }
        (None, Some(text), _) => (None, text.to_string_lossy().into_owned(), "WINDLASS_TOKEN".to_owned()),
        (Some(path), None, _) | (None, None, Some(path)) => {
            let text = match read_secret(path) {
                Ok(text) => text,
                Err(PrivateError::Io(source)) => {
                    return Err(ConfigError::TokenUnreadable { path: path.clone(), source });
                }
                Err(PrivateError::Exposed(exposed)) => {
                    problems.push(format!("the token is not secret: {exposed}"));
                    // There is a token, so no problem is reported about a missing one.
                    return Ok((Some(path.clone()), Some(String::new())));
                }
            };
            (Some(path.clone()), text, format!("`{}`", path.display()))
        }
        (None, None, None) => return Ok((None, None)),
    };
    // The message never contains the token.
    let token = text.trim();
    if token.len() < MIN_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) {
        problems.push(format!(
            "the token in {origin} has {} bytes; expected at least {MIN_TOKEN} bytes of visible ASCII without spaces \
             (`openssl rand -hex 32` makes one)",
            token.len()
        ));
    }
    Ok((path, Some(token.to_owned())))
}

/// `/var/lib/windlass` for root, else the state folder in the user's home; `None` if there is no home.
pub(super) fn default_data_dir(surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    if surroundings.is_root {
        return Some("/var/lib/windlass".into());
    }
    // The XDG specification says to ignore a relative path in XDG_STATE_HOME.
    let directory = |name: &str| (surroundings.variable)(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = directory("XDG_STATE_HOME").or_else(|| directory("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("windlass"))
}

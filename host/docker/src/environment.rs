//! The process environment that affects how the engine is reached.

use std::path::{Path, PathBuf};

/// Values from the process environment, read once at start-up.
///
/// The default is an empty environment: the default socket, no credentials, no kernel files.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `DOCKER_HOST`: the engine's address unless the settings name one.
    pub host: Option<String>,
    /// `DOCKER_TLS_VERIFY` is set and not empty: `tcp://` means TLS.
    pub tls: bool,
    /// Folder with `ca.pem`, `cert.pem` and `key.pem`: `DOCKER_CERT_PATH`, else `config_folder`.
    pub certificate_folder: Option<PathBuf>,
    /// Folder with `config.json`: `DOCKER_CONFIG`, else `~/.docker`.
    pub config_folder: Option<PathBuf>,
    /// `/proc`, the source of resource use. If it does not exist, the engine's stats are used.
    pub proc_folder: PathBuf,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let config_folder = variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".docker")));
        Self {
            host: variable("DOCKER_HOST"),
            tls: variable("DOCKER_TLS_VERIFY").is_some(),
            certificate_folder: variable("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| config_folder.clone()),
            config_folder,
            proc_folder: PathBuf::from("/proc"),
        }
    }
}

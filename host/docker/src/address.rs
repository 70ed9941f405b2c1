//! The engine's address: where it comes from, which forms are supported, and how a client for it is built.

use crate::environment::Environment;
use bollard::Docker;
use bollard::errors::Error;
use std::fmt;
use std::path::PathBuf;
use windlass_core::engine::EngineError;
use windlass_core::settings::EngineSettings;

/// The engine's address if neither the settings nor the environment name one.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// bollard's own timeout, which ends at the response headers. It is out of the way because [`crate::client`] limits
/// each whole call.
const LIBRARY_TIMEOUT_SECONDS: u64 = 24 * 60 * 60;

/// The address of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// Path of a Unix socket.
    Socket(String),
    /// Plain HTTP: `host:port`.
    Plain(String),
    /// TLS: `host:port` and the folder of the certificates.
    Tls(String, PathBuf),
}

impl Address {
    /// Returns the address from the settings, else from the environment, else the default socket.
    ///
    /// # Errors
    /// If the text is not an address of a supported kind, or a TLS address has no certificate folder.
    pub(crate) fn find(settings: &EngineSettings, environment: &Environment) -> Result<Self, EngineError> {
        let text = settings.host.as_deref().or(environment.host.as_deref()).unwrap_or(DEFAULT_SOCKET);
        let invalid = || {
            EngineError::Refused(format!(
                "`{}` is not an engine address; use a socket path, `unix://`, `tcp://`, `http://` or `https://`",
                text.escape_debug()
            ))
        };
        let authority = |rest: &str, default_port: u16| {
            let rest = rest.trim_end_matches('/');
            let valid = !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']);
            match rest.parse::<http::uri::Authority>() {
                Ok(authority) if valid && authority.port_u16().is_some() => Ok(rest.to_owned()),
                Ok(_) if valid && has_no_port(rest) => Ok(format!("{rest}:{default_port}")),
                _ => Err(invalid()),
            }
        };
        let encrypted = |rest: &str| {
            let folder = environment.certificate_folder.clone().ok_or_else(|| {
                EngineError::Refused(
                    "an engine address with TLS needs client certificates; set DOCKER_CERT_PATH to the folder with \
                     `ca.pem`, `cert.pem` and `key.pem`"
                        .to_owned(),
                )
            })?;
            Ok(Self::Tls(authority(rest, 2376)?, folder))
        };
        match text.split_once("://") {
            None if text.starts_with('/') => Ok(Self::Socket(text.to_owned())),
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Socket(path.to_owned())),
            Some(("tcp", rest)) if environment.tls => encrypted(rest),
            Some(("https", rest)) => encrypted(rest),
            Some(("tcp" | "http", rest)) => Ok(Self::Plain(authority(rest, 2375)?)),
            _ => Err(invalid()),
        }
    }

    /// Builds a client. For TLS it reads the certificate files, so it blocks.
    pub(crate) fn client(&self) -> Result<Docker, Error> {
        let newest = bollard::API_DEFAULT_VERSION;
        match self {
            Self::Socket(path) => Docker::connect_with_unix(path, LIBRARY_TIMEOUT_SECONDS, newest),
            Self::Plain(authority) => {
                Docker::connect_with_http(&format!("http://{authority}"), LIBRARY_TIMEOUT_SECONDS, newest)
            }
            Self::Tls(authority, folder) => {
                // An error means that a provider is already installed, which is fine.
                let _ = rustls::crypto::ring::default_provider().install_default();
                Docker::connect_with_ssl(
                    &format!("https://{authority}"),
                    &folder.join("key.pem"),
                    &folder.join("cert.pem"),
                    &folder.join("ca.pem"),
                    LIBRARY_TIMEOUT_SECONDS,
                    newest,
                )
            }
        }
    }
}

fn has_no_port(text: &str) -> bool {
    text.ends_with(']') || !text.contains(':')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{path}"),
            Self::Plain(authority) => write!(f, "http://{authority}"),
            Self::Tls(authority, _) => write!(f, "https://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(configured: Option<&str>, environment: &Environment) -> Result<Address, EngineError> {
        let settings = EngineSettings { host: configured.map(str::to_owned), ..EngineSettings::default() };
        Address::find(&settings, environment)
    }

    #[test]
    fn the_settings_come_before_the_environment_before_the_default() {
        let environment = Environment { host: Some("unix:///env.sock".to_owned()), ..Environment::default() };
        assert_eq!(find(Some("/own.sock"), &environment), Ok(Address::Socket("/own.sock".to_owned())));
        assert_eq!(find(None, &environment), Ok(Address::Socket("/env.sock".to_owned())));
        assert_eq!(find(None, &Environment::default()), Ok(Address::Socket(DEFAULT_SOCKET.to_owned())));
    }

    #[test]
    fn tcp_is_tls_where_the_environment_says_so() {
        let plain = Environment::default();
        let tls = Environment { tls: true, certificate_folder: Some("/certs".into()), ..Environment::default() };
        assert_eq!(find(Some("tcp://engine:2375"), &plain), Ok(Address::Plain("engine:2375".to_owned())));
        assert_eq!(find(Some("tcp://[::1]"), &plain), Ok(Address::Plain("[::1]:2375".to_owned())));
        assert_eq!(find(Some("tcp://engine:2376"), &tls), Ok(Address::Tls("engine:2376".to_owned(), "/certs".into())));
        assert_eq!(find(Some("https://engine"), &tls), Ok(Address::Tls("engine:2376".to_owned(), "/certs".into())));
        assert_eq!(find(Some("http://engine:80/"), &tls), Ok(Address::Plain("engine:80".to_owned())));
        assert!(
            find(Some("https://engine"), &plain).is_err_and(|error| error.to_string().contains("DOCKER_CERT_PATH"))
        );
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "ssh://engine",
            "npipe:////./pipe/x",
            "relative.sock",
            "tcp://",
            "tcp://a/b",
            "",
            "unix://x",
            "tcp://a:99999",
        ] {
            assert!(matches!(find(Some(text), &Environment::default()), Err(EngineError::Refused(_))), "{text:?}");
        }
    }
}

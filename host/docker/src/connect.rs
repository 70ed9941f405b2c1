//! Reaching the engine: where it listens, a client made when it is first needed, a time limit on every call.

use crate::failure::Failure;
use bollard::errors::Error;
use bollard::{BollardRequest, ClientVersion, Docker};
use http::HeaderValue;
use http::header::USER_AGENT;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::OnceCell;
use windlass_core::engine::EngineError;
use windlass_core::error_chain;
use windlass_core::settings::EngineSettings;

/// Where an engine listens when nothing says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The oldest API that is spoken: that of Docker 20.10.
const OLDEST_API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
/// bollard's own limit ends at the response's headers, and ours is around each call: its is out of the way.
const LIBRARY_TIMEOUT_SECONDS: u64 = 24 * 60 * 60;

/// What is taken from the environment of the process, read once.
///
/// The default is an empty one: the default socket, no credentials, no files of the kernel.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `DOCKER_HOST`: where the engine listens unless the settings say it.
    pub host: Option<String>,
    /// `DOCKER_TLS_VERIFY` is set and not empty: `tcp://` means TLS.
    pub tls: bool,
    /// Folder with `ca.pem`, `cert.pem` and `key.pem`: `DOCKER_CERT_PATH`, else `config_folder`.
    pub certificate_folder: Option<PathBuf>,
    /// Folder with `config.json`: `DOCKER_CONFIG`, else `~/.docker`.
    pub config_folder: Option<PathBuf>,
    /// `/proc`, from which resource use is read; where there is none, the engine is asked.
    pub proc_folder: PathBuf,
}

impl Environment {
    /// The environment of this process.
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

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket file.
    Socket(String),
    /// Plain HTTP: `host:port`.
    Plain(String),
    /// TLS: `host:port`, and the folder of its certificates.
    Tls(String, PathBuf),
}

impl Address {
    /// Where the settings, else the environment, say that the engine listens.
    ///
    /// # Errors
    /// When the text is no address of a kind that is spoken here.
    pub(crate) fn find(settings: &EngineSettings, environment: &Environment) -> Result<Self, EngineError> {
        let text = settings.host.as_deref().or(environment.host.as_deref()).unwrap_or(DEFAULT_SOCKET);
        let refuse = || {
            EngineError::Refused(format!(
                "`{}` is no address of an engine; expected a socket path, `unix://`, `tcp://`, `http://` or `https://`",
                text.escape_debug()
            ))
        };
        let authority = |rest: &str, default_port: u16| {
            let rest = rest.trim_end_matches('/');
            let valid = !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']);
            match rest.parse::<http::uri::Authority>() {
                Ok(authority) if valid && authority.port_u16().is_some() => Ok(rest.to_owned()),
                Ok(_) if valid && authority_has_no_port(rest) => Ok(format!("{rest}:{default_port}")),
                _ => Err(refuse()),
            }
        };
        let encrypted = |rest: &str| {
            let folder = environment.certificate_folder.clone().ok_or_else(|| {
                EngineError::Refused(
                    "an engine behind TLS needs certificates: set DOCKER_CERT_PATH to the folder of `ca.pem`, \
                     `cert.pem` and `key.pem`"
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
            _ => Err(refuse()),
        }
    }

    fn client(&self) -> Result<Docker, Error> {
        let newest = bollard::API_DEFAULT_VERSION;
        match self {
            Self::Socket(path) => Docker::connect_with_unix(path, LIBRARY_TIMEOUT_SECONDS, newest),
            Self::Plain(authority) => {
                Docker::connect_with_http(&format!("http://{authority}"), LIBRARY_TIMEOUT_SECONDS, newest)
            }
            Self::Tls(authority, folder) => {
                // An error means that one is installed: that is what is wanted.
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

fn authority_has_no_port(text: &str) -> bool {
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

/// What does not change while an engine lives, asked at the first contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// It listens on a socket file.
    pub(crate) socket: bool,
    /// It runs in namespaces of its own, and its networks with it.
    pub(crate) rootless: bool,
    /// Windlass itself runs in a container.
    pub(crate) in_container: bool,
    /// The address of the machine it runs on, seen from beside Windlass; none: its name has no address.
    pub(crate) host: Option<IpAddr>,
}

impl Facts {
    /// Addresses in the engine's networks are reached from here. `seen`: a container's process was seen on
    /// this machine, which is what tells an engine here from one in a virtual machine behind a socket.
    pub(crate) fn reaches_networks(self, seen: bool) -> bool {
        self.socket && !self.rootless && (seen || self.in_container)
    }

    /// Where ports on the engine's host are reached from here; none: Windlass is in a container, and the host
    /// is somewhere around it.
    pub(crate) fn host(self, seen: bool) -> Option<IpAddr> {
        self.host.filter(|_| seen || !(self.socket && self.in_container))
    }
}

/// A client of one engine. It need not be there yet: the client is made when it is first needed, and every
/// request is a connection of its own, so that an engine that returns is simply reached again.
#[derive(Clone)]
pub(crate) struct EngineClient {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    call_timeout: Duration,
    client: OnceLock<Docker>,
    /// The API version put in front of each path: minor version of 1.x, 0 until it was negotiated.
    api: Arc<AtomicUsize>,
    facts: OnceCell<Facts>,
}

impl EngineClient {
    pub(crate) fn new(address: Address, call_timeout: Duration) -> Self {
        let shared = Shared {
            address,
            call_timeout,
            client: OnceLock::new(),
            api: Arc::new(AtomicUsize::new(0)),
            facts: OnceCell::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.shared.address
    }

    /// The time limit of a short call.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.shared.call_timeout
    }

    /// A short call, under its time limit. `operation` says what is asked, for people.
    pub(crate) async fn call<T, F, Answer>(&self, operation: &str, ask: F) -> Result<T, Failure>
    where
        F: FnOnce(Docker) -> Answer,
        Answer: Future<Output = Result<T, Error>>,
    {
        self.call_within(self.shared.call_timeout, operation, ask).await
    }

    /// A call under a time limit of its own.
    pub(crate) async fn call_within<T, F, Answer>(&self, limit: Duration, operation: &str, ask: F) -> Result<T, Failure>
    where
        F: FnOnce(Docker) -> Answer,
        Answer: Future<Output = Result<T, Error>>,
    {
        let timed_out = || Failure::TimedOut { operation: operation.to_owned(), limit };
        match tokio::time::timeout(limit, async { ask(self.client().await?).await }).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Error::RequestTimeoutError)) | Err(_) => Err(timed_out()),
            Ok(Err(error)) => Err(match Failure::from(error) {
                Failure::Unavailable(reason) => Failure::Unavailable(format!("{}: {reason}", self.address())),
                failure => failure,
            }),
        }
    }

    /// What is known of the engine; none: it has not answered yet.
    pub(crate) fn known_facts(&self) -> Option<Facts> {
        self.shared.facts.get().copied()
    }

    /// What is known of the engine; asked when it first answers.
    pub(crate) async fn facts(&self) -> Result<Facts, Failure> {
        self.shared.facts.get_or_try_init(|| self.first_contact()).await.copied()
    }

    async fn first_contact(&self) -> Result<Facts, Failure> {
        let docker = self.call("negotiate the API version", Docker::negotiate_version).await?;
        let version = docker.client_version();
        if version < OLDEST_API {
            return Err(Failure::Unavailable(format!("it speaks API {version}; {OLDEST_API} or newer is needed")));
        }
        let info = self.call("ask what the engine is", |docker| async move { docker.info().await }).await?;
        let rootless =
            info.security_options.unwrap_or_default().iter().any(|option| option.starts_with("name=rootless"));
        let host = match self.address() {
            Address::Socket(_) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Address::Plain(authority) | Address::Tls(authority, _) => {
                let found = tokio::time::timeout(self.shared.call_timeout, tokio::net::lookup_host(authority.as_str()));
                match found.await {
                    Ok(Ok(mut addresses)) => addresses.next().map(|address| address.ip()),
                    Ok(Err(_)) | Err(_) => None,
                }
            }
        };
        // From here on the answers keep the shape that the library knows, whatever a newer engine has.
        self.shared.api.store(version.minor_version, Ordering::Relaxed);
        tracing::info!(address = %self.address(), api = %version, "engine answers");
        Ok(Facts {
            socket: matches!(self.address(), Address::Socket(_)),
            rootless,
            in_container: Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists(),
            host,
        })
    }

    /// The client; for streams, which have time limits of their own.
    pub(crate) async fn client(&self) -> Result<Docker, Error> {
        if let Some(docker) = self.shared.client.get() {
            return Ok(docker.clone());
        }
        let docker = match &self.shared.address {
            // Reads the system's certificates from files.
            address @ Address::Tls(..) => {
                let address = address.clone();
                tokio::task::spawn_blocking(move || address.client())
                    .await
                    .map_err(|error| Error::IOError { err: std::io::Error::other(error_chain(&error)) })??
            }
            address => address.client()?,
        };
        let api = Arc::clone(&self.shared.api);
        let docker = docker.with_request_modifier(move |request| prepare(request, api.load(Ordering::Relaxed)));
        Ok(self.shared.client.get_or_init(|| docker).clone())
    }
}

/// The last touch on each request: our name, the negotiated version in the path (bollard leaves it out),
/// and credentials in the alphabet engines read (RFC 4648 section 5; bollard writes that of section 4, and
/// an engine takes what it cannot read for no credentials).
fn prepare(mut request: BollardRequest, api_minor: usize) -> BollardRequest {
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION"))));
    if let Some(credentials) = request.headers_mut().get_mut("X-Registry-Auth") {
        let translated: Vec<u8> = credentials
            .as_bytes()
            .iter()
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        if let Ok(mut value) = HeaderValue::from_bytes(&translated) {
            value.set_sensitive(true);
            *credentials = value;
        }
    }
    if api_minor > 0 {
        let mut parts = request.uri().clone().into_parts();
        let versioned = parts.path_and_query.as_ref().map(|path| format!("/v1.{api_minor}{path}"));
        if let Some(Ok(path)) = versioned.map(|text| text.parse()) {
            parts.path_and_query = Some(path);
            if let Ok(uri) = http::Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

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

    #[test]
    fn an_engine_behind_a_socket_may_still_be_elsewhere() {
        let host = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let here = Facts { socket: true, rootless: false, in_container: false, host };
        assert!(here.reaches_networks(true));
        assert!(!here.reaches_networks(false), "a virtual machine");
        assert_eq!(here.host(false), host);
        let inside = Facts { in_container: true, ..here };
        assert!(inside.reaches_networks(false), "on the same network");
        assert_eq!((inside.host(false), inside.host(true)), (None, host));
        assert!(!Facts { rootless: true, ..here }.reaches_networks(true));
        assert!(!Facts { socket: false, ..here }.reaches_networks(true));
    }

    #[test]
    fn requests_bear_the_version_and_credentials_engines_can_read() {
        let body = bollard::body_full(Bytes::new());
        let request = http::Request::builder()
            .uri("unix://2f/containers/json?all=true")
            .header("X-Registry-Auth", "a+b/c=")
            .body(body)
            .unwrap();
        let request = prepare(request, 41);
        assert_eq!(request.uri(), "unix://2f/v1.41/containers/json?all=true");
        assert_eq!(request.headers()["X-Registry-Auth"], "a-b_c=");
        let untouched = http::Request::builder().uri("unix://2f/_ping").body(bollard::body_full(Bytes::new())).unwrap();
        assert_eq!(prepare(untouched, 0).uri(), "unix://2f/_ping");
    }
}

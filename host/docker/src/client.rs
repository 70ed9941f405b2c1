//! The client of one engine: connects on first use and limits the time of every call.

use crate::address::Address;
use crate::call_error::CallError;
use crate::endpoint::endpoint;
use crate::request::prepare;
use crate::socket_access::denial;
use bollard::errors::Error;
use bollard::{BollardRequest, ClientVersion, Docker};
use parking_lot::Mutex;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::OnceCell;
use windlass_core::error_chain;

/// The oldest supported API version, that of Docker 20.10.
const OLDEST_API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// The method and the path of a client's last request.
type LastRequest = Arc<Mutex<Option<(String, String)>>>;

/// Properties of the engine that do not change while it runs; read on first contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EngineInfo {
    /// The engine listens on a Unix socket.
    pub(crate) socket: bool,
    /// The engine runs in its own namespaces, and so do its networks.
    pub(crate) rootless: bool,
    /// Windlass itself runs in a container.
    pub(crate) in_container: bool,
    /// Address of the engine's machine as seen from Windlass's machine. `None` if its name does not resolve.
    pub(crate) host: Option<IpAddr>,
}

impl EngineInfo {
    /// Whether addresses in the engine's networks are reachable from here. `is_local` means that a container process
    /// was found on this machine. That distinguishes a local engine from one in a virtual machine behind a socket.
    pub(crate) fn reaches_networks(self, is_local: bool) -> bool {
        self.socket && !self.rootless && (is_local || self.in_container)
    }

    /// The address at which ports published on the engine's host are reachable from here. `None` if it is unknown: its
    /// name does not resolve, or Windlass runs in a container and that host is somewhere around it.
    pub(crate) fn host(self, is_local: bool) -> Option<IpAddr> {
        self.host.filter(|_| is_local || !(self.socket && self.in_container))
    }
}

/// A client of one engine, which may be offline when the client is created. Every request uses a new connection, so an
/// engine that comes back is reached again.
#[derive(Clone)]
pub(crate) struct EngineClient {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    call_timeout: Duration,
    client: OnceLock<Docker>,
    /// Minor version of API 1.x, added to each path; 0 until it is negotiated.
    api: Arc<AtomicUsize>,
    info: OnceCell<EngineInfo>,
}

impl EngineClient {
    pub(crate) fn new(address: Address, call_timeout: Duration) -> Self {
        let inner = Inner {
            address,
            call_timeout,
            client: OnceLock::new(),
            api: Arc::new(AtomicUsize::new(0)),
            info: OnceCell::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.inner.address
    }

    /// The time limit of a short call.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.inner.call_timeout
    }

    /// Makes a short call within [`EngineClient::call_timeout`]. `operation` describes the call in error messages.
    pub(crate) async fn call<T, F, Fut>(&self, operation: &str, send: F) -> Result<T, CallError>
    where
        F: FnOnce(Docker) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        self.call_within(self.inner.call_timeout, operation, send).await
    }

    /// Makes a call within its own time limit.
    pub(crate) async fn call_within<T, F, Fut>(&self, limit: Duration, operation: &str, send: F) -> Result<T, CallError>
    where
        F: FnOnce(Docker) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        self.call_modified(limit, operation, |request| request, send).await
    }

    /// Makes a call within its own time limit, and modifies its requests before they are recorded and sent.
    pub(crate) async fn call_modified<T, F, Fut>(
        &self,
        limit: Duration,
        operation: &str,
        modify: impl Fn(BollardRequest) -> BollardRequest + Send + Sync + 'static,
        send: F,
    ) -> Result<T, CallError>
    where
        F: FnOnce(Docker) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let timed_out = || CallError::TimedOut { operation: operation.to_owned(), limit };
        let last = LastRequest::default();
        match tokio::time::timeout(limit, async { send(self.recording(&last, modify).await?).await }).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Error::RequestTimeoutError)) | Err(_) => Err(timed_out()),
            Ok(Err(error)) => Err(match self.denial(&error).unwrap_or_else(|| CallError::from(error)) {
                CallError::Unavailable(reason) => CallError::Unavailable(format!("{}: {reason}", self.address())),
                // An engine hardly ever answers so. A proxy does that allows only some endpoints.
                CallError::Response { status: status @ (401 | 403 | 405), message } => {
                    let (method, path) = last.lock().take().unwrap_or_default();
                    let (endpoint, usage) = endpoint(&method, &path);
                    let usage = if usage.is_empty() { "" } else { &format!(" ({usage})") };
                    let message = message.lines().next().unwrap_or_default();
                    let message = format!(
                        "`{endpoint}` was refused with status {status}: {message}; allow it in the proxy in front of \
                         the engine{usage}"
                    );
                    CallError::Response { status, message }
                }
                error => error,
            }),
        }
    }

    /// The error of a socket that this process may not open. `None` if the error has another cause.
    fn denial(&self, error: &Error) -> Option<CallError> {
        match self.address() {
            Address::Socket(path) => denial(error, path).map(CallError::Unavailable),
            Address::Plain(_) | Address::Tls(..) => None,
        }
    }

    /// A client that records the method and the path of its last request, without the API version.
    async fn recording(
        &self,
        last: &LastRequest,
        modify: impl Fn(BollardRequest) -> BollardRequest + Send + Sync + 'static,
    ) -> Result<Docker, Error> {
        let (last, api) = (Arc::clone(last), Arc::clone(&self.inner.api));
        Ok(self.client().await?.with_request_modifier(move |request| {
            let request = modify(request);
            *last.lock() = Some((request.method().to_string(), request.uri().path().to_owned()));
            prepare(request, api.load(Ordering::Relaxed))
        }))
    }

    /// The engine's properties. `None` if it has not answered yet.
    pub(crate) fn known_info(&self) -> Option<EngineInfo> {
        self.inner.info.get().copied()
    }

    /// The engine's properties, read when it first answers.
    pub(crate) async fn info(&self) -> Result<EngineInfo, CallError> {
        self.inner.info.get_or_try_init(|| self.first_contact()).await.copied()
    }

    async fn first_contact(&self) -> Result<EngineInfo, CallError> {
        let docker = self.call("negotiate the API version", Docker::negotiate_version).await?;
        let version = docker.client_version();
        if version < OLDEST_API {
            return Err(CallError::Unavailable(format!(
                "{}: the engine supports API {version} at most, and windlass needs {OLDEST_API}; upgrade the engine",
                self.address()
            )));
        }
        let options = match self.call("read the engine's properties", |docker| async move { docker.info().await }).await
        {
            Ok(info) => info.security_options.unwrap_or_default(),
            Err(CallError::Response { message, .. }) => {
                tracing::warn!(reason = message, "the engine's properties are unknown");
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let rootless = options.iter().any(|option| option.starts_with("name=rootless"));
        let host = match self.address() {
            Address::Socket(_) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Address::Plain(authority) | Address::Tls(authority, _) => {
                let found = tokio::time::timeout(self.inner.call_timeout, tokio::net::lookup_host(authority.as_str()));
                match found.await {
                    Ok(Ok(mut addresses)) => addresses.next().map(|address| address.ip()),
                    Ok(Err(_)) | Err(_) => None,
                }
            }
        };
        // Pins responses to the format the library knows, even if the engine supports a newer API.
        self.inner.api.store(version.minor_version, Ordering::Relaxed);
        tracing::info!(address = %self.address(), api = %version, "connected to the engine");
        Ok(EngineInfo {
            socket: matches!(self.address(), Address::Socket(_)),
            rootless,
            in_container: Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists(),
            host,
        })
    }

    /// The client itself, for streams, which have their own time limits.
    pub(crate) async fn client(&self) -> Result<Docker, Error> {
        if let Some(docker) = self.inner.client.get() {
            return Ok(docker.clone());
        }
        let docker = match &self.inner.address {
            // Building it reads certificate files.
            address @ Address::Tls(..) => {
                let address = address.clone();
                tokio::task::spawn_blocking(move || address.client())
                    .await
                    .map_err(|error| Error::IOError { err: std::io::Error::other(error_chain(&error)) })??
            }
            address => address.client()?,
        };
        let api = Arc::clone(&self.inner.api);
        let docker = docker.with_request_modifier(move |request| prepare(request, api.load(Ordering::Relaxed)));
        Ok(self.inner.client.get_or_init(|| docker).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_behind_a_socket_may_still_be_elsewhere() {
        let host = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let here = EngineInfo { socket: true, rootless: false, in_container: false, host };
        assert!(here.reaches_networks(true));
        assert!(!here.reaches_networks(false), "a virtual machine");
        assert_eq!(here.host(false), host);
        let inside = EngineInfo { in_container: true, ..here };
        assert!(inside.reaches_networks(false), "on the same network");
        assert_eq!((inside.host(false), inside.host(true)), (None, host));
        assert!(!EngineInfo { rootless: true, ..here }.reaches_networks(true));
        assert!(!EngineInfo { socket: false, ..here }.reaches_networks(true));
    }
}

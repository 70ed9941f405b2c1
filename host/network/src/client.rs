//! The client that sends every request: it checks the addresses that it connects to, and bounds each response.

use crate::addresses::{Denial, Rules};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Request, Response, Url};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use windlass_core::net::{NetError, Reach};
use windlass_core::root_cause;

/// Time limit of a connection with its TLS handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Headers of a response, and their bytes. While headers arrive, hyper stops at this number, and at 408 KiB.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 << 10;

tokio::task_local! {
    /// The port of the request that the task sends. The resolver gets only the name.
    static PORT: u16;
    /// The address of the host, for a request whose name is only that of the certificate.
    static ADDRESS: SocketAddr;
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("nothing is sent to {target}: {denial}")]
    Denied { target: String, denial: Denial },
    #[error("the response has more than {MAX_HEADER_BYTES} bytes of headers")]
    LongHeaders,
    #[error("the response body has more than {0} bytes")]
    LongBody(u64),
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

impl From<ClientError> for NetError {
    fn from(error: ClientError) -> Self {
        Self::Failed(root_cause(&error))
    }
}

/// A client for targets of one kind. Its connections are not shared with other kinds, because each was checked for one.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    guard: Guard,
}

impl Client {
    /// Finishes a client that uses no proxy and follows no redirect.
    pub(crate) fn build(builder: ClientBuilder, rules: &Arc<Rules>, reach: Reach) -> Result<Self, NetError> {
        let agent = concat!("windlass/", env!("CARGO_PKG_VERSION"));
        let guard = Guard { rules: Arc::clone(rules), reach };
        let builder = builder.user_agent(agent).no_proxy().redirect(Policy::none()).referer(false);
        let builder = builder.connect_timeout(CONNECT_LIMIT).http1_max_headers(MAX_HEADERS);
        let http = builder.dns_resolver(guard.clone()).build();
        Ok(Self { http: http.map_err(|error| NetError::Failed(root_cause(&error)))?, guard })
    }

    /// The library's client, to build requests for [`Client::send`].
    pub(crate) fn requests(&self) -> &reqwest::Client {
        &self.http
    }

    /// Sends a request, and returns the response without its body.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, ClientError> {
        let port = request.url().port_or_known_default().unwrap_or_default();
        // The library does not resolve an address, so it is checked here.
        if let Some(ip) = address(request.url()) {
            let denied = |denial| ClientError::Denied { target: ip.to_string(), denial };
            self.guard.rules.check(ip, Some(port), self.guard.reach).map_err(denied)?;
        }
        let response = PORT.scope(port, self.http.execute(request)).await?;
        let bytes: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > MAX_HEADER_BYTES {
            return Err(ClientError::LongHeaders);
        }
        Ok(response)
    }

    /// Sends a request to an address, whatever the name in its URL stands for. The port of both is the same. The server's
    /// certificate is for the name.
    pub(crate) async fn send_to(&self, address: SocketAddr, request: Request) -> Result<Response, ClientError> {
        ADDRESS.scope(address, self.send(request)).await
    }
}

/// The host of an address, if it is an IP address.
fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The treatment of a body that is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    IsAnError,
    IsNotRead,
}

/// Reads at most `longest` bytes of a body.
pub(crate) async fn body(response: &mut Response, longest: u64, excess: Excess) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let free = usize::try_from(longest).unwrap_or(usize::MAX) - body.len();
        if chunk.len() <= free {
            body.extend_from_slice(&chunk);
        } else if excess == Excess::IsAnError {
            return Err(ClientError::LongBody(longest));
        } else {
            body.extend_from_slice(&chunk[..free]);
            break;
        }
    }
    Ok(body)
}

/// Resolves names, and returns the addresses that may be reached.
#[derive(Debug, Clone)]
struct Guard {
    rules: Arc<Rules>,
    reach: Reach,
}

impl Guard {
    fn known(&self, address: SocketAddr) -> Result<Vec<SocketAddr>, ClientError> {
        let denied = |denial| ClientError::Denied { target: address.ip().to_string(), denial };
        self.rules.check(address.ip(), Some(address.port()), self.reach).map_err(denied)?;
        Ok(vec![address])
    }

    async fn resolved(&self, host: &str, port: Option<u16>) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let (mut allowed, mut denied) = (Vec::new(), None);
        for address in tokio::net::lookup_host((host, 0)).await? {
            let ip = address.ip();
            match self.rules.check(ip, port, self.reach) {
                Ok(()) => allowed.push(address),
                Err(denial) => {
                    denied = Some(ClientError::Denied { target: format!("{ip}, an address of `{host}`"), denial });
                }
            }
        }
        match denied {
            Some(error) if allowed.is_empty() => Err(error.into()),
            _ => Ok(allowed),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        // Outside of a request, every port counts.
        let port = PORT.try_with(|port| *port).ok();
        let known = ADDRESS.try_with(|address| *address).ok();
        Box::pin(async move {
            let addresses = match known {
                Some(address) => guard.known(address)?,
                None => guard.resolved(name.as_str(), port).await?,
            };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Checks an address to which no HTTP is sent.
///
/// # Errors
/// If requests may not reach the address.
pub(crate) fn check(rules: &Rules, address: SocketAddr, reach: Reach) -> Result<(), NetError> {
    let denied = |denial| ClientError::Denied { target: address.ip().to_string(), denial };
    rules.check(address.ip(), Some(address.port()), reach).map_err(|denial| denied(denial).into())
}

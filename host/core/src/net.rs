//! The traits of the network: probes of replicas, notifications, metric queries, requests that policies were granted, and
//! requests to registries.

use crate::{Credentials, DurationMs, HttpProbe, Origin, SourceUrl, Timestamp};
use async_trait::async_trait;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a network call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// There was no response within the time limit.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The connection was refused, or the response was not acceptable.
    #[error("{0}")]
    Failed(String),
}

/// The addresses that a request may reach. No request reaches a listener of Windlass itself, a link-local address or the
/// metadata service of a cloud. The client checks the addresses that it connects to, after resolving the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A replica, at the address that the engine reports: every other address.
    Replica,
    /// A target that a person configured: private addresses as `[network]` allows.
    Configured,
    /// A target that an answer named: public addresses, and the networks of `network.allowed_networks`.
    Public,
}

/// A `GET` request to the source of a metric.
#[derive(Debug, Clone, Copy)]
pub struct SourceRequest<'a> {
    /// The address.
    pub url: &'a SourceUrl,
    /// The endpoint: the path of the address is a prefix of it, unless the address ends with it already. Empty for a
    /// document.
    pub endpoint: &'a str,
    /// Parameters in addition to those of the address.
    pub query: &'a [(&'a str, &'a str)],
    /// The credentials in the definition of the metric.
    pub credentials: &'a Credentials,
}

/// The response of the source of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceResponse {
    /// The status.
    pub status: http::StatusCode,
    /// The target of a redirect. `None` if there is none.
    pub location: Option<String>,
    /// The time of the response by the server's clock. `None` if the server does not send it.
    pub date: Option<Timestamp>,
    /// The body, not compressed.
    pub body: bytes::Bytes,
}

/// The network for the control loop. Every call ends within its `timeout`.
#[async_trait]
pub trait Net: Send + Sync + 'static {
    /// Sends an HTTP probe's request to `address`, which already contains the port, and checks the response. No
    /// redirect is followed. Returns the response time in milliseconds.
    async fn http_probe(
        &self,
        address: SocketAddr,
        probe: &HttpProbe,
        timeout: Duration,
    ) -> Result<DurationMs, NetError>;

    /// Opens a TCP connection and closes it. Returns the time in milliseconds that opening it took.
    ///
    /// With `behind_proxy`, a connection that the other side closes at once is a failure: an engine's port proxy accepts
    /// every connection, and closes it if nothing listens in the container.
    async fn tcp_connect(
        &self,
        address: SocketAddr,
        behind_proxy: bool,
        timeout: Duration,
    ) -> Result<DurationMs, NetError>;

    /// Sends a request to the source of a metric. Any status is a response, with at most `longest` bytes of body; no
    /// redirect is followed.
    async fn query_source(
        &self,
        request: &SourceRequest<'_>,
        longest: u64,
        timeout: Duration,
    ) -> Result<SourceResponse, NetError>;

    /// Sends `POST url` with a JSON body. A status of 200 to 299 is success; no redirect is followed.
    async fn post_json(
        &self,
        url: &str,
        reach: Reach,
        body: &serde_json::Value,
        timeout: Duration,
    ) -> Result<(), NetError>;
}

/// Sends prepared requests unchanged: no proxy, no cookie kept, and no redirect followed unless a rule allows it.
#[async_trait]
pub trait HttpSender: Send + Sync + 'static {
    /// Returns the response. Dropping the future cancels the request.
    ///
    /// # Errors
    /// If there was no response, if the response exceeds the allowance, or if a rule rejects a redirect.
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
        allowance: Allowance<'_>,
    ) -> Result<http::Response<bytes::Bytes>, SendError>;
}

/// The limits of one request and its response.
#[derive(Clone, Copy)]
pub struct Allowance<'a> {
    /// The addresses that the request may reach.
    pub reach: Reach,
    /// Bytes of the response body.
    pub body_bytes: u64,
    /// Bytes kept of the body of a response whose status is not 200 to 299; the rest is not read. `None`: `body_bytes`
    /// applies, and a longer body is an error.
    pub error_bytes: Option<u64>,
    /// The rule for redirects of a `GET` request. `None`: a redirect is returned as the response.
    pub redirects: Option<&'a dyn RedirectRule>,
}

/// Decides about each redirect of a request.
///
/// The client itself never follows a redirect from HTTPS to HTTP, and sends credentials only to the host of the first
/// request.
pub trait RedirectRule: Send + Sync {
    /// The addresses that the request may reach at the redirect's target.
    ///
    /// # Errors
    /// The reason why the redirect is not followed.
    fn follow(&self, target: &Origin) -> Result<Reach, String>;
}

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The response body is longer than allowed.
    #[error("the response body has more than {0} bytes")]
    TooLong(u64),
    /// The certificate of the server is from an authority that this machine does not know.
    #[error("{0}")]
    UnknownAuthority(String),
    /// The server answered the TLS handshake with something else, or not at all.
    #[error("{0}")]
    NotTls(String),
    /// The request could not be sent, or the response not be read.
    #[error("{0}")]
    Failed(String),
}

//! The traits of the network: probes of replicas, notifications, metric queries, and requests that policies were
//! granted.

use crate::{Credentials, DurationMs, HttpProbe, SourceUrl, Timestamp};
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

    /// Sends `POST url` with a JSON body. A status of 200 to 299 is success.
    async fn post_json(&self, url: &str, body: &serde_json::Value, timeout: Duration) -> Result<(), NetError>;
}

/// Sends prepared requests unchanged: no proxy, no redirect followed, no cookie kept.
#[async_trait]
pub trait HttpSender: Send + Sync + 'static {
    /// Returns the response with at most `longest` bytes of body. Dropping the future cancels the request.
    ///
    /// # Errors
    /// If there was no response, or its body is longer.
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
        longest: u64,
    ) -> Result<http::Response<bytes::Bytes>, SendError>;
}

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The response body is longer than allowed.
    #[error("the response body has more than {0} bytes")]
    TooLong(u64),
    /// The request could not be sent, or the response not be read.
    #[error("{0}")]
    Failed(String),
}

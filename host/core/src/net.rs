//! The traits of the network: probes of replicas, notifications, metric queries, and requests that policies were
//! granted.

use crate::{DurationMs, HttpProbe};
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

    /// Sends `GET url` with this query and returns the body, at most `longest` bytes. A status of 200 to 299 is
    /// success; no redirect is followed.
    async fn get(
        &self,
        url: &str,
        query: &[(&str, &str)],
        longest: u64,
        timeout: Duration,
    ) -> Result<bytes::Bytes, NetError>;

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

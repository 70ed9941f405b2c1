//! What Windlass asks of the network itself: probes of replicas, notices to callbacks, and what policies were granted.

use crate::{DurationMs, HttpProbe};
use async_trait::async_trait;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a question over the network got no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Nothing came within the time limit.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// An answer came, or a refusal to connect, and it was not a good one.
    #[error("{0}")]
    Failed(String),
}

/// The network, as the control loop sees it. Every call ends within its `timeout`.
#[async_trait]
pub trait Net: Send + Sync + 'static {
    /// Asks an HTTP probe's question at `address`, which stands for its port; its answer must be as the probe expects.
    /// No redirect is followed. Returns the milliseconds it took.
    async fn http_probe(
        &self,
        address: SocketAddr,
        probe: &HttpProbe,
        timeout: Duration,
    ) -> Result<DurationMs, NetError>;

    /// Opens a TCP connection and closes it. Returns the milliseconds it took.
    async fn tcp_connect(&self, address: SocketAddr, timeout: Duration) -> Result<DurationMs, NetError>;

    /// `GET url` with these pairs as its query; a status of 200 to 299 is good, no redirect is followed. Gives the body,
    /// at most `longest` bytes.
    async fn get(
        &self,
        url: &str,
        query: &[(&str, &str)],
        longest: u64,
        timeout: Duration,
    ) -> Result<bytes::Bytes, NetError>;

    /// `POST url` with a JSON body; a status of 200 to 299 is good.
    async fn post_json(&self, url: &str, body: &serde_json::Value, timeout: Duration) -> Result<(), NetError>;
}

/// Sends requests that were made elsewhere, as they are: no proxy, no redirect followed, no cookie kept.
#[async_trait]
pub trait HttpSender: Send + Sync + 'static {
    /// The answer, with at most `longest` bytes of body. It ends when the returned future is dropped.
    ///
    /// # Errors
    /// When none came, or a longer one.
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
        longest: u64,
    ) -> Result<http::Response<bytes::Bytes>, SendError>;
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The body of the answer has more bytes than were wanted.
    #[error("the answer has more than {0} bytes")]
    TooLong(u64),
    /// It could not be sent, or its answer not be read.
    #[error("{0}")]
    Failed(String),
}

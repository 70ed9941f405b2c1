//! A network without any server.

use std::net::SocketAddr;
use std::time::Duration;
use windlass_core::net::{Net, NetError, Reach, SourceRequest, SourceResponse};
use windlass_core::{DurationMs, HttpProbe};

/// Refuses probes and queries; posts nothing anywhere.
#[derive(Debug)]
pub struct Nobody;

#[async_trait::async_trait]
impl Net for Nobody {
    async fn http_probe(&self, _: SocketAddr, _: &HttpProbe, _: Duration) -> Result<DurationMs, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn tcp_connect(&self, _: SocketAddr, _: bool, _: Duration) -> Result<DurationMs, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn query_source(&self, _: &SourceRequest<'_>, _: u64, _: Duration) -> Result<SourceResponse, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn post_json(&self, _: &str, _: Reach, _: &serde_json::Value, _: Duration) -> Result<(), NetError> {
        Ok(())
    }
}

//! [`Net`] and [`HttpSender`] implemented with reqwest; only this crate names it.

pub mod remote;
mod source;
mod tcp;

use crate::source::Access;
use async_trait::async_trait;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::net::{HttpSender, Net, NetError, SendError, SourceRequest, SourceResponse};
use windlass_core::time::millis;
use windlass_core::{DurationMs, HttpProbe, SourceAccess, root_cause};

/// The HTTP and TCP client for everything that Windlass sends.
#[derive(Debug, Clone)]
pub struct NetClient {
    probes: reqwest::Client,
    callbacks: reqwest::Client,
    /// For requests that policies were granted, and for the sources of metrics.
    granted: reqwest::Client,
    /// Access to the sources of metrics at some hosts.
    accesses: Vec<Access>,
}

impl NetClient {
    /// Creates the client. Probes follow no redirect, because the replica itself must respond, and keep no connection
    /// to replicas open.
    ///
    /// # Errors
    /// If the TLS library cannot be set up.
    pub fn new() -> Result<Arc<Self>, NetError> {
        Self::with_access(Vec::new())
    }

    /// As [`NetClient::new`], with access to the sources of metrics at some hosts.
    ///
    /// # Errors
    /// As [`NetClient::new`], and if a file with certificates cannot be used.
    pub fn with_access(accesses: Vec<SourceAccess>) -> Result<Arc<Self>, NetError> {
        set_up_tls();
        let direct = || reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let accesses = accesses.into_iter().map(|settings| {
            Access::new(settings, |builder| build(builder.redirect(reqwest::redirect::Policy::none())))
        });
        Ok(Arc::new(Self {
            accesses: accesses.collect::<Result<_, _>>()?,
            probes: build(direct().pool_max_idle_per_host(0))?,
            callbacks: build(reqwest::Client::builder())?,
            granted: build(direct())?,
        }))
    }
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, NetError> {
    let agent = concat!("windlass/", env!("CARGO_PKG_VERSION"));
    builder.user_agent(agent).no_proxy().build().map_err(|error| NetError::Failed(root_cause(&error)))
}

#[async_trait]
impl Net for NetClient {
    async fn http_probe(
        &self,
        address: SocketAddr,
        probe: &HttpProbe,
        timeout: Duration,
    ) -> Result<DurationMs, NetError> {
        let started = Instant::now();
        let mut request = self.probes.get(format!("http://{address}{}", probe.path));
        for (name, value) in &probe.headers {
            request = request.header(name, value);
        }
        let wants_body = probe.expect.body.is_some();
        let exchange = limited(timeout, async {
            let mut response = request.send().await?;
            let mut body = Vec::new();
            // The rest of a long body is not read.
            while wants_body && (body.len() as u64) < HttpProbe::LONGEST_BODY {
                let Some(chunk) = response.chunk().await? else { break };
                body.extend_from_slice(&chunk);
            }
            Ok((response, body))
        });
        let (response, mut body) = exchange.await?;
        body.truncate(usize::try_from(HttpProbe::LONGEST_BODY).unwrap_or(usize::MAX));
        let header = |name: &str| {
            let values = response.headers().get_all(name).iter();
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
        };
        let took = millis(started.elapsed());
        probe.judge(response.status().as_u16(), header, &body).map(|()| took).map_err(NetError::Failed)
    }

    async fn tcp_connect(
        &self,
        address: SocketAddr,
        behind_proxy: bool,
        timeout: Duration,
    ) -> Result<DurationMs, NetError> {
        tcp::connect(address, behind_proxy, timeout).await
    }

    async fn query_source(
        &self,
        request: &SourceRequest<'_>,
        longest: u64,
        timeout: Duration,
    ) -> Result<SourceResponse, NetError> {
        let response = source::query(&self.granted, &self.accesses, request, longest);
        tokio::time::timeout(timeout, response).await.unwrap_or(Err(NetError::TimedOut(timeout)))
    }

    async fn post_json(&self, url: &str, body: &serde_json::Value, timeout: Duration) -> Result<(), NetError> {
        let response = limited(timeout, self.callbacks.post(url).json(body).send()).await?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(NetError::Failed(format!("the server responded with status {}", response.status())))
        }
    }
}

#[async_trait]
impl HttpSender for NetClient {
    async fn send(&self, request: http::Request<Bytes>, longest: u64) -> Result<http::Response<Bytes>, SendError> {
        let failed = |error: &reqwest::Error| SendError::Failed(root_cause(error));
        let request = reqwest::Request::try_from(request).map_err(|error| failed(&error))?;
        let mut response = self.granted.execute(request).await.map_err(|error| failed(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if (body.len() + chunk.len()) as u64 > longest {
                return Err(SendError::TooLong(longest));
            }
            body.extend_from_slice(&chunk);
        }
        let mut whole = http::Response::new(body.into());
        *whole.status_mut() = response.status();
        *whole.headers_mut() = std::mem::take(response.headers_mut());
        Ok(whole)
    }
}

fn set_up_tls() {
    // An error means that a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn limited<T>(
    timeout: Duration,
    request: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, NetError> {
    match tokio::time::timeout(timeout, request).await {
        Err(_) => Err(NetError::TimedOut(timeout)),
        Ok(Err(error)) => Err(NetError::Failed(root_cause(&error))),
        Ok(Ok(response)) => Ok(response),
    }
}

//! [`Net`] and [`HttpSender`] implemented with reqwest; only this crate names it.

mod addresses;
pub mod agent_secrets;
mod agents;
pub mod certificates;
mod client;
mod own_addresses;
mod redirect;
pub mod remote;
mod send_failure;
mod source;
mod tcp;

pub use crate::agents::Agents;

use crate::addresses::Rules;
use crate::client::{Client, ClientError, Excess, body};
use crate::source::Access;
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Url;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::net::{Allowance, HttpSender, Net, NetError, Reach, SendError, SourceRequest, SourceResponse};
use windlass_core::settings::NetworkSettings;
use windlass_core::time::millis;
use windlass_core::{DurationMs, HttpProbe, SourceAccess};

/// The HTTP and TCP client for everything that Windlass sends.
#[derive(Debug, Clone)]
pub struct NetClient {
    rules: Arc<Rules>,
    /// Keeps no connection open, so that each probe tests a new one.
    replica: Client,
    configured: Client,
    public: Client,
    /// Access to the sources of metrics at some hosts.
    accesses: Vec<Access>,
}

/// The parts of a client's configuration.
#[derive(Debug, Default)]
pub struct NetOptions {
    /// Access to the sources of metrics at some hosts.
    pub sources: Vec<SourceAccess>,
    /// The addresses that requests may reach.
    pub settings: NetworkSettings,
    /// The addresses at which this process listens. No request reaches them.
    pub listeners: Vec<SocketAddr>,
}

impl NetClient {
    /// Creates the client with the default settings.
    ///
    /// # Errors
    /// If the TLS library cannot be set up.
    pub fn new() -> Result<Arc<Self>, NetError> {
        Self::with(NetOptions::default())
    }

    /// As [`NetClient::new`], with settings.
    ///
    /// # Errors
    /// As [`NetClient::new`], and if a file with certificates cannot be used.
    pub fn with(options: NetOptions) -> Result<Arc<Self>, NetError> {
        set_up_tls();
        let rules = Arc::new(Rules::new(options.settings, options.listeners));
        let build = |builder, reach| Client::build(builder, &rules, reach);
        let access = |settings| Access::new(settings, |builder| build(builder, Reach::Configured));
        Ok(Arc::new(Self {
            accesses: options.sources.into_iter().map(access).collect::<Result<_, _>>()?,
            replica: build(reqwest::Client::builder().pool_max_idle_per_host(0), Reach::Replica)?,
            configured: build(reqwest::Client::builder(), Reach::Configured)?,
            public: build(reqwest::Client::builder(), Reach::Public)?,
            rules,
        }))
    }

    fn client(&self, reach: Reach) -> &Client {
        match reach {
            Reach::Replica => &self.replica,
            Reach::Configured => &self.configured,
            Reach::Public => &self.public,
        }
    }
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
        let mut request = self.replica.requests().get(at(address, &probe.path)?);
        for (name, value) in &probe.headers {
            request = request.header(name, value);
        }
        let wants_body = probe.expect.body.is_some();
        let exchange = limited(timeout, async {
            let mut response = self.replica.send(request.build()?).await?;
            let body = match wants_body {
                true => body(&mut response, HttpProbe::LONGEST_BODY, Excess::IsNotRead).await?,
                false => Vec::new(),
            };
            Ok::<_, ClientError>((response, body))
        });
        let (response, body) = exchange.await?;
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
        client::check(&self.rules, address, Reach::Replica)?;
        tcp::connect(address, behind_proxy, timeout).await
    }

    async fn query_source(
        &self,
        request: &SourceRequest<'_>,
        longest: u64,
        timeout: Duration,
    ) -> Result<SourceResponse, NetError> {
        let response = source::query(&self.configured, &self.accesses, request, longest);
        tokio::time::timeout(timeout, response).await.unwrap_or(Err(NetError::TimedOut(timeout)))
    }

    async fn post_json(
        &self,
        url: &str,
        reach: Reach,
        body: &serde_json::Value,
        timeout: Duration,
    ) -> Result<(), NetError> {
        let client = self.client(reach);
        let request = client.requests().post(url).json(body).build().map_err(ClientError::from)?;
        // The body of the response is not read.
        let response = limited(timeout, client.send(request)).await?;
        let status = response.status();
        let redirect = if status.is_redirection() { ", a redirect, which is not followed" } else { "" };
        if status.is_success() {
            Ok(())
        } else {
            Err(NetError::Failed(format!("the server responded with status {status}{redirect}")))
        }
    }
}

#[async_trait]
impl HttpSender for NetClient {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        allowance: Allowance<'_>,
    ) -> Result<http::Response<Bytes>, SendError> {
        let mut request = reqwest::Request::try_from(request).map_err(ClientError::from)?;
        let mut reach = allowance.reach;
        let mut hops = 0;
        let mut response = loop {
            // Only a request without a body is redirected.
            let again = allowance.redirects.and_then(|rule| Some((rule, request.try_clone()?)));
            let response = self.client(reach).send(request).await?;
            let next = again.map(|(rule, again)| redirect::next(again, &response, rule)).transpose()?.flatten();
            let Some(next) = next else { break response };
            hops += 1;
            if hops > redirect::MAX_HOPS {
                return Err(SendError::Failed(format!("there are more than {} redirects", redirect::MAX_HOPS)));
            }
            (request, reach) = next;
        };
        let cut = allowance.error_bytes.filter(|_| !response.status().is_success());
        let (longest, excess) =
            cut.map_or((allowance.body_bytes, Excess::IsAnError), |longest| (longest, Excess::IsNotRead));
        let body = body(&mut response, longest, excess).await?;
        let mut whole = http::Response::new(body.into());
        *whole.status_mut() = response.status();
        *whole.headers_mut() = std::mem::take(response.headers_mut());
        Ok(whole)
    }
}

/// The URL of a path on a replica. Any other text than a path could name another host.
fn at(address: SocketAddr, path: &str) -> Result<Url, NetError> {
    let url = Url::parse(&format!("http://{address}{path}")).ok();
    let url = url.filter(|_| path.starts_with('/'));
    url.ok_or_else(|| NetError::Failed(format!("`{}` is not a path; it must start with `/`", path.escape_debug())))
}

fn set_up_tls() {
    // An error means that a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn limited<T, E: Into<NetError>>(
    timeout: Duration,
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, NetError> {
    match tokio::time::timeout(timeout, request).await {
        Err(_) => Err(NetError::TimedOut(timeout)),
        Ok(response) => response.map_err(Into::into),
    }
}

#[cfg(test)]
mod tests;

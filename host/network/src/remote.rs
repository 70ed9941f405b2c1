//! The client of a running Windlass's API, for the command line.

use crate::client::{ClientError, Excess, body};
use crate::{limited, set_up_tls};
use serde_json::Value;
use std::time::Duration;
use windlass_core::listen::socket_path;
use windlass_core::net::NetError;
use windlass_core::root_cause;

/// Time limit of a request. A push checks and compiles the component before the response.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of a response. The longest is a page of decisions.
const LONGEST: u64 = 256 << 20;

/// Why a request to a Windlass failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The server cannot be reached.
    #[error("cannot reach windlass at {server}: {error}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// The cause.
        error: NetError,
    },
    /// Windlass rejected the request; the text is its own.
    #[error("{0}")]
    Refused(String),
    /// Another program listens at the address.
    #[error("the server at {server} is not windlass: {why}; check the address")]
    NotWindlass {
        /// The server's address.
        server: String,
        /// The unexpected part of the response.
        why: String,
    },
}

/// A running Windlass.
#[derive(Debug, Clone)]
pub struct Remote {
    client: reqwest::Client,
    server: String,
    base: reqwest::Url,
    token: Option<String>,
}

impl Remote {
    /// A Windlass at `http://host:port` or `https://host:port`, or at a Unix socket `unix:/path`. Every request carries
    /// `token`. With `authority`, certificates in PEM, the server's certificate must be signed by one of these.
    ///
    /// # Errors
    /// If the address or a certificate is invalid, or the TLS library cannot be set up.
    pub fn new(server: &str, token: Option<String>, authority: Option<&[u8]>) -> Result<Self, RemoteError> {
        let server = server.to_owned();
        let unreachable = |error| RemoteError::Unreachable { server: server.clone(), error };
        let socket = socket_path(&server).map_err(|invalid| unreachable(NetError::Failed(invalid.0)))?;
        // The host of a request through a socket has no meaning.
        let url = if socket.is_some() { "http://localhost" } else { &server };
        let base = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| {
            let expected = "expected an address such as `http://127.0.0.1:8000`, or `unix:` and the path of a socket";
            unreachable(NetError::Failed(expected.to_owned()))
        })?;
        set_up_tls();
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if let Some(path) = socket {
            builder = builder.unix_socket(path).no_proxy();
        }
        if let Some(authority) = authority {
            let wrong = |error: reqwest::Error| unreachable(NetError::Failed(root_cause(&error)));
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(authority).map_err(wrong)?);
        }
        let client = builder.build();
        let client = client.map_err(|error| unreachable(NetError::Failed(root_cause(&error))))?;
        Ok(Self { client, server, base, token })
    }

    /// `GET` of the path with these segments.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn get(&self, path: &[&str]) -> Result<Value, RemoteError> {
        self.send(self.client.get(self.url(path, &[]))).await
    }

    /// `GET` with a query.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn get_where(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, RemoteError> {
        self.send(self.client.get(self.url(path, query))).await
    }

    /// `DELETE` of the path with these segments.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn delete(&self, path: &[&str]) -> Result<Value, RemoteError> {
        self.send(self.client.delete(self.url(path, &[]))).await
    }

    /// `POST` without a body.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn post(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, RemoteError> {
        self.send(self.client.post(self.url(path, query))).await
    }

    /// `POST` with a JSON body.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn post_json(&self, path: &[&str], query: &[(&str, String)], body: &Value) -> Result<Value, RemoteError> {
        self.send(self.client.post(self.url(path, query)).json(body)).await
    }

    /// `PATCH` with a JSON body.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, RemoteError> {
        self.send(self.client.patch(self.url(path, &[])).json(body)).await
    }

    /// `PUT` of a component. `from` names the person who pushes it.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn put_component(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        component: Vec<u8>,
        from: Option<&str>,
    ) -> Result<Value, RemoteError> {
        let mut request = self.client.put(self.url(path, query)).header("content-type", "application/wasm");
        if let Some(from) = from {
            request = request.header("from", from);
        }
        self.send(request.body(component)).await
    }

    /// The URL of the path with these segments, each escaped.
    fn url(&self, path: &[&str], query: &[(&str, String)]) -> reqwest::Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, RemoteError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let unreachable = |error| RemoteError::Unreachable { server: self.server.clone(), error };
        let sent = async { request.send().await.map_err(ClientError::from) };
        let mut response = limited(TIMEOUT, sent).await.map_err(unreachable)?;
        let status = response.status();
        let body = limited(TIMEOUT, body(&mut response, LONGEST, Excess::IsAnError)).await.map_err(unreachable)?;
        let not_windlass = |why: String| RemoteError::NotWindlass { server: self.server.clone(), why };
        let body: Value = serde_json::from_slice(&body)
            .map_err(|_| not_windlass(format!("it responded with status {status} and a body that is not JSON")))?;
        if status.is_success() {
            return Ok(body);
        }
        let detail = body["detail"].as_str().map(str::to_owned);
        Err(detail.map_or_else(
            || not_windlass(format!("it responded with status {status} and no `detail`")),
            RemoteError::Refused,
        ))
    }
}

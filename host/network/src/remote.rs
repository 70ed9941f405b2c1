//! The client of a running Windlass's API, for the command line.

mod error;
mod lines;

pub use crate::remote::error::RemoteError;
pub use crate::remote::lines::Lines;

use crate::client::{ClientError, Excess, body};
use crate::{limited, set_up_tls};
use serde_json::Value;
use std::time::Duration;
use windlass_core::listen::socket_path;
use windlass_core::net::{NetError, SendError};
use windlass_core::root_cause;

/// Time limit of a request. A push checks and compiles the component before the response.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of a response. The longest is a page of decisions.
const LONGEST: u64 = 256 << 20;

/// The beginning of the answer of a port with TLS to a request without.
const HTTPS_ONLY: &str = "this port speaks HTTPS only";

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

    /// `DELETE` with a query.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn delete_where(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, RemoteError> {
        self.send(self.client.delete(self.url(path, query))).await
    }

    /// `GET` of an answer that may never end, in lines. `headers` are sent with the request.
    ///
    /// # Errors
    /// If the server cannot be reached or rejects the request.
    pub async fn lines(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        headers: &[(&'static str, &str)],
    ) -> Result<Lines, RemoteError> {
        let request = self.client.get(self.url(path, query));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut response = self.begin(request).await?;
        if response.status().is_success() {
            return Ok(Lines::new(response, self.server.clone()));
        }
        Err(match self.document(&mut response).await {
            Ok(_) => self.not_windlass(format!("it responded with status {}", response.status())),
            Err(error) => error,
        })
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
        let mut response = self.begin(request).await?;
        self.document(&mut response).await
    }

    /// Sends a request, and returns the beginning of the response.
    async fn begin(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, RemoteError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let sent = async { request.send().await.map_err(|error| self.hinted(error)) };
        limited(TIMEOUT, sent).await.map_err(|error| self.unreachable(error))
    }

    /// The JSON document of a response, or the error that it reports.
    async fn document(&self, response: &mut reqwest::Response) -> Result<Value, RemoteError> {
        let status = response.status();
        let body = limited(TIMEOUT, body(response, LONGEST, Excess::IsAnError)).await;
        let body = body.map_err(|error| self.unreachable(error))?;
        let body: Value = serde_json::from_slice(&body)
            .map_err(|_| self.not_windlass(format!("it responded with status {status} and a body that is not JSON")))?;
        if status.is_success() {
            return Ok(body);
        }
        let detail = body["detail"].as_str().map(str::to_owned);
        Err(match detail {
            Some(detail) if detail.starts_with(HTTPS_ONLY) && self.base.scheme() == "http" => RemoteError::NeedsHttps {
                server: self.server.clone(),
                secure: self.server.replacen("http://", "https://", 1),
            },
            Some(detail) => RemoteError::Refused { status: status.as_u16(), detail },
            None => self.not_windlass(format!("it responded with status {status} and no `detail`")),
        })
    }

    /// Why a request was not answered, with the remedy if TLS is the reason.
    fn hinted(&self, error: reqwest::Error) -> NetError {
        let why = root_cause(&error);
        NetError::Failed(match SendError::from(ClientError::from(error)) {
            SendError::UnknownAuthority(_) => {
                format!("{why}; name the certificate of the server's authority with `--ca-file`")
            }
            SendError::NotTls(_) if self.base.scheme() == "https" => {
                format!(
                    "{why}; the port speaks no TLS: check the address, which begins with `http://` for such a server"
                )
            }
            _ => why,
        })
    }

    fn unreachable(&self, error: NetError) -> RemoteError {
        RemoteError::Unreachable { server: self.server.clone(), error }
    }

    fn not_windlass(&self, why: String) -> RemoteError {
        RemoteError::NotWindlass { server: self.server.clone(), why }
    }
}

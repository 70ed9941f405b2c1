//! A Windlass that runs, asked over its API: for the command line.

use crate::{limited, set_up_tls};
use serde_json::Value;
use std::time::Duration;
use windlass_core::net::NetError;
use windlass_core::root_cause;

/// A component is checked and compiled before its push is answered.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Why a Windlass did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// It cannot be reached.
    #[error("cannot reach windlass at {server}: {error}")]
    Unreachable {
        /// Where it was looked for.
        server: String,
        /// Why.
        error: NetError,
    },
    /// It refused; the sentence is its own.
    #[error("{0}")]
    Refused(String),
    /// Something else answers there.
    #[error("what answers at {server} is not windlass: {why}")]
    Stranger {
        /// Where it was looked for.
        server: String,
        /// What is strange.
        why: String,
    },
}

/// A Windlass somewhere.
#[derive(Debug, Clone)]
pub struct Remote {
    client: reqwest::Client,
    server: String,
    base: reqwest::Url,
    token: Option<String>,
}

impl Remote {
    /// The one at this address, `http://host:port`; `token` is borne by every request.
    ///
    /// # Errors
    /// When the address is none, or the TLS library cannot be set up.
    pub fn new(server: &str, token: Option<String>) -> Result<Self, RemoteError> {
        let server = server.to_owned();
        let unreachable = |error| RemoteError::Unreachable { server: server.clone(), error };
        let base = reqwest::Url::parse(&server).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| {
            unreachable(NetError::Failed("expected an address such as `http://127.0.0.1:8000`".to_owned()))
        })?;
        set_up_tls();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| unreachable(NetError::Failed(root_cause(&error))))?;
        Ok(Self { client, server, base, token })
    }

    /// `GET` of a path whose segments are these.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
    pub async fn get(&self, path: &[&str]) -> Result<Value, RemoteError> {
        self.send(self.client.get(self.url(path, &[]))).await
    }

    /// `GET` with a query.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
    pub async fn get_where(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, RemoteError> {
        self.send(self.client.get(self.url(path, query))).await
    }

    /// `DELETE` of a path whose segments are these.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
    pub async fn delete(&self, path: &[&str]) -> Result<Value, RemoteError> {
        self.send(self.client.delete(self.url(path, &[]))).await
    }

    /// `POST` without a body.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
    pub async fn post(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, RemoteError> {
        self.send(self.client.post(self.url(path, query))).await
    }

    /// `PATCH` with a JSON body.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
    pub async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, RemoteError> {
        self.send(self.client.patch(self.url(path, &[])).json(body)).await
    }

    /// `PUT` of a component, pushed by `from` where somebody says who they are.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
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

    /// The address of a path whose segments are these, each escaped as it must be.
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
        let response = limited(TIMEOUT, request.send()).await.map_err(unreachable)?;
        let status = response.status();
        let body = limited(TIMEOUT, response.bytes()).await.map_err(unreachable)?;
        let stranger = |why: String| RemoteError::Stranger { server: self.server.clone(), why };
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|_| stranger(format!("it answered {status} with a body that is not JSON")))?;
        if status.is_success() {
            return Ok(answer);
        }
        let detail = answer["detail"].as_str().map(str::to_owned);
        Err(detail.map_or_else(|| stranger(format!("it answered {status}")), RemoteError::Refused))
    }
}

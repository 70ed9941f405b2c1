//! Requests with JSON as it is, for objects that must survive a round trip whole: the typed models of the library lose the
//! fields that they do not know.

use crate::call_error::CallError;
use crate::client::EngineClient;
use bollard::BollardRequest;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderValue, Method};
use serde_json::Value;
use std::time::Duration;

/// Time after which an answer that has no bytes yet counts as begun: the engine would have refused the request earlier.
const SILENCE: Duration = Duration::from_millis(500);

/// A request that takes the place of the library's own: the same connection, another method, path and body.
#[derive(Debug, Clone)]
struct RawRequest {
    method: Method,
    /// Path and query, without the API version.
    path: String,
    body: Bytes,
    /// The header `X-Registry-Auth`.
    login: Option<HeaderValue>,
}

impl RawRequest {
    fn replace(&self, mut request: BollardRequest) -> BollardRequest {
        let mut parts = request.uri().clone().into_parts();
        if let Ok(path) = self.path.parse() {
            parts.path_and_query = Some(path);
        }
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        *request.method_mut() = self.method.clone();
        *request.body_mut() = bollard::body_full(self.body.clone());
        if let Some(login) = &self.login {
            request.headers_mut().insert("X-Registry-Auth", login.clone());
        }
        request
    }
}

impl EngineClient {
    /// Requests the JSON at a path, such as `/services/ID?insertDefaults=true`, within [`EngineClient::call_timeout`]. The
    /// path begins with `/` and has no API version. `operation` describes the call in error messages.
    pub(crate) async fn get(&self, operation: &str, path: &str) -> Result<Value, CallError> {
        self.send(operation, Method::GET, path, Bytes::new(), None).await
    }

    /// Like [`EngineClient::get`], with a body and the method `POST`. An answer without a body is `null`.
    pub(crate) async fn post(&self, operation: &str, path: &str, body: &Value) -> Result<Value, CallError> {
        self.send(operation, Method::POST, path, Bytes::from(body.to_string()), None).await
    }

    /// Like [`EngineClient::post`], with the login of a registry in the form of the header `X-Registry-Auth`.
    pub(crate) async fn post_with(
        &self,
        operation: &str,
        path: &str,
        body: &Value,
        login: HeaderValue,
    ) -> Result<Value, CallError> {
        self.send(operation, Method::POST, path, Bytes::from(body.to_string()), Some(login)).await
    }

    async fn send(
        &self,
        operation: &str,
        method: Method,
        path: &str,
        body: Bytes,
        login: Option<HeaderValue>,
    ) -> Result<Value, CallError> {
        if path.parse::<http::uri::PathAndQuery>().is_err() {
            return Err(CallError::InvalidRequest(format!("`{}` is not a path", path.escape_debug())));
        }
        // The paths of raw requests have the negotiated version, too.
        self.info().await?;
        let raw = RawRequest { method, path: path.to_owned(), body, login };
        let modify = move |request| raw.replace(request);
        let answer = self
            .call_modified(self.call_timeout(), operation, modify, |docker| async move {
                // Of the library's requests, this one leaves the answer as it is.
                docker
                    .export_container("_")
                    .try_fold(Vec::<u8>::new(), async |mut all, part| {
                        all.extend_from_slice(&part);
                        Ok(all)
                    })
                    .await
            })
            .await?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|error| CallError::Unreadable(format!("{operation}: {error}")))
    }
}

impl EngineClient {
    /// Requests bytes that may come for a long time. Returns when the first ones have come within
    /// [`EngineClient::call_timeout`], or, if the answer may be silent, after [`SILENCE`].
    pub(crate) async fn open(
        &self,
        operation: &str,
        path: &str,
        may_be_silent: bool,
    ) -> Result<BoxStream<'static, Result<Bytes, CallError>>, CallError> {
        self.info().await?;
        let raw = RawRequest { method: Method::GET, path: path.to_owned(), body: Bytes::new(), login: None };
        let modify = move |request| raw.replace(request);
        let (first, rest) = self
            .call_modified(self.call_timeout(), operation, modify, move |docker| async move {
                let mut parts = docker.export_container("_").boxed();
                let first = if may_be_silent {
                    tokio::time::timeout(SILENCE, parts.next()).await.unwrap_or(Some(Ok(Bytes::new())))
                } else {
                    parts.next().await
                };
                Ok((first.transpose()?, parts))
            })
            .await?;
        let first = futures_util::stream::iter(first.map(Ok));
        Ok(first.chain(rest.map_err(CallError::from)).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_request_keeps_the_address_and_replaces_the_rest() {
        let of_library = http::Request::builder()
            .uri("unix://2f/containers/_/export")
            .header("Content-Type", "application/json")
            .body(bollard::body_full(Bytes::new()))
            .unwrap();
        let path = "/services/ab/update?version=7".to_owned();
        let login = Some(HeaderValue::from_static("e30="));
        let raw = RawRequest { method: Method::POST, path, body: Bytes::from_static(b"{}"), login };
        let request = raw.replace(of_library);
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "unix://2f/services/ab/update?version=7");
        assert_eq!(request.headers()["Content-Type"], "application/json");
        assert_eq!(request.headers()["X-Registry-Auth"], "e30=");
    }
}

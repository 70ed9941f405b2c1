//! Asks the API within the process, in the name of the page's caller.

use crate::page::Page;
use crate::pruned::Pruned;
use crate::visitor::Visitor;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::ACCEPT;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tower::ServiceExt;

/// The most bytes of an answer. A page of decisions has at most 16 MiB.
const MOST_BYTES: usize = 32 << 20;

/// A request that the API refused, or that it could not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    /// One sentence.
    pub(crate) detail: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }
}

/// The body of a request to the API.
pub(crate) enum Sent {
    Nothing,
    Json(Value),
    /// A component.
    Wasm(Bytes),
}

impl Page {
    /// The answer to a `GET`.
    pub(crate) async fn get(&self, caller: &Visitor, path: &str) -> Result<Value, Refused> {
        self.send(caller, Method::GET, path, Sent::Nothing).await
    }

    /// The decisions of an answer to a `GET`, with the parts that a page shows.
    ///
    /// # Errors
    /// The status and the sentence with which the API refuses it.
    pub(crate) async fn decisions(&self, caller: &Visitor, path: &str) -> Result<Value, Refused> {
        let bytes = body(self.ask(caller, Method::GET, path, None, Sent::Nothing).await?).await?;
        // Beside the loop: it may be 16 MiB.
        let read =
            spawn_blocking(move || serde_json::from_slice(&bytes).map(|Pruned(value)| value).unwrap_or_default());
        read.await.map_err(|_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the decisions cannot be read"))
    }

    /// The answer to a request. The guard has checked the CSRF token of the form that it comes from.
    ///
    /// # Errors
    /// The status and the sentence with which the API refuses it.
    pub(crate) async fn send(
        &self,
        caller: &Visitor,
        method: Method,
        path: &str,
        body: Sent,
    ) -> Result<Value, Refused> {
        self.send_with(caller, method, path, caller.csrf.as_deref(), body).await
    }

    /// The answer to a request with the CSRF token that a form sent.
    ///
    /// # Errors
    /// The status and the sentence with which the API refuses it.
    pub(crate) async fn send_with(
        &self,
        caller: &Visitor,
        method: Method,
        path: &str,
        csrf: Option<&str>,
        body: Sent,
    ) -> Result<Value, Refused> {
        let answer = self.ask(caller, method, path, csrf, body).await?;
        read(answer).await
    }

    /// The answer to a request, with its headers.
    ///
    /// # Errors
    /// The status and the sentence with which the API refuses it.
    pub(crate) async fn ask(
        &self,
        caller: &Visitor,
        method: Method,
        path: &str,
        csrf: Option<&str>,
        body: Sent,
    ) -> Result<Response, Refused> {
        let (kind, body) = match body {
            Sent::Nothing => ("application/json", Body::empty()),
            Sent::Json(value) => ("application/json", Body::from(value.to_string())),
            Sent::Wasm(bytes) => ("application/wasm", Body::from(bytes)),
        };
        self.answer(caller.inner.request(method, uri(path)?, kind, csrf, body)).await
    }

    /// The lines of a log, as lines of JSON that arrive one after the other.
    ///
    /// # Errors
    /// The status and the sentence with which the API refuses it.
    pub(crate) async fn lines(&self, caller: &Visitor, path: &str) -> Result<Body, Refused> {
        let mut request = caller.inner.request(Method::GET, uri(path)?, "application/json", None, Body::empty());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        Ok(self.answer(request).await?.into_body())
    }

    async fn answer(&self, request: Request) -> Result<Response, Refused> {
        let answer = match self.api.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let value = read(answer).await?;
        let detail = value["detail"].as_str().unwrap_or("the API gave no reason").to_owned();
        Err(Refused { status, detail })
    }
}

fn uri(path: &str) -> Result<Uri, Refused> {
    path.parse().map_err(|_| Refused::new(StatusCode::NOT_FOUND, "this is no path of the API"))
}

/// The document of an answer.
async fn read(answer: Response) -> Result<Value, Refused> {
    Ok(serde_json::from_slice(&body(answer).await?).unwrap_or_default())
}

async fn body(answer: Response) -> Result<Bytes, Refused> {
    let bytes = to_bytes(answer.into_body(), MOST_BYTES).await;
    bytes.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

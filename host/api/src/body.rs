//! The bodies of requests: JSON that is declared as an object, or a component.

use crate::error::Problem;
use crate::in_flight;
use crate::json::object::{Object, reference};
use crate::json::problems::Problems;
use crate::limits::{Counted, Peer, Slot};
use crate::operation::{Description, Part};
use crate::{ApiState, UPLOADS};
use axum::body::{Body as RawBody, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use bytes::BytesMut;
use http_body_util::{BodyExt, LengthLimitError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Time in which a body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The media type of a component.
const COMPONENT: &str = "application/wasm";

/// A JSON body.
///
/// Its content type must be JSON: a web page in a browser can send any other type, or none, to a Windlass on the same
/// machine without a preflight request.
pub(crate) struct Body<R> {
    request: Option<R>,
    problems: Problems,
}

impl<R: Object> Body<R> {
    /// Reads the fields of a body.
    pub(crate) fn of(value: &Value) -> Self {
        let mut problems = Problems::default();
        let request = R::read(value, "", &mut problems);
        Self { request, problems }
    }

    /// Converts the body with `check`, which may record more problems.
    ///
    /// # Errors
    /// 422 with everything that is wrong with the body.
    pub(crate) fn check<T>(self, check: impl FnOnce(R, &mut Problems) -> Option<T>) -> Result<T, Problem> {
        let Self { request, mut problems } = self;
        let checked = request.and_then(|request| check(request, &mut problems));
        problems.finish(checked)
    }
}

impl<S: Send + Sync, R: Object> FromRequest<S> for Body<R> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON; send the header `content-type: application/json`",
            ));
        }
        // The text and the values are dropped here; the handler has what was read from them.
        let text = whole(request).await?;
        in_flight::hold_values(&text)?;
        Ok(Self::of(&parse(&text)?))
    }
}

impl<R: Object> Part for Body<R> {
    fn describe(description: &mut Description) {
        let schema = reference::<R>(&mut description.schemas);
        description.body = Some(json!({"application/json": {"schema": schema}}));
        description.errors.extend([413, 415, 422]);
    }
}

/// A component as a body. Its content type must say so: a web page cannot send that without a preflight request either.
pub(crate) struct WasmBody {
    /// The body.
    pub(crate) component: Bytes,
    /// The permit of this upload, to be held until the component is dropped.
    pub(crate) permit: UploadPermit,
}

/// Allows one upload, until it is dropped.
pub(crate) struct UploadPermit {
    _of_peer: Counted,
    /// One for each byte.
    _bytes: Option<OwnedSemaphorePermit>,
    _complete: OwnedSemaphorePermit,
}

impl FromRequest<ApiState> for WasmBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        if essence(request.headers()).as_deref() != Some(COMPONENT) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be a component; send the header `content-type: application/wasm`",
            ));
        }
        let uploads = Arc::clone(&state.uploads);
        let too_many = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        let of_peer = uploads
            .of_peer
            .begin(Peer::among(request.extensions()))
            .ok_or_else(|| too_many(format!("{UPLOADS} components are being pushed already; try again")))?;
        let bytes = Arc::clone(&uploads.bytes);
        let mut held: Option<OwnedSemaphorePermit> = None;
        let component = arrived(request, async |mut body: RawBody| {
            let mut component = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
                let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let permit = Arc::clone(&bytes).try_acquire_many_owned(count).map_err(|_| {
                    too_many("too many bytes of components are being pushed already; try again".to_owned())
                })?;
                match &mut held {
                    Some(held) => held.merge(permit),
                    None => held = Some(permit),
                }
                component.extend_from_slice(&data);
            }
            Ok(component.freeze())
        })
        .await?;
        let complete = Arc::clone(&uploads.complete).acquire_owned().await;
        let complete = complete.expect("the semaphore is never closed");
        Ok(Self { component, permit: UploadPermit { _of_peer: of_peer, _bytes: held, _complete: complete } })
    }
}

impl Part for WasmBody {
    fn describe(description: &mut Description) {
        description.body = Some(json!({COMPONENT: {}}));
        description.is_upload = true;
        description.errors.extend([413, 415, 422]);
    }
}

/// The whole body of a request.
pub(crate) async fn whole(request: Request) -> Result<Bytes, Problem> {
    arrived(request, async |mut body: RawBody| {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            in_flight::hold_bytes(data.len())?;
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    })
    .await
}

/// Reads the body of a request within [`BODY_TIMEOUT`]. The request is not counted among those that are served meanwhile.
async fn arrived<T>(request: Request, read: impl AsyncFnOnce(RawBody) -> Result<T, Problem>) -> Result<T, Problem> {
    let slot = request.extensions().get::<Slot>().cloned();
    let arrival = tokio::time::timeout(BODY_TIMEOUT, read(request.into_body()));
    let arrived = match slot {
        Some(slot) => slot.free_during(arrival).await,
        None => arrival.await,
    };
    arrived.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs());
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it converts errors")]
fn broken(error: axum::Error) -> Problem {
    if is_too_long(&error) {
        return too_long();
    }
    Problem::new(StatusCode::BAD_REQUEST, "the connection broke before the end of the body")
}

/// 413 for a body above the limit.
pub(crate) fn too_long() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than the limit of this windlass")
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn is_json(headers: &HeaderMap) -> bool {
    essence(headers).is_some_and(|essence| {
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// The content type without its parameters.
fn essence(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or(text).trim().to_ascii_lowercase())
}

fn parse(bytes: &Bytes) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Err(Problem::invalid_at("", "the body is empty; expected a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::invalid_at("", format!("the body is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_what_says_it_is_json_is_read_as_json() {
        let says = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
            is_json(&headers)
        };
        assert!(says("application/json") && says("Application/JSON; charset=utf-8") && says("application/merge+json"));
        assert!(!says("text/plain") && !says("application/x-www-form-urlencoded") && !says("text/json+json"));
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn broken_json_is_refused_with_its_place() {
        let refused = parse(&Bytes::from_static(b"{\n  \"image\": nginx\n}")).expect_err("no JSON");
        assert_eq!(refused.detail(), "the body is not JSON: expected ident at line 2 column 13");
        assert!(parse(&Bytes::new()).is_err());
        assert!(parse(&Bytes::from_static(b"\"\xff\"")).is_err());
        assert!(parse(&Bytes::from("[".repeat(100_000))).is_err(), "depth is bounded");
    }
}

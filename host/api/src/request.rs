//! Reads the parts of a request strictly, each failure as a [`Problem`].

use crate::error::{FieldProblem, Problem};
use crate::{ApiState, UPLOADS, fields};
use axum::RequestPartsExt;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use windlass_control::ControlError;
use windlass_core::{Timestamp, WorkloadKey};

/// Time a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The `{image}` of a path: a workload's image or name.
pub struct ImageKey(pub WorkloadKey);

impl<S: Send + Sync> FromRequestParts<S> for ImageKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        segment(parts).await.map(|image| Self(WorkloadKey::stored(image)))
    }
}

/// The `{name_or_id}` of a path.
pub struct ContainerName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ContainerName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        segment(parts).await.map(Self)
    }
}

/// The `{name}` of a path below `/policies`.
pub struct PolicyName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PolicyName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        segment(parts).await.map(Self)
    }
}

/// The `{id}` of a path below `/decisions`.
pub struct DecisionNumber(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for DecisionNumber {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let wrong = || Problem::invalid_at("/path/id", "expected the number of a decision, from 1");
        segment(parts).await?.parse().ok().filter(|number| *number >= 1).map(Self).ok_or_else(wrong)
    }
}

/// The one parameter of a path, its escapes undone once.
async fn segment(parts: &mut Parts) -> Result<String, Problem> {
    match parts.extract::<Path<String>>().await {
        Ok(Path(text)) => Ok(text),
        Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "the path is not UTF-8 once its escapes are undone")),
    }
}

/// A request that has no query.
pub struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        query(&parts.uri, &[]).map(|_| Self)
    }
}

/// `?force=`: `true`, `1`, `yes`, `on` or their opposites; false when it is absent.
pub struct Force(pub bool);

impl<S: Send + Sync> FromRequestParts<S> for Force {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match query(&parts.uri, &["force"])?.pop() {
            Some((name, text)) => truth(&name, &text).map(Self),
            None => Ok(Self(false)),
        }
    }
}

/// Which of what was written down is asked for: the newest, `?limit=` of them (1 to 1 000; 20 when it is absent), none of
/// after `?until=` (milliseconds since the Unix epoch).
pub struct NewestQuery {
    /// Until when; none: until now.
    pub until: Option<Timestamp>,
    /// How many.
    pub limit: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for NewestQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut asked = Self { until: None, limit: 20 };
        for (name, value) in query(&parts.uri, &["limit", "until"])? {
            match (name.as_str(), value.parse()) {
                ("until", _) => asked.until = Some(moment("until", &value)?),
                (_, Ok(limit @ 1..=1_000)) => asked.limit = limit,
                _ => return Err(Problem::invalid_at("/query/limit", "expected a whole number from 1 to 1000")),
            }
        }
        Ok(asked)
    }
}

fn moment(name: &str, value: &str) -> Result<Timestamp, Problem> {
    let wrong = |_| Problem::invalid_at(&format!("/query/{name}"), "expected milliseconds since the Unix epoch");
    value.parse().map(Timestamp).map_err(wrong)
}

/// `?since=`: milliseconds since the Unix epoch; none where it is absent.
pub struct Since(pub Option<Timestamp>);

impl<S: Send + Sync> FromRequestParts<S> for Since {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some((name, value)) = query(&parts.uri, &["since"])?.pop() else { return Ok(Self(None)) };
        Ok(Self(Some(moment(&name, &value)?)))
    }
}

/// Which targets are asked for: `?workload=`, `?port=`, `?ready=`; all where they are absent.
#[derive(Default)]
pub struct TargetQuery {
    /// Of this workload.
    pub workload: Option<String>,
    /// This port inside the replicas.
    pub port: Option<u16>,
    /// Only replicas that may be sent requests.
    pub ready: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for TargetQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in query(&parts.uri, &["workload", "port", "ready"])? {
            match name.as_str() {
                "workload" => asked.workload = Some(value),
                "port" => {
                    let port = value.parse().ok().filter(|port| *port > 0);
                    let wrong = || Problem::invalid_at("/query/port", "expected a port, 1 to 65535");
                    asked.port = Some(port.ok_or_else(wrong)?);
                }
                _ => asked.ready = truth("ready", &value)?,
            }
        }
        Ok(asked)
    }
}

/// How a component is pushed: `?memory=`, `keep` (where it is absent) or `reset`, and `?candidate=`.
pub struct PushQuery {
    /// It begins with empty memory.
    pub reset_memory: bool,
    /// It is only asked beside the acting revision.
    pub candidate: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for PushQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut asked = Self { reset_memory: false, candidate: false };
        for (name, value) in query(&parts.uri, &["memory", "candidate"])? {
            match (name.as_str(), value.as_str()) {
                ("memory", "keep") => {}
                ("memory", "reset") => asked.reset_memory = true,
                ("memory", _) => return Err(Problem::invalid_at("/query/memory", "expected `keep` or `reset`")),
                _ => asked.candidate = truth("candidate", &value)?,
            }
        }
        Ok(asked)
    }
}

/// `?revision=`: which one; none where it is absent.
pub struct RevisionNumber(pub Option<u32>);

impl<S: Send + Sync> FromRequestParts<S> for RevisionNumber {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some((_, text)) = query(&parts.uri, &["revision"])?.pop() else {
            return Ok(Self(None));
        };
        match text.parse() {
            Ok(number @ 1..) => Ok(Self(Some(number))),
            _ => Err(Problem::invalid_at("/query/revision", "expected the number of a revision, from 1")),
        }
    }
}

fn truth(name: &str, text: &str) -> Result<bool, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "t" => Ok(true),
        "false" | "0" | "no" | "off" | "n" | "f" => Ok(false),
        _ => Err(Problem::invalid_at(&format!("/query/{name}"), "expected `true` or `false`")),
    }
}

/// A query, whose parameters must all be `known` and appear once.
fn query(uri: &Uri, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let pairs = match Query::<Vec<(String, String)>>::try_from_uri(uri) {
        Ok(Query(pairs)) => pairs,
        Err(_) => return Err(Problem::invalid_at("/query", "the query cannot be read")),
    };
    let mut problems = Vec::new();
    let mut seen: Vec<(String, String)> = Vec::new();
    for (name, value) in pairs {
        let detail = if !known.contains(&name.as_str()) {
            fields::unknown("query parameter", &name, known)
        } else if seen.iter().any(|(earlier, _)| *earlier == name) {
            "given more than once".to_owned()
        } else {
            seen.push((name, value));
            continue;
        };
        problems.push(FieldProblem { pointer: fields::join("/query", &name), detail });
    }
    if problems.is_empty() { Ok(seen) } else { Err(Problem::invalid(&problems)) }
}

/// Runs a change to its end even if the caller hangs up meanwhile: what was begun on the engine is not
/// left half done.
pub(crate) async fn to_the_end<T, F>(change: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ControlError>> + Send + 'static,
{
    to_the_end_or(async move { change.await.map_err(Problem::from) }).await
}

/// As [`to_the_end`], for changes that say themselves what their errors are.
pub(crate) async fn to_the_end_or<T, F>(change: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    match tokio::spawn(change).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ControlError::ShuttingDown.into()),
    }
}

/// A body in JSON.
///
/// Its content type must say so: a web page in someone's browser can send any other type, or none, to a
/// Windlass on the same machine without the browser asking first.
pub struct JsonBody(pub Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON and its header say so: `content-type: application/json`",
            ));
        }
        parse(&whole(request).await?).map(Self)
    }
}

/// A component as a body, which must say that it is one; a web page cannot send that unasked either.
pub struct WasmBody {
    /// The body.
    pub component: Bytes,
    /// To be held until the component is no more.
    pub place: OwnedSemaphorePermit,
}

impl FromRequest<ApiState> for WasmBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        if essence(request.headers()).as_deref() != Some("application/wasm") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be a component and its header say so: `content-type: application/wasm`",
            ));
        }
        let Ok(place) = Arc::clone(&state.uploads).try_acquire_owned() else {
            let detail = format!("{UPLOADS} components are being pushed already; try again");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        Ok(Self { component: whole(request).await?, place })
    }
}

async fn whole(request: Request) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, request.into_body().collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_too_long(&error) => Err(too_long()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => {
            let detail = format!("the body took more than {} s", BODY_TIMEOUT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

/// 413, for any body past the limit.
pub(crate) fn too_long() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this windlass reads")
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

    #[test]
    fn only_what_says_it_is_json_is_read_as_json() {
        let says = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(text));
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

    #[test]
    fn unknown_and_repeated_query_parameters_are_refused() {
        let read = |text: &str| query(&text.parse().expect("a URI"), &["force"]);
        assert_eq!(read("/x"), Ok(vec![]));
        assert_eq!(read("/x?force=1"), Ok(vec![("force".to_owned(), "1".to_owned())]));
        let refused = |text: &str| read(text).expect_err(text).detail().to_owned();
        assert_eq!(refused("/x?froce=1"), "/query/froce: unknown query parameter; did you mean `force`?");
        assert_eq!(refused("/x?force=1&force=0"), "/query/force: given more than once");
    }
}

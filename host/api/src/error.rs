//! The form of every error: `application/problem+json` (RFC 9457).

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::ToSchema;
use windlass_control::ControlError;
use windlass_core::policy::CatalogueError;

/// Most problems that an error lists.
pub(crate) const MOST_PROBLEMS: usize = 20;

/// Most bytes of each text of a listed problem.
const LONGEST_TEXT: usize = 1_024;

/// A problem with one field of a body or one parameter of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body (`/resources/cpu`), or `/query/force` for a query parameter.
    pub pointer: String,
    /// The problem, and the expected value.
    pub detail: String,
}

impl FieldProblem {
    /// The problem with at most [`LONGEST_TEXT`] bytes of each text.
    fn shortened(&self) -> Self {
        let cut = |text: &str| match text.split_at(text.floor_char_boundary(LONGEST_TEXT)) {
            (whole, "") => whole.to_owned(),
            (beginning, _) => format!("{beginning}…"),
        };
        Self { pointer: cut(&self.pointer), detail: cut(&self.detail) }
    }
}

/// An error in the form that the caller receives.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// Members in addition to the standard ones.
    more: Map<String, Value>,
    /// `WWW-Authenticate` of a 401.
    challenge: Option<&'static str>,
    /// `Retry-After`, in seconds.
    retry_after: Option<u64>,
}

/// The explanation of an answered problem, in the extensions of its answer.
#[derive(Debug, Clone)]
pub(crate) struct Detail(pub(crate) Arc<str>);

impl Problem {
    /// A problem with this status and explanation.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), more: Map::new(), challenge: None, retry_after: None }
    }

    /// 422 with the problems of a request. It lists the first 20 and counts the others.
    pub fn invalid(problems: &[FieldProblem]) -> Self {
        Self::invalid_and_more(problems, 0)
    }

    /// 422 with the first problems of a request, and the number of the others.
    pub(crate) fn invalid_and_more(problems: &[FieldProblem], more: usize) -> Self {
        let (listed, rest) = problems.split_at(problems.len().min(MOST_PROBLEMS));
        let more = rest.len() + more;
        let listed: Vec<FieldProblem> = listed.iter().map(FieldProblem::shortened).collect();
        let mut texts: Vec<String> = listed
            .iter()
            .map(|problem| match problem.pointer.as_str() {
                "" => problem.detail.clone(),
                pointer => format!("{pointer}: {}", problem.detail),
            })
            .collect();
        if more > 0 {
            texts.push(format!("and {more} more {}", if more == 1 { "problem" } else { "problems" }));
        }
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, texts.join("; ")).with("errors", json!(listed));
        if more > 0 { problem.with("more_errors", json!(more)) } else { problem }
    }

    /// 422 with one problem.
    pub(crate) fn invalid_at(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(&[FieldProblem { pointer: pointer.to_owned(), detail: detail.into() }])
    }

    /// 401: the token is missing or wrong.
    pub(crate) fn unauthorized(detail: &str, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// The same with the time after which the caller may try again.
    #[must_use]
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// 500 without details for the caller; the log has them.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "windlass failed to answer; its log says why")
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// A member that was added.
    #[cfg(test)]
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.more.get(name)
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its explanation.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// Every error (RFC 9457), for the description of the API.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemDetails {
    /// Always `about:blank`: the status is the type of the error.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// The error, for people.
    detail: String,
    /// On 422: the problems, at most 20.
    errors: Option<Vec<FieldProblem>>,
    /// On 422: the number of further problems, if there are more.
    more_errors: Option<usize>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let detail = Detail(self.detail.as_str().into());
        let mut body = Map::new();
        body.insert("type".to_owned(), json!("about:blank"));
        body.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or("Error")));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        body.extend(self.more);
        let text = Value::Object(body).to_string();
        let mut response = (self.status, [(CONTENT_TYPE, "application/problem+json")], text).into_response();
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(detail);
        response
    }
}

impl From<ControlError> for Problem {
    /// The statuses of errors of the control loop.
    fn from(error: ControlError) -> Self {
        let status = match &error {
            ControlError::NoSuchWorkload(_) | ControlError::NoSuchContainer(_) => StatusCode::NOT_FOUND,
            ControlError::Conflict(_) => StatusCode::CONFLICT,
            ControlError::Dependency(why) => return Self::invalid_at("/depends_on", why),
            ControlError::Limits(why) => return Self::invalid_at("/resources/cpu", why),
            ControlError::Networks(why) => return Self::invalid_at("/networks", why),
            ControlError::Refused(_) | ControlError::StartFailed(_) => StatusCode::BAD_REQUEST,
            ControlError::EngineUnavailable(_) | ControlError::CallerLeft | ControlError::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ControlError::Store(reason) => {
                tracing::error!(reason, "the store failed a request");
                return Self::internal();
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<CatalogueError> for Problem {
    /// The statuses of errors of the policy catalogue.
    fn from(error: CatalogueError) -> Self {
        match &error {
            CatalogueError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            CatalogueError::Conflict(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            CatalogueError::Source(_) => Self::new(StatusCode::BAD_GATEWAY, error.to_string()),
            CatalogueError::Name(_) => Self::invalid_at("/path/name", error.to_string()),
            CatalogueError::Component(problems) => {
                let problem = |detail: &String| FieldProblem { pointer: String::new(), detail: detail.clone() };
                Self::invalid(&problems.iter().map(problem).collect::<Vec<_>>())
            }
            CatalogueError::Disk(why) => ControlError::Store(why.clone()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_control_loop_has_its_status() {
        let table = [
            (
                ControlError::NoSuchWorkload("x".into()),
                404,
                "there is no workload `x`; it was never started, or it was deleted",
            ),
            (ControlError::NoSuchContainer("x".into()), 404, "there is no container `x`"),
            (ControlError::Conflict("stop it first".into()), 409, "stop it first"),
            (ControlError::Dependency("no `db`".into()), 422, "/depends_on: no `db`"),
            (ControlError::Refused("no such network".into()), 400, "no such network"),
            (ControlError::StartFailed("port is taken".into()), 400, "port is taken"),
            (ControlError::Limits("too many".into()), 422, "/resources/cpu: too many"),
            (ControlError::Networks("not allowed".into()), 422, "/networks: not allowed"),
            (ControlError::EngineUnavailable("no socket".into()), 503, "no socket"),
            (ControlError::ShuttingDown, 503, "windlass is shutting down"),
        ];
        for (error, status, detail) in table {
            let problem = Problem::from(error);
            assert_eq!((problem.status().as_u16(), problem.detail()), (status, detail));
        }
    }

    #[test]
    fn what_failed_in_the_store_stays_in_the_log() {
        let problem = Problem::from(ControlError::Store("/var/lib/windlass/windlass.db: disk full".into()));
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.detail().contains("/var"), "{problem:?}");
    }
}

//! The one envelope of every error: `application/problem+json` (RFC 9457).

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use windlass_control::ControlError;

/// What is wrong with one field of a body or one parameter of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Where, as a JSON pointer into the body (`/resources/cpu`); `/query/force` for a query parameter.
    pub pointer: String,
    /// What would have been right.
    pub detail: String,
}

/// An error as the caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// Members beside the standard ones.
    more: Map<String, Value>,
    /// `WWW-Authenticate` of a 401.
    challenge: Option<&'static str>,
}

impl Problem {
    /// A problem with this status and explanation.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), more: Map::new(), challenge: None }
    }

    /// 422: everything that is wrong with a request, at once.
    pub fn invalid(problems: &[FieldProblem]) -> Self {
        let texts: Vec<String> = problems
            .iter()
            .map(|problem| match problem.pointer.as_str() {
                "" => problem.detail.clone(),
                pointer => format!("{pointer}: {}", problem.detail),
            })
            .collect();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, texts.join("; ")).with("errors", json!(problems))
    }

    /// 422 about one place.
    pub fn invalid_at(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(&[FieldProblem { pointer: pointer.to_owned(), detail: detail.into() }])
    }

    /// 401: no token, or a wrong one.
    pub fn unauthorized(detail: &'static str, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 500 about which the caller learns nothing; the log has the rest.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "windlass failed to answer; its log says why")
    }

    /// The problem with one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
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
        response
    }
}

impl From<ControlError> for Problem {
    /// The one place where errors of the control loop become statuses.
    fn from(error: ControlError) -> Self {
        let status = match &error {
            ControlError::NoSuchWorkload(_) | ControlError::NoSuchContainer(_) => StatusCode::NOT_FOUND,
            ControlError::Conflict(_) => StatusCode::CONFLICT,
            ControlError::Dependency(why) => return Self::invalid_at("/depends_on", why),
            ControlError::Refused(_) => StatusCode::BAD_REQUEST,
            ControlError::StartFailed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ControlError::EngineUnavailable(_) | ControlError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::Store(reason) => {
                tracing::error!(reason, "the store failed a request");
                return Self::internal();
            }
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_control_loop_has_its_status() {
        let table = [
            (ControlError::NoSuchWorkload("x".into()), 404, "image `x` was never started"),
            (ControlError::NoSuchContainer("x".into()), 404, "Container 'x' not found"),
            (ControlError::Conflict("stop it first".into()), 409, "stop it first"),
            (ControlError::Dependency("no `db`".into()), 422, "/depends_on: no `db`"),
            (ControlError::Refused("no such network".into()), 400, "no such network"),
            (ControlError::StartFailed("port is taken".into()), 500, "port is taken"),
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

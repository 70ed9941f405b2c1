//! Enforces the rules on a matched route: role, workload, CSRF token; and lets the trail record changes.

use crate::ApiState;
use crate::access::admit::Stranger;
use crate::access::caller::Caller;
use crate::access::rules::PAGE_UPLOAD;
use crate::access::rules::{Concerns, Need, Rule, Rules};
use crate::access::snapshot::Subject;
use crate::access::trail::{self, Pending};
use crate::access::web::{check_origin, is_change};
use crate::body::whole;
use crate::containers::lookup::find;
use crate::error::Problem;
use crate::limits::{Peer, Slot};
use axum::RequestPartsExt;
use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use windlass_control::ControlError;
use windlass_core::WorkloadKey;

/// The header with the CSRF token.
pub(crate) const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// The field of a form with the CSRF token.
const CSRF_FIELD: &str = "csrf";

/// The rules, and the state that they need.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) rules: Arc<Rules>,
    pub(crate) state: ApiState,
}

/// Answers a request that its rule refuses, and passes the others on.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request).await {
        Ok((request, Some(pending))) => trail::record(pending, next.run(request)).await,
        Ok((request, None)) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The answer to a stranger on a path without a route, or with another method.
pub(crate) fn check_known(stranger: Option<Stranger>) -> Result<(), Problem> {
    stranger.map_or(Ok(()), |Stranger(problem)| Err(*problem))
}

impl Guard {
    async fn check(&self, request: Request) -> Result<(Request, Option<Arc<Pending>>), Problem> {
        let (mut parts, body) = request.into_parts();
        let path = parts.extensions.get::<MatchedPath>().cloned();
        let rule = path.as_ref().and_then(|path| self.rules.find(&parts.method, path.as_str()));
        // A route that nobody allows is open to nobody.
        let no_rule = || {
            tracing::error!(path = parts.uri.path(), "the route has no rule, so nobody may use it");
            Problem::new(StatusCode::FORBIDDEN, "nobody may use this route, because it has no rule")
        };
        let rule = rule.ok_or_else(no_rule)?;
        let Need::Role(role) = rule.need else {
            check_origin(&parts.method, &parts.headers, "for this request")?;
            return Ok((Request::from_parts(parts, body), None));
        };
        let Some(caller) = parts.extensions.get::<Caller>().cloned() else {
            let stranger = parts.extensions.get::<Stranger>().cloned();
            check_known(stranger)?;
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "the caller of this request is not known"));
        };
        let checked = match caller.check_role(role) {
            Ok(()) => self.check_scope(&caller, rule, &mut parts).await,
            Err(refused) => Err(refused),
        };
        if let Err(refused) = checked {
            if is_change(&parts.method) {
                let (from, request) = (Peer::among(&parts.extensions), parts.uri.path());
                tracing::warn!(who = %caller.name, %from, %request, reason = refused.detail(), "a change was refused");
            }
            return Err(refused);
        }
        let mut body = body;
        // The form with a component changes nothing: the request that it becomes carries the token.
        let is_upload_form = path.as_ref().is_some_and(|path| path.as_str() == PAGE_UPLOAD);
        if is_change(&parts.method)
            && !is_upload_form
            && let Some(expected) = &caller.csrf
        {
            body = check_csrf(expected, &parts, body).await?;
        }
        let pending = match rule.recorded.filter(|_| is_change(&parts.method)) {
            Some(what) => {
                let subject = subject(path.as_ref().map_or("", MatchedPath::as_str), rule, &mut parts).await;
                Some(Pending::begin(&self.state, caller, &parts, what, subject))
            }
            None => None,
        };
        Ok((Request::from_parts(parts, body), pending))
    }

    /// Checks the workload of a request of a limited caller.
    async fn check_scope(&self, caller: &Caller, rule: Rule, parts: &mut Parts) -> Result<(), Problem> {
        if caller.scope.is_everything() {
            return Ok(());
        }
        match rule.concerns {
            Concerns::Everything => caller.check_everything(),
            Concerns::Checked => Ok(()),
            Concerns::Workload => {
                let key = WorkloadKey::stored(parameter(parts).await?);
                caller.check_workload(&self.state.controller.known_key(&key))
            }
            Concerns::Container => {
                let name = parameter(parts).await?;
                let found = find(&self.state, &name).filter(|replica| caller.scope.includes(&replica.workload));
                // As for a container that does not exist: its name is no secret worth guessing, nor is it shown.
                found.map(drop).ok_or_else(|| ControlError::NoSuchContainer(name).into())
            }
        }
    }
}

/// The object that a request changes, as far as its path names it.
async fn subject(path: &str, rule: Rule, parts: &mut Parts) -> Subject {
    let Ok(name) = parameter(parts).await else { return Subject::None };
    match rule.concerns {
        Concerns::Workload => Subject::Workload(WorkloadKey::stored(name)),
        Concerns::Container => Subject::Container(name),
        _ if path.starts_with("/policies/") => Subject::Policy(name),
        _ => Subject::None,
    }
}

/// The only parameter of the path, exactly as the handler reads it.
async fn parameter(parts: &mut Parts) -> Result<String, Problem> {
    let wrong = || Problem::new(StatusCode::BAD_REQUEST, "the decoded path is not UTF-8");
    parts.extract::<Path<String>>().await.map(|Path(text)| text).map_err(|_| wrong())
}

/// Checks the CSRF token of a session's change, in the header or in a form. Returns the body.
async fn check_csrf(expected: &str, parts: &Parts, body: Body) -> Result<Body, Problem> {
    let is_right = |sent: &[u8]| bool::from(sent.ct_eq(expected.as_bytes()));
    let missing = || {
        let detail =
            "a change of a session needs its CSRF token, in the header `x-csrf-token` or in the form field `csrf`";
        Problem::new(StatusCode::FORBIDDEN, detail)
    };
    if let Some(sent) = parts.headers.get(CSRF) {
        return if is_right(sent.as_bytes()) { Ok(body) } else { Err(missing()) };
    }
    let content_type = parts.headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    if !content_type.is_some_and(|text| text.starts_with(b"application/x-www-form-urlencoded")) {
        return Err(missing());
    }
    let mut request = Request::new(body);
    if let Some(slot) = parts.extensions.get::<Slot>() {
        request.extensions_mut().insert(slot.clone());
    }
    let form = whole(request).await?;
    let mut fields = url::form_urlencoded::parse(&form);
    let is_there = fields.any(|(name, value)| name == CSRF_FIELD && is_right(value.as_bytes()));
    if is_there { Ok(Body::from(form)) } else { Err(missing()) }
}

//! `POST /tokens`.

use crate::ApiState;
use crate::access::Caller;
use crate::access::caller::{LONGEST_GLOB, MOST_GLOBS, Scope};
use crate::access::tokens::NewToken;
use crate::access::trail;
use crate::body::Body;
use crate::error::Problem;
use crate::json::object::declare;
use crate::json::problems::Problems;
use crate::json::shape::{Shape, list_of, one_of, text};
use crate::json::time::duration_within;
use crate::operation::Operation;
use crate::query::NoQuery;
use crate::tokens::view::TokenView;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use utoipa::ToSchema;
use windlass_core::Timestamp;
use windlass_core::access::Role;
use windlass_core::text::plain;

/// Most characters of a name.
const LONGEST_NAME: usize = 100;

/// The shortest and the longest life of a token.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// The roles of tokens by their names.
const ROLES: &[(&str, Role)] = &[("viewer", Role::Viewer), ("operator", Role::Operator), ("admin", Role::Admin)];

declare! {
    /// Body of `POST /tokens`.
    pub(crate) struct CreateTokenRequest {
        /// Name of the person or program that will use the token; it appears in the audit record.
        required name: String = name(),
        /// `viewer` reads; `operator` also scales by hand, pauses, promotes and rolls back; `admin` may do everything.
        required role: Role = one_of(ROLES),
        /// Globs of the workloads that the token is limited to, such as `web-*`; `*` also matches slashes. If it is empty or
        /// absent, the token is not limited.
        optional workloads: Vec<String> = globs(),
        /// Time until the token expires: 1 minute to 10 years. If it is null or absent, the token does not expire.
        nullable expires_in: Duration = duration_within(SHORTEST..=LONGEST, "1 minute to 3650 days"),
    }
}

/// A name without invisible characters.
fn name() -> Shape<String> {
    let visible = text().then(|text, pointer, problems| {
        let is_right = (1..=LONGEST_NAME).contains(&text.chars().count()) && plain(&text) == text;
        if !is_right {
            problems.add(pointer, format!("expected 1 to {LONGEST_NAME} visible characters"));
        }
        is_right.then_some(text)
    });
    visible.pattern(r"^[ -~]{1,100}$", LONGEST_NAME).keyword("minLength", json!(1))
}

fn globs() -> Shape<Vec<String>> {
    let glob = text().then(|text, pointer, problems: &mut Problems| {
        let checked = match text.len() {
            1..=LONGEST_GLOB => Scope::of(std::slice::from_ref(&text)).map(drop),
            _ => Err(format!("expected a glob of 1 to {LONGEST_GLOB} bytes")),
        };
        checked.map_err(|error| problems.add(pointer, error)).ok().map(|()| text)
    });
    let glob = glob.pattern(r"^[a-z0-9._/:@*?-]{1,300}$", LONGEST_GLOB).keyword("minLength", json!(1));
    list_of(glob).at_most(MOST_GLOBS, |count| format!("expected at most {MOST_GLOBS} globs, found {count}"))
}

/// Answer of `POST /tokens`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    /// The text of the token, `wl_ID_SECRET`. Nothing can show it again.
    token: String,
    /// The token.
    #[serde(flatten)]
    view: TokenView,
}

pub(crate) fn operation() -> Operation {
    let summary = "Create a token for a person or a program; its text is shown once";
    Operation::new(summary, create).answer_with::<CreatedToken>(201, "Created").errors(&[409])
}

async fn create(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    _: NoQuery,
    body: Body<CreateTokenRequest>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let now = state.access.now();
    let new = body.check(|request, _| wanted(request, now))?;
    let (record, token) = state.access.tokens.create(new, &caller.name, now).await?;
    let view = TokenView::from(&record);
    if let Some(pending) = trail::current() {
        pending.describe(None, Some(json!(view)));
    }
    Ok((StatusCode::CREATED, Json(CreatedToken { token, view })))
}

fn wanted(request: CreateTokenRequest, now: Timestamp) -> Option<NewToken> {
    let (name, role) = (request.name.given(), request.role.given());
    let workloads = request.workloads.or(Vec::new())?;
    let expires_at = request.expires_in.given().map(|life| now.plus(life));
    Some(NewToken { name: name?, role: role?, workloads, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_token_has_a_name_a_role_and_globs() {
        let now = Timestamp(1_767_225_600_000);
        let of = |body: &Value| Body::<CreateTokenRequest>::of(body).check(|request, _| wanted(request, now));
        let ci = NewToken { name: "ci".into(), role: Role::Operator, workloads: Vec::new(), expires_at: None };
        assert_eq!(of(&json!({"name": "ci", "role": "operator", "expires_in": null})), Ok(ci.clone()));
        let body = json!({"name": "ci", "role": "operator", "workloads": ["web*"], "expires_in": "1h"});
        let expires_at = Some(now.plus(Duration::from_secs(3_600)));
        assert_eq!(of(&body), Ok(NewToken { workloads: vec!["web*".to_owned()], expires_at, ..ci }));
        let refused = |body: Value| of(&body).expect_err("refused").detail().to_owned();
        assert_eq!(
            refused(json!({"name": "a\u{202e}", "role": "agent", "workloads": ["web["], "expires_in": "1s"})),
            "/name: expected 1 to 100 visible characters; /role: expected `viewer` or `operator` or `admin`, found \
             `\"agent\"`; /workloads/0: `web[` is no glob: unclosed character class; missing ']'; /expires_in: expected 1 \
             minute to 3650 days"
        );
        assert_eq!(refused(json!({})), "/name: this field is required; /role: this field is required");
    }
}

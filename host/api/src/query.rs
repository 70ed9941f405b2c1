//! The parameters in queries: each is known and given at most once.

use crate::error::{FieldProblem, Problem};
use crate::json::problems::{join, unknown};
use crate::json::time::parse_time;
use crate::operation::{Description, Part};
use axum::extract::{self, FromRequestParts};
use axum::http::Uri;
use axum::http::request::Parts;
use serde_json::{Value, json};
use windlass_core::Timestamp;

/// The query of a request.
pub(crate) struct Query<Q>(pub(crate) Q);

/// A request without a query.
pub(crate) type NoQuery = Query<()>;

/// The parameters of a query.
pub(crate) trait Parameters: Sized + Default {
    /// Each parameter: its name, its meaning and its schema.
    fn described() -> Vec<(&'static str, &'static str, Value)>;

    /// Whether the parameter of this name may be given more than once.
    fn may_repeat(_name: &str) -> bool {
        false
    }

    /// Sets the parameter of this name, which is one of the described ones.
    ///
    /// # Errors
    /// 422 if the value is wrong.
    fn set(&mut self, name: &str, value: String) -> Result<(), Problem>;
}

impl Parameters for () {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        vec![]
    }

    fn set(&mut self, _: &str, _: String) -> Result<(), Problem> {
        Ok(())
    }
}

impl<S: Send + Sync, Q: Parameters> FromRequestParts<S> for Query<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let known: Vec<&str> = Q::described().iter().map(|(name, ..)| *name).collect();
        let mut query = Q::default();
        for (name, value) in read(&parts.uri, &known, Q::may_repeat)? {
            query.set(&name, value)?;
        }
        Ok(Self(query))
    }
}

impl<Q: Parameters> Part for Query<Q> {
    fn describe(description: &mut Description) {
        for (name, meaning, schema) in Q::described() {
            description.errors.insert(422);
            description.parameters.push(json!({"name": name, "in": "query", "description": meaning, "schema": schema}));
        }
    }
}

/// A boolean: `true`, `1`, `yes`, `on` or their opposites.
///
/// # Errors
/// 422 if it is none of them.
pub(crate) fn boolean(name: &str, text: &str) -> Result<bool, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "t" => Ok(true),
        "false" | "0" | "no" | "off" | "n" | "f" => Ok(false),
        _ => Err(wrong(name, "expected `true` or `false`")),
    }
}

/// A time: RFC 3339, or milliseconds since the Unix epoch.
///
/// # Errors
/// 422 if it is neither.
pub(crate) fn time(name: &str, text: &str) -> Result<Timestamp, Problem> {
    parse_time(text).map_err(|detail| wrong(name, detail))
}

/// 422 about one parameter.
pub(crate) fn wrong(name: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid_at(&join("/query", name), detail)
}

/// The parameters of a query, each of which is `known` and appears once, unless it may be repeated.
fn read(uri: &Uri, known: &[&str], may_repeat: fn(&str) -> bool) -> Result<Vec<(String, String)>, Problem> {
    let pairs = match extract::Query::<Vec<(String, String)>>::try_from_uri(uri) {
        Ok(extract::Query(pairs)) => pairs,
        Err(_) => return Err(Problem::invalid_at("/query", "the query is malformed")),
    };
    let mut problems = Vec::new();
    let mut seen: Vec<(String, String)> = Vec::new();
    for (name, value) in pairs {
        let detail = if !known.contains(&name.as_str()) {
            unknown("query parameter", &name, known)
        } else if !may_repeat(&name) && seen.iter().any(|(earlier, _)| *earlier == name) {
            "given more than once".to_owned()
        } else {
            seen.push((name, value));
            continue;
        };
        problems.push(FieldProblem { pointer: join("/query", &name), detail });
    }
    if problems.is_empty() { Ok(seen) } else { Err(Problem::invalid(&problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_repeated_query_parameters_are_refused() {
        let read = |text: &str| read(&text.parse().expect("a URI"), &["force", "kind"], |name| name == "kind");
        assert_eq!(read("/x"), Ok(vec![]));
        assert_eq!(read("/x?force=1"), Ok(vec![("force".to_owned(), "1".to_owned())]));
        let refused = |text: &str| read(text).expect_err(text).detail().to_owned();
        assert_eq!(refused("/x?froce=1"), "/query/froce: unknown query parameter; did you mean `force`?");
        assert_eq!(refused("/x?force=1&force=0"), "/query/force: given more than once");
        assert_eq!(read("/x?kind=a&kind=b").map(|pairs| pairs.len()), Ok(2));
    }
}

//! The problems found in a request so far, and the words for them.

use crate::error::{FieldProblem, Problem};
use serde_json::Value;

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Records a problem at a JSON pointer.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldProblem { pointer: pointer.into(), detail: detail.into() });
    }

    /// Records the problems of a part, after those recorded so far.
    pub(crate) fn append(&mut self, mut part: Self) {
        self.0.append(&mut part.0);
    }

    /// Returns `value` if no problem was recorded.
    ///
    /// # Errors
    /// 422 with every problem.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Problem::invalid(&self.0)),
        }
    }
}

/// Says that a name is unknown, and which known name is close to it.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match windlass_core::text::nearest(name, known) {
        Some(near) => format!("unknown {what}; did you mean `{near}`?"),
        None if known.is_empty() => format!("unknown {what}; none is expected here"),
        None => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("unknown {what}; expected {}", names.join(", "))
        }
    }
}

/// Extends a JSON pointer by one name (RFC 6901 escapes).
pub(crate) fn join(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The JSON type of a value, for a message.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value for a message: a short one as it is, any other by its type.
pub(crate) fn quote(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) if text.len() <= 40 => format!("`\"{}\"`", text.escape_debug()),
        other => kind(other).to_owned(),
    }
}

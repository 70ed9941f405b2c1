//! The problems found in a request so far, and the words for them.

use crate::error::{FieldProblem, MOST_PROBLEMS, Problem};
use serde_json::Value;

/// Most bytes of a pointer. A longer one ends with the names above the field.
const LONGEST_POINTER: usize = 512;

/// Most bytes of one name in a pointer.
const LONGEST_NAME: usize = 128;

/// The first problems found so far, and the number of the others.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    first: Vec<FieldProblem>,
    more: usize,
}

impl Problems {
    /// Records a problem at a JSON pointer.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.first.len() < MOST_PROBLEMS {
            self.first.push(FieldProblem { pointer: pointer.into(), detail: detail.into() });
        } else {
            self.more += 1;
        }
    }

    /// Records a problem whose words take time to find. They are only found if the problem is listed.
    pub(crate) fn add_with(&mut self, problem: impl FnOnce() -> (String, String)) {
        if self.first.len() < MOST_PROBLEMS {
            let (pointer, detail) = problem();
            self.add(pointer, detail);
        } else {
            self.more += 1;
        }
    }

    /// Records the problems of a part, after those recorded so far.
    pub(crate) fn append(&mut self, part: Self) {
        self.more += part.more;
        for FieldProblem { pointer, detail } in part.first {
            self.add(pointer, detail);
        }
    }

    /// Returns `value` if no problem was recorded.
    ///
    /// # Errors
    /// 422 with every problem.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.first.is_empty() => Ok(value),
            _ => Err(Problem::invalid_and_more(&self.first, self.more)),
        }
    }

    /// Returns `value` if no problem was recorded.
    ///
    /// # Errors
    /// The first problems.
    pub(crate) fn listed<T>(self, value: Option<T>) -> Result<T, Vec<FieldProblem>> {
        match value {
            Some(value) if self.first.is_empty() => Ok(value),
            _ => Err(self.first),
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

/// Extends a JSON pointer by one name (RFC 6901 escapes). A long name is cut, and a long pointer is not extended: a body
/// could contain one long name with many fields below it.
pub(crate) fn join(pointer: &str, name: &str) -> String {
    if pointer.len() > LONGEST_POINTER {
        return pointer.to_owned();
    }
    let (name, rest) = name.split_at(name.floor_char_boundary(LONGEST_NAME));
    let cut = if rest.is_empty() { "" } else { "…" };
    format!("{pointer}/{}{cut}", name.replace('~', "~0").replace('/', "~1"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problems_are_listed_and_the_others_are_counted() {
        let mut problems = Problems::default();
        for index in 0..50 {
            problems.add(format!("/{index}"), "wrong");
        }
        let mut part = Problems::default();
        part.add("/part", "wrong");
        problems.append(part);
        let problem = problems.finish(Some(())).expect_err("refused");
        assert!(problem.detail().ends_with("/19: wrong; and 31 more problems"), "{}", problem.detail());
        let listed = problem.member("errors").and_then(Value::as_array).map(Vec::len);
        assert_eq!((listed, problem.member("more_errors")), (Some(20), Some(&31.into())));
    }

    #[test]
    fn a_long_name_makes_no_long_pointers() {
        assert_eq!(join("/a", "b/c~"), "/a/b~1c~0");
        let mut pointer = String::new();
        for _ in 0..100 {
            pointer = join(&pointer, &"é".repeat(100_000));
        }
        assert!(pointer.len() < 800, "{}", pointer.len());
        let mut problems = Problems::default();
        problems.add("/a", "b".repeat(100_000));
        assert!(problems.finish(Some(())).expect_err("refused").detail().len() < 2_000);
    }
}

//! Reads a JSON body field by field: strictly, and with everything that is wrong with it at once.

use crate::error::{FieldProblem, Problem};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;
use windlass_core::Invalid;
use windlass_core::text::duration;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Notes a problem at a place.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldProblem { pointer: pointer.into(), detail: detail.into() });
    }

    /// `Ok` with `value` when nothing was wrong and there is a value.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Problem::invalid(&self.0)),
        }
    }
}

/// One JSON object and where it lies in the body.
pub(crate) struct Fields<'v> {
    pointer: String,
    map: &'v Map<String, Value>,
}

impl<'v> Fields<'v> {
    /// The object at `pointer`; notes what is no object, and every field that is not `known`.
    pub(crate) fn of(value: &'v Value, pointer: &str, known: &[&str], problems: &mut Problems) -> Option<Self> {
        let Value::Object(map) = value else {
            problems.add(pointer, format!("expected an object, found {}", kind(value)));
            return None;
        };
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            problems.add(join(pointer, name), unknown("field", name, known));
        }
        Some(Self { pointer: pointer.to_owned(), map })
    }

    /// Where a field of this object lies.
    pub(crate) fn at(&self, name: &str) -> String {
        join(&self.pointer, name)
    }

    /// Whether the field is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// The field, read by `read`; none and no problem when it is absent.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        read: impl FnOnce(&'v Value, &str, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        self.map.get(name).and_then(|value| read(value, &self.at(name), problems))
    }

    /// As [`Self::optional`], with null for absent.
    pub(crate) fn nullable<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        read: impl FnOnce(&'v Value, &str, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        self.map.get(name).filter(|value| !value.is_null()).and_then(|value| read(value, &self.at(name), problems))
    }

    /// The field, read by `read`; its absence is a problem.
    pub(crate) fn required<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        read: impl FnOnce(&'v Value, &str, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        if !self.map.contains_key(name) {
            problems.add(self.at(name), "this field is required");
        }
        self.optional(name, problems, read)
    }

    /// As [`Self::optional`], with `default` for an absent field.
    pub(crate) fn or<T>(
        &self,
        name: &str,
        default: T,
        problems: &mut Problems,
        read: impl FnOnce(&'v Value, &str, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        if self.map.contains_key(name) { self.optional(name, problems, read) } else { Some(default) }
    }
}

/// Reads a whole number of a range.
pub(crate) fn whole<T: TryFrom<u64> + Display>(
    range: RangeInclusive<u64>,
) -> impl Fn(&Value, &str, &mut Problems) -> Option<T> {
    move |value, pointer, problems| {
        let number = value.as_u64().filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            problems.add(pointer, format!("expected a whole number from {low} to {high}, found {}", show(value)));
        }
        number
    }
}

/// Reads a length of time: a number of seconds, or text such as `5s`.
pub(crate) fn length_of_time(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Duration> {
    let read = match value {
        Value::Number(number) => number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        Value::String(text) => duration(text).ok(),
        _ => None,
    };
    if read.is_none() {
        problems.add(pointer, "expected a length of time: a number of seconds, or text such as `500ms`, `5s` or `1m`");
    }
    read
}

/// Reads text.
pub(crate) fn text(value: &Value, pointer: &str, problems: &mut Problems) -> Option<String> {
    let text = value.as_str().map(str::to_owned);
    if text.is_none() {
        problems.add(pointer, format!("expected text, found {}", show(value)));
    }
    text
}

/// Reads a program and its arguments.
pub(crate) fn command(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Vec<String>> {
    let command = list_of(text)(value, pointer, problems)?;
    if command.first().is_none_or(String::is_empty) {
        problems.add(pointer, "expected a program and its arguments");
    }
    if command.iter().any(|word| word.contains('\0')) {
        problems.add(pointer, "a command has no NUL");
    }
    Some(command)
}

/// Reads text that is parsed further.
pub(crate) fn parsed<T: FromStr<Err = Invalid>>(value: &Value, pointer: &str, problems: &mut Problems) -> Option<T> {
    parsed_by(str::parse)(value, pointer, problems)
}

/// Reads text that `parse` makes something of.
pub(crate) fn parsed_by<T>(
    parse: impl Fn(&str) -> Result<T, Invalid>,
) -> impl Fn(&Value, &str, &mut Problems) -> Option<T> {
    move |value, pointer, problems| match parse(&text(value, pointer, problems)?) {
        Ok(parsed) => Some(parsed),
        Err(invalid) => {
            problems.add(pointer, invalid.0);
            None
        }
    }
}

/// Reads true or false.
pub(crate) fn truth(value: &Value, pointer: &str, problems: &mut Problems) -> Option<bool> {
    let truth = value.as_bool();
    if truth.is_none() {
        problems.add(pointer, format!("expected `true` or `false`, found {}", show(value)));
    }
    truth
}

/// Reads one of a few words.
pub(crate) fn one_of<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Value, &str, &mut Problems) -> Option<T> {
    move |value, pointer, problems| {
        let found = value.as_str().and_then(|word| choices.iter().find(|(name, _)| *name == word));
        if found.is_none() {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            problems.add(pointer, format!("expected {}, found {}", names.join(" or "), show(value)));
        }
        found.map(|(_, choice)| *choice)
    }
}

/// Reads an object with any names, each of them and its value by `read`.
pub(crate) fn map_of<K: Ord, T>(
    read: impl Fn(&str, &Value, &str, &mut Problems) -> Option<(K, T)>,
) -> impl Fn(&Value, &str, &mut Problems) -> Option<BTreeMap<K, T>> {
    move |value, pointer, problems| {
        let Value::Object(map) = value else {
            problems.add(pointer, format!("expected an object, found {}", kind(value)));
            return None;
        };
        let entries: Vec<Option<(K, T)>> =
            map.iter().map(|(name, value)| read(name, value, &join(pointer, name), problems)).collect();
        entries.into_iter().collect()
    }
}

/// Reads a list, each element by `read`.
pub(crate) fn list_of<T>(
    read: impl Fn(&Value, &str, &mut Problems) -> Option<T>,
) -> impl Fn(&Value, &str, &mut Problems) -> Option<Vec<T>> {
    move |value, pointer, problems| {
        let Value::Array(elements) = value else {
            problems.add(pointer, format!("expected a list, found {}", show(value)));
            return None;
        };
        let read: Vec<Option<T>> = elements
            .iter()
            .enumerate()
            .map(|(index, element)| read(element, &format!("{pointer}/{index}"), problems))
            .collect();
        read.into_iter().collect()
    }
}

/// Says that a name is not known, and which known one is near it.
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

/// A JSON pointer one step further (RFC 6901 escapes).
pub(crate) fn join(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value for a message: short ones as they are, others by their kind.
fn show(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) if text.len() <= 40 => format!("`\"{}\"`", text.escape_debug()),
        other => kind(other).to_owned(),
    }
}

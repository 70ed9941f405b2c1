//! Reads the fields of a JSON object, and tells an absent field from null.

use crate::json::problems::{Problems, join, kind, unknown};
use crate::json::shape::Shape;
use serde_json::{Map, Value};

/// A field of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field<T> {
    /// The object has no such field.
    Absent,
    /// The field is null, where null is allowed.
    Null,
    /// The field is wrong; the problem is recorded.
    Wrong,
    /// The field's value.
    Given(T),
}

impl<T> Field<T> {
    /// The value; `None` if the field is absent, null or wrong.
    pub(crate) fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            _ => None,
        }
    }

    /// The value, or `default` if the field is absent or null; `None` if the field is wrong.
    pub(crate) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Null => Some(default),
            Self::Wrong => None,
        }
    }

    /// Whether the object has no such field.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether the field is there and not null, right or wrong.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::Wrong | Self::Given(_))
    }
}

/// One JSON object and its pointer in the body.
pub(crate) struct Fields<'v> {
    pointer: String,
    map: &'v Map<String, Value>,
}

impl<'v> Fields<'v> {
    /// The object at `pointer`. Records a value that is not an object, and every field that is neither `known` nor
    /// `read_only`.
    pub(crate) fn of(
        value: &'v Value,
        pointer: &str,
        known: &[&str],
        read_only: &[&str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let Value::Object(map) = value else {
            problems.add(pointer, format!("expected an object, found {}", kind(value)));
            return None;
        };
        for name in map.keys().map(String::as_str).filter(|name| !known.contains(name) && !read_only.contains(name)) {
            problems.add_with(|| (join(pointer, name), unknown("field", name, known)));
        }
        Some(Self { pointer: pointer.to_owned(), map })
    }

    /// A field whose absence is a problem.
    pub(crate) fn required<T: 'static>(&self, name: &str, problems: &mut Problems, shape: &Shape<T>) -> Field<T> {
        if self.map.contains_key(name) {
            return self.optional(name, problems, shape);
        }
        problems.add(join(&self.pointer, name), "this field is required");
        Field::Wrong
    }

    /// A field that may be absent.
    pub(crate) fn optional<T: 'static>(&self, name: &str, problems: &mut Problems, shape: &Shape<T>) -> Field<T> {
        let Some(value) = self.map.get(name) else { return Field::Absent };
        shape.read(value, &join(&self.pointer, name), problems).map_or(Field::Wrong, Field::Given)
    }

    /// A field that may be absent or null.
    pub(crate) fn nullable<T: 'static>(&self, name: &str, problems: &mut Problems, shape: &Shape<T>) -> Field<T> {
        match self.map.get(name) {
            Some(Value::Null) => Field::Null,
            _ => self.optional(name, problems, shape),
        }
    }

    /// The fields of these names that are there, as they are.
    pub(crate) fn raw(&self, names: &[&str]) -> Map<String, Value> {
        let there = names.iter().filter_map(|name| Some(((*name).to_owned(), self.map.get(*name)?.clone())));
        there.collect()
    }
}

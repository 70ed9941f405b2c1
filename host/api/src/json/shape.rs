//! The values of fields: each shape both reads a value and describes it for OpenAPI.

use crate::json::pattern::WITHOUT_NUL;
use crate::json::problems::{Problems, join, kind, quote};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use windlass_core::Invalid;

/// The named schemas of the OpenAPI document.
pub(crate) type Schemas = Map<String, Value>;

type Read<T> = Box<dyn Fn(&Value, &str, &mut Problems) -> Option<T>>;

/// A kind of JSON value: its reader and its schema.
pub(crate) struct Shape<T> {
    read: Read<T>,
    schema: Box<dyn Fn(&mut Schemas) -> Value>,
}

impl<T: 'static> Shape<T> {
    /// A shape with a fixed schema.
    pub(crate) fn new(schema: Value, read: impl Fn(&Value, &str, &mut Problems) -> Option<T> + 'static) -> Self {
        Self::with_schema(move |_| schema.clone(), read)
    }

    /// A shape whose schema refers to others.
    pub(crate) fn with_schema(
        schema: impl Fn(&mut Schemas) -> Value + 'static,
        read: impl Fn(&Value, &str, &mut Problems) -> Option<T> + 'static,
    ) -> Self {
        Self { read: Box::new(read), schema: Box::new(schema) }
    }

    /// Reads the value at `pointer`. Returns `None` after recording why it is wrong.
    pub(crate) fn read(&self, value: &Value, pointer: &str, problems: &mut Problems) -> Option<T> {
        (self.read)(value, pointer, problems)
    }

    /// The OpenAPI schema; named schemas that it refers to are added to `schemas`.
    pub(crate) fn schema(&self, schemas: &mut Schemas) -> Value {
        (self.schema)(schemas)
    }

    /// The same JSON, converted or checked further by `convert`.
    pub(crate) fn then<U: 'static>(self, convert: impl Fn(T, &str, &mut Problems) -> Option<U> + 'static) -> Shape<U> {
        let Self { read, schema } = self;
        let read = move |value: &Value, pointer: &str, problems: &mut Problems| {
            convert(read(value, pointer, problems)?, pointer, problems)
        };
        Shape { read: Box::new(read), schema }
    }

    /// The same text with a regular expression in its schema, and the most characters that it may have.
    pub(crate) fn pattern(self, pattern: &str, most: usize) -> Self {
        self.keyword("pattern", json!(pattern)).keyword("maxLength", json!(most))
    }

    /// The same shape with one more keyword in its schema.
    pub(crate) fn keyword(self, name: &'static str, keyword: Value) -> Self {
        let Self { read, schema } = self;
        let schema = move |schemas: &mut Schemas| {
            let mut schema = schema(schemas);
            schema[name] = keyword.clone();
            schema
        };
        Self { read, schema: Box::new(schema) }
    }
}

impl<T: 'static> Shape<Vec<T>> {
    /// A list of at most `most` elements; `detail` says so.
    pub(crate) fn at_most(self, most: usize, detail: impl Fn(usize) -> String + 'static) -> Self {
        let limited = self.then(move |elements, pointer, problems| {
            if elements.len() > most {
                problems.add(pointer, detail(elements.len()));
            }
            Some(elements)
        });
        limited.keyword("maxItems", json!(most))
    }
}

/// A whole number of a range.
pub(crate) fn whole<T: TryFrom<u64> + Display + 'static>(range: RangeInclusive<u64>) -> Shape<T> {
    let (low, high) = (*range.start(), *range.end());
    Shape::new(json!({"type": "integer", "minimum": low, "maximum": high}), move |value, pointer, problems| {
        let number =
            whole_number(value).filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            problems.add(pointer, format!("expected a whole number from {low} to {high}, found {}", quote(value)));
        }
        number
    })
}

/// A whole number from 0 in JSON, where `1.0` is one, too.
pub(crate) fn whole_number(value: &Value) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and within the range of f64's integers"
    )]
    let of_float = |number: f64| (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(of_float))
}

/// 2^53: every whole number up to it is exact in JSON.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A port inside a replica.
pub(crate) fn port() -> Shape<u16> {
    whole(1..=65_535)
}

/// Any number.
pub(crate) fn number() -> Shape<f64> {
    Shape::new(json!({"type": "number"}), |value, pointer, problems| {
        let number = value.as_f64();
        if number.is_none() {
            problems.add(pointer, "expected a number");
        }
        number
    })
}

/// Any text.
pub(crate) fn text() -> Shape<String> {
    Shape::new(json!({"type": "string"}), |value, pointer, problems| {
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            problems.add(pointer, format!("expected text, found {}", quote(value)));
        }
        text
    })
}

/// Text of a length, in characters, without NUL.
pub(crate) fn text_of(length: RangeInclusive<usize>) -> Shape<String> {
    let (least, most) = (*length.start(), *length.end());
    let limited = text().then(move |text, pointer, problems| {
        if !length.contains(&text.chars().count()) || text.contains('\0') {
            problems.add(pointer, format!("expected {least} to {most} characters of text without NUL"));
        }
        Some(text)
    });
    limited.pattern(WITHOUT_NUL, most).keyword("minLength", json!(least))
}

/// Text that `parse` converts.
pub(crate) fn parsed_by<T: 'static>(parse: impl Fn(&str) -> Result<T, Invalid> + 'static) -> Shape<T> {
    text().then(move |text, pointer, problems| parse(&text).map_err(|invalid| problems.add(pointer, invalid.0)).ok())
}

/// Text that a type of the vocabulary parses.
pub(crate) fn parsed<T: FromStr<Err = Invalid> + 'static>() -> Shape<T> {
    parsed_by(str::parse)
}

/// A program and its arguments.
pub(crate) fn command() -> Shape<Vec<String>> {
    command_of(LONGEST_WORD)
}

/// The most characters of a word of a command: the kernel takes at most 128 KiB for one.
const LONGEST_WORD: usize = 32_767;

/// A program and its arguments, each of at most this many characters.
pub(crate) fn command_of(longest: usize) -> Shape<Vec<String>> {
    let word = text().pattern(WITHOUT_NUL, longest);
    let command = list_of(word).then(move |command, pointer, problems| {
        if command.first().is_none_or(String::is_empty) {
            problems.add(pointer, "expected a program and its arguments");
        }
        if command.iter().any(|word| word.contains('\0')) {
            problems.add(pointer, "a command has no NUL");
        }
        if command.iter().any(|word| word.chars().count() > longest) {
            problems.add(pointer, format!("a word has at most {longest} characters"));
        }
        Some(command)
    });
    let program = json!([{"type": "string", "pattern": WITHOUT_NUL, "minLength": 1, "maxLength": longest}]);
    command.keyword("minItems", json!(1)).keyword("prefixItems", program)
}

/// `true` or `false`.
pub(crate) fn boolean() -> Shape<bool> {
    Shape::new(json!({"type": "boolean"}), |value, pointer, problems| {
        let boolean = value.as_bool();
        if boolean.is_none() {
            problems.add(pointer, format!("expected `true` or `false`, found {}", quote(value)));
        }
        boolean
    })
}

/// One of a few words.
pub(crate) fn one_of<T: Copy + 'static>(choices: &'static [(&'static str, T)]) -> Shape<T> {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    Shape::new(json!({"type": "string", "enum": words}), move |value, pointer, problems| {
        let found = value.as_str().and_then(|word| choices.iter().find(|(name, _)| *name == word));
        if found.is_none() {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            problems.add(pointer, format!("expected {}, found {}", names.join(" or "), quote(value)));
        }
        found.map(|(_, choice)| *choice)
    })
}

/// An object with any names; `entry` converts each name with its value.
pub(crate) fn map_of<K: Ord + 'static, V: 'static, T: 'static>(
    values: Shape<V>,
    entry: impl Fn(&str, Option<V>, &str, &mut Problems) -> Option<(K, T)> + 'static,
) -> Shape<BTreeMap<K, T>> {
    let Shape { read, schema } = values;
    let schema = move |schemas: &mut Schemas| json!({"type": "object", "additionalProperties": schema(schemas)});
    Shape::with_schema(schema, move |value, pointer, problems| {
        let Value::Object(map) = value else {
            problems.add(pointer, format!("expected an object, found {}", kind(value)));
            return None;
        };
        let entries = map.iter().map(|(name, value)| {
            let pointer = join(pointer, name);
            let mut inside = Problems::default();
            let value = read(value, &pointer, &mut inside);
            // The problems of a name come before those of its value.
            let entry = entry(name, value, &pointer, problems);
            problems.append(inside);
            entry
        });
        let entries: Vec<Option<(K, T)>> = entries.collect();
        entries.into_iter().collect()
    })
}

/// A list.
pub(crate) fn list_of<T: 'static>(elements: Shape<T>) -> Shape<Vec<T>> {
    let Shape { read, schema } = elements;
    let schema = move |schemas: &mut Schemas| json!({"type": "array", "items": schema(schemas)});
    Shape::with_schema(schema, move |value, pointer, problems| {
        let Value::Array(elements) = value else {
            problems.add(pointer, format!("expected a list, found {}", quote(value)));
            return None;
        };
        let read: Vec<Option<T>> = (elements.iter().enumerate())
            .map(|(index, element)| read(element, &format!("{pointer}/{index}"), problems))
            .collect();
        read.into_iter().collect()
    })
}

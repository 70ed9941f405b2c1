//! Parses `windlass.toml`, and words its errors.

use crate::config::raw::RawConfig;
use windlass_core::text::nearest;

/// The problem of a file, with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// Parses the text of a file.
pub(super) fn parse(text: &str) -> Result<RawConfig, Malformed> {
    let deserializer = toml::Deserializer::parse(text).map_err(|error| malformed(text, "", &error))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        malformed(text, path.trim_matches('.'), error.inner())
    })
}

fn malformed(text: &str, path: &str, error: &toml::de::Error) -> Malformed {
    let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(text));
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Malformed { line, column, message: message(path, error.message().trim()) }
}

/// The parser's message with the name of the field; for an unknown field, the nearest known name.
fn message(path: &str, text: &str) -> String {
    let Some((wrong, expected)) = text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) else {
        return if path.is_empty() { text.to_owned() } else { format!("`{path}`: {text}") };
    };
    // The path of an unknown field ends with its name or with its section.
    let section = path.strip_suffix(wrong).unwrap_or(path).trim_end_matches('.');
    let key = if section.is_empty() { wrong.to_owned() } else { format!("{section}.{wrong}") };
    // Every second piece is a known name between backticks.
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    match nearest(wrong, &known) {
        Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
        None => format!("unknown key `{key}`; expected {}", known.join(", ")),
    }
}

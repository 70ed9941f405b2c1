//! A policy's JSON Schema: whether it is valid, and whether a configuration fits it.
//!
//! The policy supplies the schema and the host applies it, so its cost is limited: no reference is fetched, patterns match
//! in linear time, and the schema with every reference expanded has a limited size. Without that limit, a few definitions
//! that each refer twice to the one before would keep the host busy for ever.

use crate::convert::excerpt;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Problems reported for one configuration at most.
const MAX_PROBLEMS: usize = 20;

/// Values that a schema may have with every reference expanded.
const MAX_VALUES: usize = 10_000;

/// Levels of nested values and references.
const MAX_DEPTH: usize = 100;

/// Values that a pattern counts as, because its automaton needs memory.
const PATTERN_VALUES: usize = 100;

/// Bytes of memory that a compiled pattern may use, and that matching it may use as well.
const PATTERN_BYTES: usize = 256 << 10;

/// A schema, ready to check configurations.
///
/// # Errors
/// Why it is invalid, as the end of a sentence that begins with its name.
pub(crate) fn parse(text: &str) -> Result<Validator, String> {
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        return Err("is not a JSON Schema: expected a JSON object".to_owned());
    }
    let mut left = MAX_VALUES;
    expand(&schema, &schema, MAX_DEPTH, &mut left)?;
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    let options = jsonschema::options().with_pattern_options(patterns);
    options.build(&schema).map_err(|error| format!("is not a JSON Schema: {}", excerpt(&error.to_string())))
}

/// Counts the values of `value`, a part of the schema `root`, with every reference expanded.
fn expand(value: &Value, root: &Value, depth: usize, left: &mut usize) -> Result<(), String> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(format!("is more than {MAX_DEPTH} levels deep with its references, or refers to itself"));
    };
    let mut take = |values: usize| {
        *left = left.checked_sub(values).ok_or_else(|| {
            format!("has more than {MAX_VALUES} values with its references ({PATTERN_VALUES} for each pattern)")
        })?;
        Ok::<(), String>(())
    };
    take(1)?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| expand(item, root, deeper, left)),
        Value::Object(fields) => {
            for (key, field) in fields {
                match (key.as_str(), field) {
                    ("pattern", Value::String(_)) => take(PATTERN_VALUES)?,
                    ("patternProperties", Value::Object(patterns)) => take(PATTERN_VALUES * patterns.len())?,
                    _ => {}
                }
            }
            for (key, field) in fields {
                match (key.as_str(), field) {
                    ("$ref", Value::String(reference)) => {
                        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                        let target = target.ok_or_else(|| {
                            format!("refers to `{}`; expected `#/` and the path to a part of it", excerpt(reference))
                        })?;
                        expand(target, root, deeper, left)?;
                    }
                    // Their target depends on the configuration or on their position.
                    ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                        return Err(format!("has a `{key}`; expected `$ref`"));
                    }
                    ("$id", Value::String(_)) if !std::ptr::eq(value, root) => {
                        return Err("has a nested `$id`; expected one at the top at most".to_owned());
                    }
                    _ => expand(field, root, deeper, left)?,
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The problems of a configuration, JSON text, under a schema: (JSON pointer, problem).
pub(crate) fn check(schema: &str, config: &str) -> Vec<(String, String)> {
    let whole = |why: String| vec![(String::new(), why)];
    let config = match serde_json::from_str(config) {
        Ok(config) => config,
        Err(error) => return whole(format!("it is not JSON: {error}")),
    };
    match parse(schema) {
        Ok(schema) => {
            let found = schema.iter_errors(&config).take(MAX_PROBLEMS);
            found.map(|error| (error.instance_path().to_string(), excerpt(&error.to_string()))).collect()
        }
        Err(why) => whole(format!("the schema {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: &Value) -> String {
        parse(&schema.to_string()).expect_err("it is refused")
    }

    /// Definitions of which each is `of` the one before.
    fn chain(links: usize, of: impl Fn(Value) -> Value) -> Value {
        let link = |at: usize| json!({"$ref": format!("#/$defs/{at}")});
        let definitions = (1..=links).map(|at| (at.to_string(), of(link(at - 1))));
        let first = [("0".to_owned(), json!({"type": "object"}))];
        json!({"$defs": first.into_iter().chain(definitions).collect::<serde_json::Map<_, _>>(), "$ref": format!("#/$defs/{links}")})
    }

    #[test]
    fn what_it_comes_to_written_out_is_bounded() {
        let doubles = |before: Value| json!({"allOf": [before, before]});
        assert!(parse(&chain(6, doubles).to_string()).is_ok());
        assert!(refused(&chain(40, doubles)).starts_with("has more than 10000 values"));
        assert!(refused(&chain(60, |before| json!({"not": before}))).starts_with("is more than 100 levels deep"));
        assert!(refused(&json!({"properties": {"inner": {"$ref": "#"}}})).ends_with("or refers to itself"));
        let patterns: Vec<Value> = (0..100).map(|at| json!({"pattern": format!("a{at}")})).collect();
        assert!(refused(&json!({"allOf": patterns})).ends_with("(100 for each pattern)"));
        assert!(parse(&json!({"allOf": patterns[..50]}).to_string()).is_ok());
        assert!(refused(&json!({"pattern": "(\\w{100}){100}"})).contains("is not a JSON Schema: "));
    }

    #[test]
    fn it_refers_to_its_own_parts_only() {
        for (schema, why) in [
            (json!({"$ref": "other.json"}), "refers to `other.json`; expected `#/`"),
            (json!({"$ref": "#name"}), "refers to `#name`; expected `#/`"),
            (json!({"$ref": "#/$defs/none"}), "refers to `#/$defs/none`; expected `#/`"),
            (json!({"$dynamicRef": "#a"}), "has a `$dynamicRef`; expected `$ref`"),
            (json!({"properties": {"a": {"$id": "https://example.com/a"}}}), "has a nested `$id`"),
        ] {
            assert!(refused(&schema).starts_with(why), "{}", refused(&schema));
        }
        let named = json!({"$id": "https://example.com/config", "properties": {"$ref": {"type": "string"}}});
        assert!(parse(&named.to_string()).is_ok());
    }
}

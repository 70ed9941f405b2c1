//! A policy's JSON Schema: whether it is one, and what it says of a configuration.
//!
//! It comes from the policy and is applied in the host, so what it may cost is bounded here: nothing it refers to is
//! fetched, patterns run in time linear to their input, and written out, with what its references lead to in their
//! place, it has an end and a bounded size. Without that, a few lines of definitions that each refer to the one before
//! twice would take longer than anybody waits.

use crate::convert::excerpt;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Findings told of one configuration at most.
const MAX_PROBLEMS: usize = 20;

/// Values that a schema may come to, written out.
const MAX_VALUES: usize = 10_000;

/// Levels of values within values and of references, one on another.
const MAX_DEPTH: usize = 100;

/// Values a pattern counts as, for the memory its automaton takes.
const PATTERN_VALUES: usize = 100;

/// Memory in bytes that a pattern may be compiled to, and that matching it may take as well.
const PATTERN_BYTES: usize = 256 << 10;

/// A schema ready for use.
///
/// # Errors
/// Why it is none, to be read after its name.
pub(crate) fn parse(text: &str) -> Result<Validator, String> {
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        return Err("is not a JSON Schema: expected a JSON object".to_owned());
    }
    let mut left = MAX_VALUES;
    write_out(&schema, &schema, MAX_DEPTH, &mut left)?;
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    let options = jsonschema::options().with_pattern_options(patterns);
    options.build(&schema).map_err(|error| format!("is not a JSON Schema: {}", excerpt(&error.to_string())))
}

/// Goes through `value` of the schema `root` as it would be written out, while values are left.
fn write_out(value: &Value, root: &Value, depth: usize, left: &mut usize) -> Result<(), String> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(format!("is more than {MAX_DEPTH} levels deep with what it refers to, or refers to itself"));
    };
    let mut take = |values: usize| {
        *left = left.checked_sub(values).ok_or_else(|| {
            format!("comes to more than {MAX_VALUES} values with what it refers to ({PATTERN_VALUES} for a pattern)")
        })?;
        Ok::<(), String>(())
    };
    take(1)?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| write_out(item, root, deeper, left)),
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
                            format!("refers to `{}`; expected `#/` and the way to a part of it", excerpt(reference))
                        })?;
                        write_out(target, root, deeper, left)?;
                    }
                    // Where these lead depends on the configuration, or on where they stand.
                    ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                        return Err(format!("has a `{key}`; expected `$ref`"));
                    }
                    ("$id", Value::String(_)) if !std::ptr::eq(value, root) => {
                        return Err("has an `$id` within; expected one at its top at most".to_owned());
                    }
                    _ => write_out(field, root, deeper, left)?,
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Everything the schema in `schema` finds wrong with the configuration in `config`: (JSON pointer, what is wrong
/// there).
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
        assert!(refused(&chain(40, doubles)).starts_with("comes to more than 10000 values"));
        assert!(refused(&chain(60, |before| json!({"not": before}))).starts_with("is more than 100 levels deep"));
        assert!(refused(&json!({"properties": {"inner": {"$ref": "#"}}})).ends_with("or refers to itself"));
        let patterns: Vec<Value> = (0..100).map(|at| json!({"pattern": format!("a{at}")})).collect();
        assert!(refused(&json!({"allOf": patterns})).ends_with("(100 for a pattern)"));
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
            (json!({"properties": {"a": {"$id": "https://example.com/a"}}}), "has an `$id` within"),
        ] {
            assert!(refused(&schema).starts_with(why), "{}", refused(&schema));
        }
        let named = json!({"$id": "https://example.com/config", "properties": {"$ref": {"type": "string"}}});
        assert!(parse(&named.to_string()).is_ok());
    }
}

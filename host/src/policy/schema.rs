//! A policy's JSON Schema: whether it is one, and what it says of a configuration.

use super::convert::excerpt;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Findings told of one configuration at most.
const MAX_PROBLEMS: usize = 20;

/// A schema ready for use. It comes from the policy: patterns run in time linear to their input, and nothing
/// it refers to is fetched.
///
/// # Errors
/// Why it is no JSON Schema.
pub(super) fn compile(schema: &Value) -> Result<Validator, String> {
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| excerpt(&error.to_string()))
}

/// Everything a schema finds wrong with a configuration: (JSON pointer, what is wrong there).
pub(super) fn problems(schema: &Validator, config: &Value) -> Vec<(String, String)> {
    let found = schema.iter_errors(config).take(MAX_PROBLEMS);
    found.map(|error| (error.instance_path().to_string(), excerpt(&error.to_string()))).collect()
}

//! The settings of the liveness policy, with their schema, defaults and ranges.

use serde_json::Value;
use std::ops::RangeInclusive;

/// The JSON Schema (2020-12) of the configuration.
pub const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "liveness",
  "type": "object",
  "properties": {
    "start-period-ms": {
      "description": "Milliseconds that a replica has to start. Until then failed probes do not count, unless one has succeeded.",
      "type": "integer", "minimum": 0, "maximum": 86400000, "default": 10000
    },
    "failure-threshold": {
      "description": "Consecutive failed probes that make a replica unhealthy.",
      "type": "integer", "minimum": 1, "maximum": 10, "default": 3
    },
    "success-threshold": {
      "description": "Consecutive successful probes that make a replica healthy again.",
      "type": "integer", "minimum": 1, "maximum": 10, "default": 1
    },
    "restarts-before-replace": {
      "description": "Restarts of an unhealthy replica before it is replaced. The number resets to 0 when the replica is healthy.",
      "type": "integer", "minimum": 0, "maximum": 10, "default": 1
    },
    "degraded-above-ms": {
      "description": "Response time in milliseconds above which a successful probe is slow. `failure-threshold` consecutive slow probes make a replica degraded, which is reported but not repaired. If null, no probe is slow.",
      "type": ["integer", "null"], "minimum": 1, "maximum": 3600000, "default": null
    }
  },
  "additionalProperties": false
}"#;

/// The checked settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Milliseconds that a replica has to start. Default 10,000.
    pub start_period_ms: u64,
    /// Consecutive failed probes that make a replica unhealthy. Default 3.
    pub failure_threshold: u64,
    /// Consecutive successful probes that make a replica healthy again. Default 1.
    pub success_threshold: u64,
    /// Restarts before a replacement. Default 1.
    pub restarts_before_replace: u64,
    /// The response time in milliseconds above which a successful probe is slow. `None`, the default: no probe is slow.
    pub degraded_above_ms: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            start_period_ms: 10_000,
            failure_threshold: 3,
            success_threshold: 1,
            restarts_before_replace: 1,
            degraded_above_ms: None,
        }
    }
}

impl Config {
    /// Parses settings from JSON text. Omitted settings have their defaults.
    ///
    /// # Errors
    /// A sentence that names the invalid field and the expected value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        // This runs in every call; the usual configuration needs no parser.
        if text.trim() == "{}" {
            return Ok(config);
        }
        let fields = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err("the configuration is not a JSON object".to_owned()),
            Err(error) => return Err(format!("the configuration is not valid JSON: {error}")),
        };
        for (name, value) in &fields {
            if name == "degraded-above-ms" {
                // Null means the same as an omitted setting, so that the schema can state the default.
                config.degraded_above_ms = if value.is_null() { None } else { Some(whole(name, value, &SLOW_RANGE)?) };
                continue;
            }
            let (field, range) = match name.as_str() {
                "start-period-ms" => (&mut config.start_period_ms, 0..=86_400_000),
                "failure-threshold" => (&mut config.failure_threshold, 1..=10),
                "success-threshold" => (&mut config.success_threshold, 1..=10),
                "restarts-before-replace" => (&mut config.restarts_before_replace, 0..=10),
                _ => {
                    return Err(format!(
                        "unknown field `{}`; expected `start-period-ms`, `failure-threshold`, `success-threshold`, \
                         `restarts-before-replace` or `degraded-above-ms`",
                        name.escape_debug()
                    ));
                }
            };
            *field = whole(name, value, &range)?;
        }
        Ok(config)
    }
}

/// The range of `degraded-above-ms`.
const SLOW_RANGE: RangeInclusive<u64> = 1..=3_600_000;

fn whole(name: &str, value: &Value, range: &RangeInclusive<u64>) -> Result<u64, String> {
    value.as_u64().filter(|number| range.contains(number)).ok_or_else(|| {
        format!("`{name}` is {value}; expected a whole number from {} to {}", range.start(), range.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_policy_common::fixtures::check_examples;

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(Config::parse(" { } "), Ok(Config::default()));
        assert_eq!(
            Config::parse(r#"{"failure-threshold": 5, "start-period-ms": 0}"#),
            Ok(Config { failure_threshold: 5, start_period_ms: 0, ..Config::default() })
        );
    }

    #[test]
    fn a_refusal_names_the_field_and_what_was_expected() {
        for (wrong, why) in [
            (r#"{"failure-threshold": 0}"#, "`failure-threshold` is 0; expected a whole number from 1 to 10"),
            (r#"{"success-threshold": 11}"#, "`success-threshold` is 11; expected a whole number from 1 to 10"),
            (r#"{"start-period-ms": -1}"#, "`start-period-ms` is -1; expected a whole number from 0 to 86400000"),
            (r#"{"start-period-ms": "5s"}"#, "`start-period-ms` is \"5s\"; expected a whole number from 0 to 86400000"),
            (
                r#"{"restarts-before-replace": 1.5}"#,
                "`restarts-before-replace` is 1.5; expected a whole number from 0 to 10",
            ),
            (
                r#"{"failures": 3}"#,
                "unknown field `failures`; expected `start-period-ms`, `failure-threshold`, `success-threshold`, \
                 `restarts-before-replace` or `degraded-above-ms`",
            ),
            (r#"{"degraded-above-ms": 0}"#, "`degraded-above-ms` is 0; expected a whole number from 1 to 3600000"),
            ("3", "the configuration is not a JSON object"),
        ] {
            assert_eq!(Config::parse(wrong), Err(why.to_owned()));
        }
        assert!(Config::parse("{").is_err_and(|why| why.starts_with("the configuration is not valid JSON: ")));
    }

    #[test]
    fn the_schema_tells_the_same_defaults_and_ranges() {
        let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        let properties = schema["properties"].as_object().expect("it has properties");
        let mut defaults = serde_json::Map::new();
        for (name, property) in properties {
            defaults.insert(name.clone(), property["default"].clone());
            for edge in ["minimum", "maximum"] {
                let text = format!(r#"{{"{name}": {}}}"#, property[edge]);
                assert!(Config::parse(&text).is_ok(), "{text}");
            }
            let past = property["maximum"].as_u64().expect("a number") + 1;
            assert!(Config::parse(&format!(r#"{{"{name}": {past}}}"#)).is_err(), "{name}");
        }
        assert_eq!(Config::parse(&Value::Object(defaults).to_string()), Ok(Config::default()));
        assert_eq!(schema["additionalProperties"], Value::Bool(false));
    }

    #[test]
    fn the_page_names_every_setting_and_its_examples_are_accepted() {
        check_examples(include_str!("../README.md"), SCHEMA, |example| Config::parse(example).err());
    }
}

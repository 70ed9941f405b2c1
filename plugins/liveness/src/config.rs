//! The settings of the liveness policy: their schema, defaults and ranges.

use serde_json::Value;
use std::ops::RangeInclusive;

/// JSON Schema (2020-12) of the configuration.
pub const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "liveness",
  "type": "object",
  "properties": {
    "start-period-ms": {
      "description": "Milliseconds a replica has to come up; failed probes do not count before that.",
      "type": "integer", "minimum": 0, "maximum": 86400000, "default": 10000
    },
    "failure-threshold": {
      "description": "Failed probes in a row that make a replica unhealthy.",
      "type": "integer", "minimum": 1, "maximum": 10, "default": 3
    },
    "success-threshold": {
      "description": "Successful probes in a row that make a replica healthy again.",
      "type": "integer", "minimum": 1, "maximum": 10, "default": 1
    },
    "restarts-before-replace": {
      "description": "Restarts tried on an unhealthy replica before it is replaced; a healthy replica starts again from none.",
      "type": "integer", "minimum": 0, "maximum": 10, "default": 1
    },
    "degraded-above-ms": {
      "description": "Milliseconds above which a successful probe is slow; as many in a row as `failure-threshold` make a replica degraded, which is told and calls for no remedy. Without it none is slow.",
      "type": ["integer", "null"], "minimum": 1, "maximum": 3600000, "default": null
    }
  },
  "additionalProperties": false
}"#;

/// Checked settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Milliseconds a replica has to come up. Default 10 000.
    pub start_period_ms: u64,
    /// Failed probes in a row that make a replica unhealthy. Default 3.
    pub failure_threshold: u64,
    /// Successful probes in a row that make a replica healthy again. Default 1.
    pub success_threshold: u64,
    /// Restarts tried before a replacement. Default 1.
    pub restarts_before_replace: u64,
    /// Milliseconds above which a successful probe is slow. Default none: none is.
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
    /// Settings from JSON text; those left out have their defaults.
    ///
    /// # Errors
    /// A sentence that names the field and what was expected of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        // Asked at every call; the usual answer needs no parser.
        if text.trim() == "{}" {
            return Ok(config);
        }
        let fields = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err("the configuration is not a JSON object".to_owned()),
            Err(error) => return Err(format!("the configuration is not JSON: {error}")),
        };
        for (name, value) in &fields {
            if name == "degraded-above-ms" {
                // Null is as good as left out: the default has to be sayable.
                config.degraded_above_ms = if value.is_null() { None } else { Some(whole(name, value, &SLOW)?) };
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

/// What `degraded-above-ms` may be.
const SLOW: RangeInclusive<u64> = 1..=3_600_000;

fn whole(name: &str, value: &Value, range: &RangeInclusive<u64>) -> Result<u64, String> {
    value.as_u64().filter(|number| range.contains(number)).ok_or_else(|| {
        format!("`{name}` is {value}; expected a whole number from {} to {}", range.start(), range.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_policy_common::fixtures::hold_page;

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
        assert!(Config::parse("{").is_err_and(|why| why.starts_with("the configuration is not JSON: ")));
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
        hold_page(include_str!("../README.md"), SCHEMA, |example| Config::parse(example).err());
    }
}

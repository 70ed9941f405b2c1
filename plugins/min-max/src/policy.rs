//! The rule: the current count, moved into the workload's bounds.

use crate::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use serde_json::Value;

/// JSON Schema of the configuration: there is nothing to configure.
pub const CONFIG_SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "min-max",
  "description": "Nothing to configure: the bounds are the workload's own.",
  "type": "object",
  "properties": {},
  "additionalProperties": false
}"#;

/// Refuses every configuration but an empty object.
///
/// # Errors
/// A sentence that names the field, or says that the text is not an object.
pub fn check_config(config: &str) -> Result<(), String> {
    // Asked at every call; the usual answer needs no parser.
    if config.trim() == "{}" {
        return Ok(());
    }
    match serde_json::from_str::<Value>(config) {
        Ok(Value::Object(fields)) => match fields.keys().next() {
            Some(field) => Err(format!("unknown field `{}`; this policy has no settings", field.escape_debug())),
            None => Ok(()),
        },
        Ok(_) => Err("the configuration is not a JSON object; expected `{}`".to_owned()),
        Err(error) => Err(format!("the configuration is not JSON: {error}")),
    }
}

/// The current count, or the bound it crossed.
pub fn decide(observation: &Observation) -> Decision {
    let current = observation.current_replicas;
    let (min, max) = (observation.workload.min_replicas, observation.workload.max_replicas);
    // Not `clamp`, which panics on bounds that contradict themselves; the maximum wins then.
    let replicas = current.max(min).min(max);
    let reason = if replicas > current {
        format!("raised from {current} to the minimum of {min}")
    } else if replicas < current {
        format!("lowered from {current} to the maximum of {max}")
    } else {
        format!("{current} is within {min} to {max}")
    };
    Decision { replicas, reason, memory: Vec::new(), evaluate_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::windlass::policy::types::{Limits, Workload};

    fn observation(current_replicas: u32, min_replicas: u32, max_replicas: u32) -> Observation {
        Observation {
            now: 1_000,
            workload: Workload {
                name: "web".to_owned(),
                image: "web:1".to_owned(),
                min_replicas,
                max_replicas,
                limits: Limits { cpu_cores: None, memory_bytes: None },
                labels: Vec::new(),
            },
            current_replicas,
            replicas: Vec::new(),
            metrics: Vec::new(),
            memory: Vec::new(),
        }
    }

    #[test]
    fn the_count_is_kept_within_the_bounds_and_the_reason_says_which() {
        for (current, min, max, wanted, reason) in [
            (3, 1, 5, 3, "3 is within 1 to 5"),
            (1, 1, 1, 1, "1 is within 1 to 1"),
            (0, 2, 5, 2, "raised from 0 to the minimum of 2"),
            (9, 2, 5, 5, "lowered from 9 to the maximum of 5"),
            (0, 0, 5, 0, "0 is within 0 to 5"),
            (u32::MAX, 0, 7, 7, "lowered from 4294967295 to the maximum of 7"),
        ] {
            let decision = decide(&observation(current, min, max));
            assert_eq!((decision.replicas, decision.reason.as_str()), (wanted, reason));
            assert_eq!(decision.memory, Vec::<u8>::new());
            assert_eq!(decision.evaluate_after, None);
        }
    }

    #[test]
    fn every_answer_is_within_the_bounds_and_asking_again_changes_nothing() {
        for current in 0..12 {
            for min in 0..8 {
                for max in min.max(1)..10 {
                    let wanted = decide(&observation(current, min, max)).replicas;
                    assert!((min..=max).contains(&wanted), "{current} {min} {max} gave {wanted}");
                    assert_eq!(decide(&observation(wanted, min, max)).replicas, wanted);
                }
            }
        }
    }

    #[test]
    fn bounds_that_contradict_themselves_do_not_trap() {
        assert_eq!(decide(&observation(4, 5, 2)).replicas, 2);
    }

    #[test]
    fn a_configuration_must_be_an_empty_object() {
        for right in ["{}", " { } ", "\n{}\n"] {
            assert_eq!(check_config(right), Ok(()));
        }
        for (wrong, why) in [
            (r#"{"min": 1}"#, "unknown field `min`; this policy has no settings"),
            ("[]", "the configuration is not a JSON object; expected `{}`"),
            ("", "the configuration is not JSON: EOF while parsing a value at line 1 column 0"),
        ] {
            assert_eq!(check_config(wrong), Err(why.to_owned()));
        }
        assert!(serde_json::from_str::<Value>(CONFIG_SCHEMA).is_ok());
    }
}

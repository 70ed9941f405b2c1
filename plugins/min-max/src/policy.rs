//! The rule: the current count, limited to the workload's bounds.

use serde::Deserialize;
use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;

/// The policy.
#[derive(Debug)]
pub struct MinMax;

/// The settings, of which there are none: the policy uses the workload's bounds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl ScalingPolicy for MinMax {
    const NAME: &'static str = "min-max";
    const SUMMARY: &'static str = "Keeps the current count within the workload's minimum and maximum";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn decide(_config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
        Ok(decide(observation))
    }
}

/// Returns the current count, or the bound that it exceeds.
pub fn decide(observation: &Observation) -> Decision {
    let current = observation.current_replicas;
    let (min, max) = (observation.workload.min_replicas, observation.workload.max_replicas);
    // `clamp` would panic if the minimum were above the maximum. The maximum wins in that case.
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
    use windlass_policy_common::bindings::windlass::policy::types::Workload;
    use windlass_policy_common::{fixtures, parse};

    fn observation(current_replicas: u32, min_replicas: u32, max_replicas: u32) -> Observation {
        let at_rest = fixtures::observation(0);
        Observation {
            workload: Workload { min_replicas, max_replicas, ..at_rest.workload },
            current_replicas,
            ..at_rest
        }
    }

    #[test]
    fn the_count_is_kept_within_the_bounds_and_the_reason_says_which() {
        for (current, min, max, expected, reason) in [
            (3, 1, 5, 3, "3 is within 1 to 5"),
            (1, 1, 1, 1, "1 is within 1 to 1"),
            (0, 2, 5, 2, "raised from 0 to the minimum of 2"),
            (9, 2, 5, 5, "lowered from 9 to the maximum of 5"),
            (0, 0, 5, 0, "0 is within 0 to 5"),
            (u32::MAX, 0, 7, 7, "lowered from 4294967295 to the maximum of 7"),
        ] {
            let decision = decide(&observation(current, min, max));
            assert_eq!((decision.replicas, decision.reason.as_str()), (expected, reason));
            assert_eq!(decision.memory, Vec::<u8>::new());
            assert_eq!(decision.evaluate_after, None);
        }
    }

    #[test]
    fn every_answer_is_within_the_bounds_and_asking_again_changes_nothing() {
        for current in 0..12 {
            for min in 0..8 {
                for max in min.max(1)..10 {
                    let expected = decide(&observation(current, min, max)).replicas;
                    assert!((min..=max).contains(&expected), "{current} {min} {max} gave {expected}");
                    assert_eq!(decide(&observation(expected, min, max)).replicas, expected);
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
            assert!(parse::<MinMax>(right).is_ok(), "{right}");
        }
        for wrong in [r#"{"min": 1}"#, "3", ""] {
            assert!(parse::<MinMax>(wrong).is_err(), "{wrong}");
        }
    }
}

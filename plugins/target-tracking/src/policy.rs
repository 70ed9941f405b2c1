//! The policy. Its rule is `tracking` of the common crate, because other policies wrap it, too.

use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::tracking::{self, Config};

/// The policy.
#[derive(Debug)]
pub struct TargetTracking;

impl ScalingPolicy for TargetTracking {
    const NAME: &'static str = "target-tracking";
    const SUMMARY: &'static str = "Proposes the count that brings each metric to its target";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    fn metrics(config: &Config) -> Vec<MetricRequest> {
        tracking::metrics(config)
    }

    fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
        tracking::decide(config, observation)
    }
}

#[cfg(test)]
mod tests;

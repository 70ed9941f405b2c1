//! The rule of the pass-through policy: the count is the value of a metric.

use crate::bindings::exports::windlass::policy::manifest::MetricRequest;
use crate::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use crate::bindings::windlass::policy::types::PolicyError;
use crate::metrics::{check_is_load, newest, no_scale_in_if_partial, request, rounded_up};
use serde::Deserialize;

/// The settings of the policy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The metric that provides the count.
    pub metric: String,
    /// The divisor of the value: above 0. Default 1.
    #[serde(default = "one")]
    pub divide_by: f64,
    /// The number of replicas to add to the quotient: −1,000 to 1,000. Default 0.
    #[serde(default)]
    pub add: i64,
}

fn one() -> f64 {
    1.0
}

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    /// A sentence that names the invalid field.
    pub fn check(&self) -> Result<(), String> {
        check_is_load("metric", &self.metric)?;
        if !(self.divide_by > 0.0 && self.divide_by.is_finite()) {
            return Err(format!("`divide-by` is {}; expected a number above 0", self.divide_by));
        }
        if !(-1_000..=1_000).contains(&self.add) {
            return Err(format!("`add` is {}; expected a whole number from -1000 to 1000", self.add));
        }
        Ok(())
    }
}

/// The metrics that the rule requires.
pub fn metrics(config: &Config) -> Vec<MetricRequest> {
    vec![request(&config.metric, 0)]
}

/// Proposes the number of replicas.
///
/// # Errors
/// [`PolicyError::InsufficientData`] if the metric has no value, or one below 0.
pub fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
    let value = newest(observation, &config.metric).map_err(PolicyError::InsufficientData)?;
    if value < 0.0 {
        return Err(PolicyError::InsufficientData(format!("`{}` is {value}, below 0", config.metric)));
    }
    let count = i64::from(rounded_up(value / config.divide_by)).saturating_add(config.add);
    let count = u32::try_from(count.max(0)).unwrap_or(u32::MAX);
    let replicas = no_scale_in_if_partial(count, observation, &config.metric);
    let reason = format!("`{}` is {value}", config.metric);
    Ok(Decision { replicas, reason, memory: Vec::new(), evaluate_after: None })
}

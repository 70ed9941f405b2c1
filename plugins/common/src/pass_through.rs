//! The rule of the pass-through policy: a metric is the count.

use crate::bindings::exports::windlass::policy::manifest::MetricRequest;
use crate::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use crate::bindings::windlass::policy::types::PolicyError;
use crate::metrics::{never_down_in_part, newest, request, rounded_up};
use serde::Deserialize;

/// Checked settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The metric that is the count.
    pub metric: String,
    /// What its value is divided by: above 0. Default 1.
    #[serde(default = "one")]
    pub divide_by: f64,
    /// Replicas added to that: −1,000 to 1,000. Default 0.
    #[serde(default)]
    pub add: i64,
}

fn one() -> f64 {
    1.0
}

impl Config {
    /// What a schema cannot say.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        if !(self.divide_by > 0.0 && self.divide_by.is_finite()) {
            return Err(format!("`divide-by` is {}; expected a number above 0", self.divide_by));
        }
        if !(-1_000..=1_000).contains(&self.add) {
            return Err(format!("`add` is {}; expected a whole number from -1000 to 1000", self.add));
        }
        Ok(())
    }
}

/// What it must be shown.
pub fn metrics(config: &Config) -> Vec<MetricRequest> {
    vec![request(&config.metric, 0)]
}

/// How many replicas there should be.
///
/// # Errors
/// [`PolicyError::InsufficientData`] where the metric has no value, or one below 0.
pub fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
    let value = newest(observation, &config.metric).map_err(PolicyError::InsufficientData)?;
    if value < 0.0 {
        return Err(PolicyError::InsufficientData(format!("`{}` is {value}, below 0", config.metric)));
    }
    let count = i64::from(rounded_up(value / config.divide_by)).saturating_add(config.add);
    let count = u32::try_from(count.max(0)).unwrap_or(u32::MAX);
    let replicas = never_down_in_part(count, observation, &config.metric);
    let reason = format!("`{}` is {value}", config.metric);
    Ok(Decision { replicas, reason, memory: Vec::new(), evaluate_after: None })
}

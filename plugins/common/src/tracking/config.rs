//! The settings of the target-tracking policy.

use crate::metrics::check_is_load;
use serde::Deserialize;

/// The settings of the policy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The metrics to keep at their targets: 1 to 8, each at most once.
    pub metrics: Vec<Tracked>,
    /// The tolerance above the target, as a fraction of the target: 0 to 1. Default 0.1.
    #[serde(default = "tenth")]
    pub tolerance_up: f64,
    /// The tolerance below the target, as a fraction of the target: 0 to 1. Default 0.1.
    #[serde(default = "tenth")]
    pub tolerance_down: f64,
    /// Milliseconds after a replica's start in which its values are ignored: up to 1 h. Default 30,000.
    #[serde(default = "half_a_minute")]
    pub warm_up_ms: u64,
    /// Whether the policy may propose fewer replicas than the current count. Default true.
    #[serde(default = "yes")]
    pub scale_in: bool,
}

/// A metric and its target.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tracked {
    /// The name of a metric that the workload defines, or of a built-in one.
    pub name: String,
    /// The target value per replica: above 0.
    pub target: f64,
    /// The scope of the value. Default per replica.
    #[serde(default)]
    pub kind: Kind,
}

/// The scope of a metric's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One replica; the value is the mean over ready replicas.
    #[default]
    PerReplica,
    /// The whole workload.
    Total,
}

fn tenth() -> f64 {
    0.1
}

fn half_a_minute() -> u64 {
    30_000
}

fn yes() -> bool {
    true
}

impl Default for Config {
    /// Without a metric, so [`Config::check`] rejects it.
    fn default() -> Self {
        Self {
            metrics: Vec::new(),
            tolerance_up: tenth(),
            tolerance_down: tenth(),
            warm_up_ms: half_a_minute(),
            scale_in: yes(),
        }
    }
}

impl Config {
    /// Checks all ranges, including those of the schema, since a caller may not check the schema.
    ///
    /// # Errors
    /// A sentence that names the invalid field.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=8).contains(&self.metrics.len()) {
            return Err(format!("`metrics` has {} entries; expected 1 to 8", self.metrics.len()));
        }
        for (index, Tracked { name, target, .. }) in self.metrics.iter().enumerate() {
            if !(*target > 0.0 && target.is_finite()) {
                return Err(format!("`metrics[{index}].target` is {target}; expected a number above 0"));
            }
            check_is_load(&format!("metrics[{index}].name"), name)?;
            if self.metrics[..index].iter().any(|other| other.name == *name) {
                return Err(format!(
                    "`metrics[{index}].name` is `{name}`, which an earlier entry already tracks; remove one"
                ));
            }
        }
        for (field, value) in [("tolerance-up", self.tolerance_up), ("tolerance-down", self.tolerance_down)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("`{field}` is {value}; expected 0 to 1"));
            }
        }
        if self.warm_up_ms > 3_600_000 {
            return Err(format!("`warm-up-ms` is {}; expected 0 to 3600000", self.warm_up_ms));
        }
        Ok(())
    }
}

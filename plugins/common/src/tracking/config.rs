//! The settings of the target-tracking policy.

use serde::Deserialize;

/// Checked settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// What is held at a target: 1 to 8, none twice.
    pub metrics: Vec<Tracked>,
    /// How far above the target nothing is done yet, as a fraction of it: 0 to 1. Default 0.1.
    #[serde(default = "tenth")]
    pub tolerance_up: f64,
    /// How far below the target nothing is done yet, as a fraction of it: 0 to 1. Default 0.1.
    #[serde(default = "tenth")]
    pub tolerance_down: f64,
    /// Milliseconds from a replica's start in which what it uses says nothing yet: up to 1 h. Default 30,000.
    #[serde(default = "half_a_minute")]
    pub warm_up_ms: u64,
    /// Whether it ever proposes less than there is. Default true.
    #[serde(default = "yes")]
    pub scale_in: bool,
}

/// A metric and its target.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tracked {
    /// A metric of the workload, or a built-in one.
    pub name: String,
    /// What a replica is to have of it: above 0.
    pub target: f64,
    /// What its value is of. Default per replica.
    #[serde(default)]
    pub kind: Kind,
}

/// What the value of a metric is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One replica, as a mean over those that are ready.
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
    /// Without a metric, which [`Config::check`] refuses.
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
    /// What a schema cannot say, and what it said once more: a policy may be called by others too.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=8).contains(&self.metrics.len()) {
            return Err(format!("`metrics` has {} entries; expected 1 to 8", self.metrics.len()));
        }
        for (index, Tracked { name, target, .. }) in self.metrics.iter().enumerate() {
            if !(*target > 0.0 && target.is_finite()) {
                return Err(format!("`metrics[{index}].target` is {target}; expected a number above 0"));
            }
            if self.metrics[..index].iter().any(|other| other.name == *name) {
                return Err(format!("`metrics[{index}].name`: `{name}` is there twice"));
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

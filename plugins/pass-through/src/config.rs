//! The settings of the pass-through policy.

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

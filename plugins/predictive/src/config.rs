//! The settings of the predictive policy.

use crate::forecast::{DAY, WEEK};
use serde::Deserialize;
use windlass_policy_common::metrics::check_is_load;
use windlass_policy_common::tracking;

/// The maximum history, for which the host keeps values.
const MAX_HISTORY: u64 = 28 * DAY;

/// The settings of the policy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// A metric of the whole workload.
    pub metric: String,
    /// The target value per replica: above 0.
    pub target: f64,
    /// The recurring patterns: 1 or 2, each at most once. Default daily.
    #[serde(default = "daily")]
    pub seasons: Vec<Season>,
    /// Milliseconds that a replica needs until it serves: up to 1 h. Default 300,000.
    #[serde(default = "five_minutes")]
    pub look_ahead_ms: u64,
    /// The length of the history in milliseconds: up to 28 days. Default 7 days, with a weekly season 21 days.
    pub history_ms: Option<u64>,
    /// The highest forecast error at which the policy follows a forecast, as a fraction of the values: above 0, up to 1.
    /// Default 0.25.
    #[serde(default = "quarter")]
    pub max_error: f64,
    /// The rule that decides about the current load. Default: the metric at the target, as a total.
    pub inner: Option<tracking::Config>,
}

/// A recurring pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Season {
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
}

fn daily() -> Vec<Season> {
    vec![Season::Daily]
}

fn five_minutes() -> u64 {
    300_000
}

fn quarter() -> f64 {
    0.25
}

impl Config {
    /// Checks all ranges, including those of the schema, since a caller may not check the schema.
    ///
    /// # Errors
    /// A sentence that names the invalid field.
    pub fn check(&self) -> Result<(), String> {
        if !(self.target > 0.0 && self.target.is_finite()) {
            return Err(format!("`target` is {}; expected a number above 0", self.target));
        }
        check_is_load("metric", &self.metric)?;
        match self.seasons.as_slice() {
            [_] => {}
            [one, other] if one != other => {}
            _ => return Err("`seasons`: expected `daily`, `weekly` or both, each at most once".to_owned()),
        }
        if self.look_ahead_ms > 3_600_000 {
            return Err(format!("`look-ahead-ms` is {}; expected 0 to 3600000", self.look_ahead_ms));
        }
        let (history, needed) = (self.history(), crate::forecast::needed(self.longest_season()));
        if !(needed..=MAX_HISTORY).contains(&history) {
            return Err(format!(
                "`history-ms` is {history}; expected {needed} (twice the longest season plus one day) to {MAX_HISTORY} (28 days)"
            ));
        }
        if !(self.max_error > 0.0 && self.max_error <= 1.0) {
            return Err(format!("`max-error` is {}; expected a number above 0, at most 1", self.max_error));
        }
        self.inner().check().map_err(|why| format!("`inner`: {why}"))
    }

    /// The length of each season in milliseconds.
    pub fn season_lengths(&self) -> Vec<u64> {
        self.seasons.iter().map(|season| if *season == Season::Daily { DAY } else { WEEK }).collect()
    }

    fn longest_season(&self) -> u64 {
        self.season_lengths().into_iter().max().unwrap_or(DAY)
    }

    /// The length of the history in milliseconds.
    pub fn history(&self) -> u64 {
        // A weekly season needs three weeks, because one day of them measures the error.
        self.history_ms.unwrap_or(if self.longest_season() == WEEK { 3 * WEEK } else { WEEK })
    }

    /// The rule that decides about the current load.
    pub fn inner(&self) -> tracking::Config {
        self.inner.clone().unwrap_or_else(|| tracking::Config {
            metrics: vec![tracking::Tracked {
                name: self.metric.clone(),
                target: self.target,
                kind: tracking::Kind::Total,
            }],
            ..tracking::Config::default()
        })
    }
}

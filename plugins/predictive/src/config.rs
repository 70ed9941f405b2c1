//! The settings of the predictive policy.

use crate::forecast::{DAY, WEEK};
use serde::Deserialize;
use windlass_policy_common::tracking;

/// The longest history: as long as the host keeps values.
const LONGEST_HISTORY: u64 = 28 * DAY;

/// The settings as they are written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// A metric of the workload as a whole.
    pub metric: String,
    /// What a replica is to have of it: above 0.
    pub target: f64,
    /// What comes again: 1 or 2, none twice. Default daily.
    #[serde(default = "daily")]
    pub seasons: Vec<Season>,
    /// Milliseconds a replica takes until it serves: up to 1 h. Default 300,000.
    #[serde(default = "five_minutes")]
    pub look_ahead_ms: u64,
    /// Milliseconds it looks back, up to 28 days. Default 7 days, with a weekly season 21.
    pub history_ms: Option<u64>,
    /// The greatest error a forecast is followed with, as a share of the values: above 0, up to 1. Default 0.25.
    #[serde(default = "quarter")]
    pub max_error: f64,
    /// What decides about now. Default the metric at the target.
    pub inner: Option<tracking::Config>,
}

/// What comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Season {
    /// Each day.
    Daily,
    /// Each week.
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
    /// What a schema cannot say, and what it said once more.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        if !(self.target > 0.0 && self.target.is_finite()) {
            return Err(format!("`target` is {}; expected a number above 0", self.target));
        }
        match self.seasons.as_slice() {
            [_] => {}
            [one, other] if one != other => {}
            _ => return Err("`seasons`: expected `daily`, `weekly` or both, none twice".to_owned()),
        }
        if self.look_ahead_ms > 3_600_000 {
            return Err(format!("`look-ahead-ms` is {}; expected 0 to 3600000", self.look_ahead_ms));
        }
        let (history, needed) = (self.history(), crate::forecast::needed(self.longest_season()));
        if !(needed..=LONGEST_HISTORY).contains(&history) {
            return Err(format!(
                "`history-ms` is {history}; expected {needed} to {LONGEST_HISTORY}: twice the longest season and a day, up to 28 days"
            ));
        }
        if !(self.max_error > 0.0 && self.max_error <= 1.0) {
            return Err(format!("`max-error` is {}; expected above 0, up to 1", self.max_error));
        }
        self.inner().check().map_err(|why| format!("`inner`: {why}"))
    }

    /// The lengths of the seasons in milliseconds.
    pub fn season_lengths(&self) -> Vec<u64> {
        self.seasons.iter().map(|season| if *season == Season::Daily { DAY } else { WEEK }).collect()
    }

    fn longest_season(&self) -> u64 {
        self.season_lengths().into_iter().max().unwrap_or(DAY)
    }

    /// Milliseconds it looks back.
    pub fn history(&self) -> u64 {
        // Of a week three, since one day of them is for the error.
        self.history_ms.unwrap_or(if self.longest_season() == WEEK { 3 * WEEK } else { WEEK })
    }

    /// What decides about now.
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

//! The settings of the schedule policy.

use serde::Deserialize;
use windlass_policy_common::tracking;

/// The settings as they are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The IANA time zone the schedules are told in. Default UTC.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Times, and the fewest and most replicas in them: 1 to 64.
    pub schedules: Vec<Entry>,
    /// Dates: `2026-12-25`, or `12-25` of every year.
    #[serde(default)]
    pub holidays: Vec<String>,
    /// What decides within the bounds; none: the count stays.
    pub inner: Option<tracking::Config>,
}

/// One schedule.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Entry {
    /// For people.
    pub name: String,
    /// When it begins, five fields of cron.
    pub cron: String,
    /// Milliseconds it lasts: 1 min to 365 days; this or `until`.
    pub duration_ms: Option<u64>,
    /// When it ends, five fields of cron.
    pub until: Option<String>,
    /// The fewest replicas; this, `max` or both.
    pub min: Option<u32>,
    /// The most replicas.
    pub max: Option<u32>,
    /// Whether it begins on holidays. Default also.
    #[serde(default)]
    pub on_holidays: OnHolidays,
}

/// Whether a schedule begins on holidays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnHolidays {
    /// On any day.
    #[default]
    Also,
    /// On any day but those.
    Never,
    /// On those alone.
    Only,
}

fn utc() -> String {
    "UTC".to_owned()
}

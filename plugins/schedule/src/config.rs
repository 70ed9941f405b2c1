//! The settings of the schedule policy.

use serde::Deserialize;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::{pass_through, step, tracking};

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
    pub inner: Option<Inner>,
}

/// A policy that goes by metrics, with its settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "name", content = "config", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Inner {
    /// See `target-tracking`.
    TargetTracking(tracking::Config),
    /// See `step`.
    Step(step::Config),
    /// See `pass-through`.
    PassThrough(pass_through::Config),
}

impl Inner {
    /// What a schema cannot say.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::TargetTracking(config) => config.check(),
            Self::Step(config) => config.check(),
            Self::PassThrough(config) => config.check(),
        }
    }

    /// What it must be shown.
    pub fn metrics(&self) -> Vec<MetricRequest> {
        match self {
            Self::TargetTracking(config) => tracking::metrics(config),
            Self::Step(config) => step::metrics(config),
            Self::PassThrough(config) => pass_through::metrics(config),
        }
    }

    /// What it decides.
    ///
    /// # Errors
    /// Its own.
    pub fn decide(&self, observation: &Observation) -> Result<Decision, PolicyError> {
        match self {
            Self::TargetTracking(config) => tracking::decide(config, observation),
            Self::Step(config) => step::decide(config, observation),
            Self::PassThrough(config) => pass_through::decide(config, observation),
        }
    }
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

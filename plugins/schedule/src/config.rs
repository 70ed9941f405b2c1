//! The settings of the schedule policy.

use serde::Deserialize;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::{pass_through, step, tracking};

/// The settings of the policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The IANA time zone of the schedules. Default UTC.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Periods, each with a minimum and a maximum count: 1 to 64.
    pub schedules: Vec<Entry>,
    /// Dates: `2026-12-25`, or `12-25` for every year.
    #[serde(default)]
    pub holidays: Vec<String>,
    /// The policy that decides within the bounds. `None`: the count stays.
    pub inner: Option<Inner>,
}

/// A policy that decides by metrics, with its settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "name", content = "config", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Inner {
    /// The policy `target-tracking`.
    TargetTracking(tracking::Config),
    /// The policy `step`.
    Step(step::Config),
    /// The policy `pass-through`.
    PassThrough(pass_through::Config),
}

impl Inner {
    /// Checks the policy's settings.
    ///
    /// # Errors
    /// A sentence that names the invalid field.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::TargetTracking(config) => config.check(),
            Self::Step(config) => config.check(),
            Self::PassThrough(config) => config.check(),
        }
    }

    /// The metrics that the policy requires.
    pub fn metrics(&self) -> Vec<MetricRequest> {
        match self {
            Self::TargetTracking(config) => tracking::metrics(config),
            Self::Step(config) => step::metrics(config),
            Self::PassThrough(config) => pass_through::metrics(config),
        }
    }

    /// Returns the policy's decision.
    ///
    /// # Errors
    /// The policy's own error.
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
    /// A name that reasons contain.
    pub name: String,
    /// The start, as five cron fields.
    pub cron: String,
    /// The duration in milliseconds: 1 min to 365 days; this or `until`.
    pub duration_ms: Option<u64>,
    /// The end, as five cron fields.
    pub until: Option<String>,
    /// The minimum count; this, `max` or both.
    pub min: Option<u32>,
    /// The maximum count.
    pub max: Option<u32>,
    /// Whether the schedule starts on holidays. Default: also.
    #[serde(default)]
    pub on_holidays: OnHolidays,
}

/// Whether a schedule starts on holidays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnHolidays {
    /// On any day.
    #[default]
    Also,
    /// On any day except holidays.
    Never,
    /// Only on holidays.
    Only,
}

fn utc() -> String {
    "UTC".to_owned()
}

//! The rule: a minimum and a maximum by calendar, around another policy.

use crate::calendar::Calendar;
use crate::config::{Config, Inner};
use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::metrics::always_available;

/// The maximum requested time until the next evaluation, in milliseconds. The next change may be weeks away.
const MAX_WAIT_MS: u64 = 3_600_000;

/// The policy.
#[derive(Debug)]
pub struct Schedule;

impl ScalingPolicy for Schedule {
    const NAME: &'static str = "schedule";
    const SUMMARY: &'static str =
        "Sets a minimum and a maximum by cron expressions, time zone and holidays, around another policy";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        Calendar::of(config).map(drop)
    }

    fn metrics(config: &Config) -> Vec<MetricRequest> {
        let inner = config.inner.as_ref().map(Inner::metrics);
        inner.map(|metrics| metrics.into_iter().chain([always_available()]).collect()).unwrap_or_default()
    }

    fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
        let active = Calendar::of(config).map_err(PolicyError::InvalidConfig)?.at(observation.now);
        let current = observation.current_replicas;
        // The memory belongs to the inner policy.
        let unchanged =
            |reason| Decision { replicas: current, reason, memory: observation.memory.clone(), evaluate_after: None };
        // The schedules apply even if the inner policy has no data.
        let inner = match config.inner.as_ref().map(|inner| inner.decide(observation)) {
            Some(Ok(decision)) => decision,
            Some(Err(PolicyError::InsufficientData(why))) => {
                unchanged(format!("the count stays at {current} because {why}"))
            }
            Some(Err(other)) => return Err(other),
            None => Decision { memory: Vec::new(), ..unchanged(format!("the count is {current}")) },
        };
        let Decision { replicas: proposed, reason, memory, evaluate_after } = inner;
        // A minimum takes precedence over another schedule's maximum: too many replicas are better than too few.
        let bounded = proposed.min(active.max.unwrap_or(u32::MAX)).max(active.min.unwrap_or(0));
        let names = active.names.join(" and ");
        let is_single = active.names.len() == 1;
        let reason = if active.names.is_empty() {
            format!("{reason}; no schedule is active")
        } else if bounded == proposed {
            format!("{reason}; {names} {} active", if is_single { "is" } else { "are" })
        } else {
            let verb = if bounded > proposed { "require" } else { "allow" };
            let bound = if bounded > proposed { "at least" } else { "at most" };
            format!("{names} {verb}{} {bound} {bounded}; {reason}", if is_single { "s" } else { "" })
        };
        let changes = active.changes_after.map(|after| after.min(MAX_WAIT_MS));
        let evaluate_after = changes.into_iter().chain(evaluate_after).min();
        Ok(Decision { replicas: bounded, reason, memory, evaluate_after })
    }
}

#[cfg(test)]
mod tests;

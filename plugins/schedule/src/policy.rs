//! The rule: a moving minimum and maximum around what decides within.

use crate::calendar::Calendar;
use crate::config::{Config, Inner};
use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::metrics::known;

/// The longest time to ask to be asked again after: the next change may be weeks away.
const LONGEST_WAIT: u64 = 3_600_000;

/// Bounds by the calendar.
#[derive(Debug)]
pub struct Schedule;

impl ScalingPolicy for Schedule {
    const NAME: &'static str = "schedule";
    const SUMMARY: &'static str =
        "A minimum and a maximum by cron expressions, time zone and holidays, around a metric";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        Calendar::of(config).map(drop)
    }

    fn metrics(config: &Config) -> Vec<MetricRequest> {
        let measured = config.inner.as_ref().map(Inner::metrics);
        measured.map(|measured| measured.into_iter().chain([known()]).collect()).unwrap_or_default()
    }

    fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
        let holding = Calendar::of(config).map_err(PolicyError::InvalidConfig)?.at(observation.now);
        let current = observation.current_replicas;
        // What is remembered is what the one within remembers.
        let stays =
            |why| Decision { replicas: current, reason: why, memory: observation.memory.clone(), evaluate_after: None };
        // Without a metric the calendar holds all the same.
        let within = match config.inner.as_ref().map(|inner| inner.decide(observation)) {
            Some(Ok(decision)) => decision,
            Some(Err(PolicyError::InsufficientData(why))) => stays(format!("held at {current}, since {why}")),
            Some(Err(other)) => return Err(other),
            None => Decision { memory: Vec::new(), ..stays(format!("{current} are there")) },
        };
        let Decision { replicas: wanted, reason: why, memory, evaluate_after } = within;
        // The minimum wins over a maximum of another schedule: too many is better than too few.
        let bounded = wanted.min(holding.max.unwrap_or(u32::MAX)).max(holding.min.unwrap_or(0));
        let schedules = match holding.names.as_slice() {
            [] => "no schedule holds".to_owned(),
            names => format!("{} hold{}", names.join(" and "), if names.len() == 1 { "s" } else { "" }),
        };
        let reason = if bounded == wanted {
            format!("{why}; {schedules}")
        } else {
            let bound = if bounded > wanted { "at least" } else { "at most" };
            format!("{schedules}: {bound} {bounded}; {why}")
        };
        let changes = holding.changes_after.map(|after| after.min(LONGEST_WAIT));
        let evaluate_after = changes.into_iter().chain(evaluate_after).min();
        Ok(Decision { replicas: bounded, reason, memory, evaluate_after })
    }
}

#[cfg(test)]
mod tests;

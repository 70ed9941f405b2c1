//! The rule: what is needed now, or what will be when a replica that is started now serves, if that is more.

use crate::config::Config;
use crate::forecast::{Forecast, History, Outlook, step};
use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::metrics::{known, request, rounded_up};
use windlass_policy_common::tracking::{self, short};

/// Replicas for what comes again.
#[derive(Debug)]
pub struct Predictive;

impl ScalingPolicy for Predictive {
    const NAME: &'static str = "predictive";
    const SUMMARY: &'static str = "Replicas for a load that comes again each day or week, before it is there";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    fn metrics(config: &Config) -> Vec<MetricRequest> {
        let inner = tracking::metrics(&config.inner());
        let others = inner.into_iter().filter(|other| other.name != config.metric);
        [request(&config.metric, config.history() + step(config.history()))]
            .into_iter()
            .chain(others)
            .chain([known()])
            .collect()
    }

    fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
        let current = observation.current_replicas;
        let told = outlook(config, observation);
        // It is the same until the next mean, and takes a hundred times as long as the rest.
        let memory = told.as_ref().map(|(_, outlook)| outlook.encode()).unwrap_or_default();
        let forecast = told.and_then(|(forecast, _)| followed(config, forecast));
        let (wanted, now) = match (tracking::decide(&config.inner(), observation), &forecast) {
            (Ok(decision), _) => (decision.replicas, decision.reason),
            (Err(PolicyError::InsufficientData(why)), Ok(_)) => (current, format!("held at {current}, since {why}")),
            (Err(error), _) => return Err(error),
        };
        let (replicas, reason) = match forecast {
            Err(why) => (wanted, format!("{now}; no forecast: {why}")),
            Ok(Forecast { value, at, error }) => {
                let count = rounded_up(value / config.target);
                let (value, metric, at, error) = (short(value), &config.metric, time_of_day(at), short(error * 100.0));
                let told = format!("forecast {value} `{metric}` at {at} UTC ± {error} %");
                if count > wanted {
                    (count, format!("{told} wants {count}; now: {now}"))
                } else {
                    (wanted, format!("{now}; {told} wants no more"))
                }
            }
        };
        Ok(Decision { replicas, reason, memory, evaluate_after: None })
    }
}

/// The forecast, and what it was told from.
fn outlook(config: &Config, observation: &Observation) -> Result<(Forecast, Outlook), String> {
    let name = &config.metric;
    // What has no value now had some before: they say what comes all the same.
    let series = observation.metrics.iter().find(|series| series.name == *name && series.replica.is_none());
    History {
        samples: series.map_or(&[], |series| series.samples.as_slice()),
        seasons: &config.season_lengths(),
        length: config.history(),
        look_ahead: config.look_ahead_ms,
        now: observation.now,
    }
    .forecast(Outlook::decode(&observation.memory))
}

/// The forecast, if it may be followed.
fn followed(config: &Config, forecast: Forecast) -> Result<Forecast, String> {
    if forecast.error <= config.max_error {
        return Ok(forecast);
    }
    let (error, most) = (short(forecast.error * 100.0), short(config.max_error * 100.0));
    Err(format!("over the last day it was {error} % off, and at most {most} % are followed"))
}

/// Hours and minutes of a day in UTC.
fn time_of_day(at: u64) -> String {
    let minutes = at / 60_000;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests;

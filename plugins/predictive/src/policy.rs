//! The rule: the higher of the count for the current load and the count for the load when a replica that starts now
//! will serve.

use crate::config::Config;
use crate::forecast::{Forecast, History, Outlook, step};
use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::metrics::{always_available, request, rounded_up};
use windlass_policy_common::tracking::{self, short};

/// The policy.
#[derive(Debug)]
pub struct Predictive;

impl ScalingPolicy for Predictive {
    const NAME: &'static str = "predictive";
    const SUMMARY: &'static str = "Adds replicas before a load that recurs every day or week";
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
            .chain([always_available()])
            .collect()
    }

    fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
        let current = observation.current_replicas;
        let forecast = forecast(config, observation);
        // The outlook stays valid until the next mean. Calculating it takes a hundred times as long as the rest.
        let memory = forecast.as_ref().map(|(_, outlook)| outlook.encode()).unwrap_or_default();
        let forecast = forecast.and_then(|(forecast, _)| accepted(config, forecast));
        let (current_need, now) = match (tracking::decide(&config.inner(), observation), &forecast) {
            (Ok(decision), _) => (decision.replicas, decision.reason),
            (Err(PolicyError::InsufficientData(why)), Ok(_)) => {
                (current, format!("the count stays at {current} because {why}"))
            }
            (Err(error), _) => return Err(error),
        };
        let (replicas, reason) = match forecast {
            Err(why) => (current_need, format!("{now}; no forecast: {why}")),
            Ok(Forecast { value, at, error }) => {
                let count = rounded_up(value / config.target);
                let (value, metric, at, error) = (short(value), &config.metric, time_of_day(at), short(error * 100.0));
                let forecast = format!("`{metric}` is forecast to reach {value} (± {error} %) at {at} UTC");
                if count > current_need {
                    (count, format!("{forecast}, which calls for {count}; now: {now}"))
                } else {
                    (current_need, format!("{now}; {forecast}, which does not call for more"))
                }
            }
        };
        Ok(Decision { replicas, reason, memory, evaluate_after: None })
    }
}

/// Returns the forecast, and the outlook it is based on.
fn forecast(config: &Config, observation: &Observation) -> Result<(Forecast, Outlook), String> {
    let name = &config.metric;
    // A metric without a current value can still have a history to forecast from.
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

/// Returns the forecast if its error is within the limit.
fn accepted(config: &Config, forecast: Forecast) -> Result<Forecast, String> {
    if forecast.error <= config.max_error {
        return Ok(forecast);
    }
    let (error, limit) = (short(forecast.error * 100.0), short(config.max_error * 100.0));
    Err(format!("its error over the last day was {error} %, above the limit of {limit} %"))
}

/// Formats the time of day in UTC as hours and minutes.
fn time_of_day(at: u64) -> String {
    let minutes = at / 60_000;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests;

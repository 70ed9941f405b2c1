//! What was measured, as policies look at it.

use crate::bindings::exports::windlass::policy::manifest::MetricRequest;
use crate::bindings::exports::windlass::policy::scaling::Observation;
use crate::bindings::windlass::policy::types::{HealthStatus, Phase, Replica, Sample, Series};

/// A request for a metric, with values of the last `window_ms` milliseconds, and in any case the newest.
pub fn request(name: &str, window_ms: u64) -> MetricRequest {
    MetricRequest { name: name.to_owned(), window: window_ms }
}

/// A request for what the host always knows, by a policy that decides by something else than what is measured, too: where
/// no metric has a value, the host lets nobody else go up.
pub fn known() -> MetricRequest {
    request("ready-replicas", 0)
}

/// The series of the whole workload.
///
/// # Errors
/// Why it has no value now: one sentence.
pub fn whole<'a>(observation: &'a Observation, name: &str) -> Result<&'a Series, String> {
    let series = observation.metrics.iter().find(|series| series.name == name && series.replica.is_none());
    let Some(series) = series else { return Err(format!("`{name}` was not shown")) };
    match &series.failure {
        // The mean of the replicas that have one.
        Some(why) if is_partial(why) => Ok(series),
        Some(why) => Err(format!("`{name}` has no value ({why})")),
        None => Ok(series),
    }
}

fn is_partial(failure: &str) -> bool {
    failure.starts_with("partial:")
}

/// A count, not below the current one where some replicas have no value of the metric it comes from: they may be the
/// busy ones.
pub fn never_down_in_part(count: u32, observation: &Observation, name: &str) -> u32 {
    let whole = observation.metrics.iter().find(|series| series.name == name && series.replica.is_none());
    let is_partial = whole.and_then(|series| series.failure.as_deref()).is_some_and(is_partial);
    if is_partial { count.max(observation.current_replicas) } else { count }
}

/// The newest value of the whole workload.
///
/// # Errors
/// Why there is none now, or that it is no finite number: one sentence.
pub fn newest(observation: &Observation, name: &str) -> Result<f64, String> {
    let Some(sample) = whole(observation, name)?.samples.last() else {
        return Err(format!("`{name}` has no value"));
    };
    finite(name, sample)
}

fn finite(name: &str, sample: &Sample) -> Result<f64, String> {
    if sample.value.is_finite() { Ok(sample.value) } else { Err(format!("`{name}` is {}", sample.value)) }
}

/// The newest value of each replica that has a good one: (its id, the value).
pub fn of_replicas<'a>(observation: &'a Observation, name: &str) -> Vec<(&'a str, f64)> {
    let measured = observation.metrics.iter().filter(|series| series.name == name && series.failure.is_none());
    let newest = |series: &'a Series| {
        let value = finite(name, series.samples.last()?).ok()?;
        Some((series.replica.as_deref()?, value))
    };
    measured.filter_map(newest).collect()
}

/// Whether a replica serves: its process runs, and nobody said that it does not.
pub fn is_ready(replica: &Replica) -> bool {
    replica.phase == Phase::Running && !matches!(replica.health, HealthStatus::Starting | HealthStatus::Unhealthy)
}

/// A count of replicas from what arithmetic came to: the next whole number, 0 for what is below, and never more than
/// 32 bits hold. What is above a whole number by no more than a rounding error is that number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such a cast saturates, and NaN is 0")]
pub fn rounded_up(count: f64) -> u32 {
    let nearest = count.round();
    if (count - nearest).abs() < 1e-9 * count.abs().max(1.0) { nearest as u32 } else { count.ceil() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_saturate_and_rounding_errors_are_none() {
        for (count, rounded) in [
            (2.0, 2),
            (2.1, 3),
            (0.1 * 3.0 / 0.1, 3),
            (-4.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, u32::MAX),
            (1e300, u32::MAX),
        ] {
            assert_eq!(rounded_up(count), rounded, "{count}");
        }
    }
}

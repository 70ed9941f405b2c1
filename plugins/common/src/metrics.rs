//! Metrics of an observation, as policies read them.

use crate::bindings::exports::windlass::policy::manifest::MetricRequest;
use crate::bindings::exports::windlass::policy::scaling::Observation;
use crate::bindings::windlass::policy::types::{Sample, Series};

/// Requests a metric with its values of the last `window_ms` milliseconds. The newest value is always included.
pub fn request(name: &str, window_ms: u64) -> MetricRequest {
    MetricRequest { name: name.to_owned(), window: window_ms }
}

/// The metric that always has a value: the number of ready replicas.
pub const READY_REPLICAS: &str = "ready-replicas";

/// Requests a metric that always has a value.
///
/// If no requested metric has a value, the host blocks scale-out. A policy that does not decide by metrics alone therefore
/// requests this one, too.
pub fn always_available() -> MetricRequest {
    request(READY_REPLICAS, 0)
}

/// Checks that a metric measures the load. `field` is its path in the configuration.
///
/// # Errors
/// A sentence if the metric is the number of replicas itself: a count that is calculated from it rises or falls without end.
pub fn check_is_load(field: &str, name: &str) -> Result<(), String> {
    if name == READY_REPLICAS {
        return Err(format!(
            "`{field}` is `{name}`, which follows the count that the policy sets, so the count would rise or fall without \
             end; expected a metric of the load"
        ));
    }
    Ok(())
}

/// Returns a metric's series for the whole workload.
///
/// # Errors
/// A sentence with the reason why the metric has no value now.
pub fn whole<'a>(observation: &'a Observation, name: &str) -> Result<&'a Series, String> {
    let series = observation.metrics.iter().find(|series| series.name == name && series.replica.is_none());
    let Some(series) = series else { return Err(format!("`{name}` is missing from the observation")) };
    match &series.failure {
        // The value is the mean of the replicas that reported one.
        Some(why) if is_partial(why) => Ok(series),
        Some(why) => Err(format!("`{name}` has no value ({why})")),
        None => Ok(series),
    }
}

fn is_partial(failure: &str) -> bool {
    failure.starts_with("partial:")
}

/// Raises a proposed count to the current one if some replicas have no value of the metric: they may be the busy ones.
pub fn no_scale_in_if_partial(count: u32, observation: &Observation, name: &str) -> u32 {
    let whole = observation.metrics.iter().find(|series| series.name == name && series.replica.is_none());
    let is_partial = whole.and_then(|series| series.failure.as_deref()).is_some_and(is_partial);
    if is_partial { count.max(observation.current_replicas) } else { count }
}

/// Returns a metric's newest value for the whole workload.
///
/// # Errors
/// A sentence: the metric has no value now, or the value is not a finite number.
pub fn newest(observation: &Observation, name: &str) -> Result<f64, String> {
    let Some(sample) = whole(observation, name)?.samples.last() else {
        return Err(format!("`{name}` has no value"));
    };
    finite(name, sample)
}

fn finite(name: &str, sample: &Sample) -> Result<f64, String> {
    if sample.value.is_finite() {
        Ok(sample.value)
    } else {
        Err(format!("`{name}` is {}, not a finite number", sample.value))
    }
}

/// Returns the newest value of each replica that has a finite one: (replica identifier, value).
pub fn of_replicas<'a>(observation: &'a Observation, name: &str) -> Vec<(&'a str, f64)> {
    let measured = observation.metrics.iter().filter(|series| series.name == name && series.failure.is_none());
    let newest = |series: &'a Series| {
        let value = finite(name, series.samples.last()?).ok()?;
        Some((series.replica.as_deref()?, value))
    };
    measured.filter_map(newest).collect()
}

/// Rounds a calculated count up to a whole number, between 0 and `u32::MAX`. A value within a rounding error of a whole
/// number becomes that number.
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

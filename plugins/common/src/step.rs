//! The rule of the step policy: the band that contains the metric's value selects the adjustment of the count. The terms
//! are those of AWS step scaling.
//!
//! A step is made once per `hold-ms`, not in every pass. Within that time a higher band enlarges the same step, as in AWS:
//! a step of 2 followed by one of 3 adds 3 replicas in all, not 5.

mod config;

pub use config::{Adjustment, Band, Config};

use crate::bindings::exports::windlass::policy::manifest::MetricRequest;
use crate::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use crate::bindings::windlass::policy::types::{Phase, PolicyError, Replica};
use crate::metrics::{newest, no_scale_in_if_partial, of_replicas, request, rounded_up};
use crate::readiness::{fails_under_load, is_ready};
use crate::tracking::short;
use serde::{Deserialize, Serialize};

/// The latest step, as stored in the policy's memory. Memory that cannot be parsed counts as no step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct LastStep {
    /// The time of the step, in milliseconds since 1970.
    at: u64,
    /// The count before the step.
    from: u32,
    /// The count after the step.
    to: u32,
}

/// The metrics that the rule requires.
pub fn metrics(config: &Config) -> Vec<MetricRequest> {
    vec![request(&config.metric, 0)]
}

/// Proposes the number of replicas.
///
/// # Errors
/// [`PolicyError::InsufficientData`] if the metric has no value.
pub fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
    let Config { metric, hold_ms, .. } = config;
    let value = newest(observation, metric).map_err(PolicyError::InsufficientData)?;
    let (now, current) = (observation.now, observation.current_replicas);
    let last = serde_json::from_slice::<LastStep>(&observation.memory).ok();
    // A step in the future was stored before the clock was set back; it is ignored.
    let held = last.filter(|last| last.at <= now && now - last.at < *hold_ms);
    // During the hold the adjustment applies to the count before the step.
    let from = held.map_or(current, |last| last.from);
    let step = |value: f64| {
        let (index, band) = config.bands.iter().enumerate().find(|(_, band)| band.contains(value))?;
        let to = adjusted(from, band.adjustment()?, config.minimum_magnitude);
        Some((index, no_scale_in_if_partial(to, observation, metric)))
    };
    let Some((index, to)) = step(value) else {
        let reason = format!("`{metric}` is {value}, outside all bands");
        return Ok(decision(current, reason, held));
    };
    let (value, index, to) = match mean_over_all(metric, observation).filter(|_| to > from) {
        None => (value, index, to),
        Some(mean) => match step(mean) {
            Some((index, to)) if to > from => (mean, index, to),
            _ => {
                let mean = short(mean);
                let reason =
                    format!("`{metric}` is {value}, but only {mean} if replicas that never were ready count as 0");
                return Ok(decision(current, reason, held));
            }
        },
    };
    let effect =
        if to == from { format!("keeps the count at {to}") } else { format!("changes the count from {from} to {to}") };
    let reason = format!("`{metric}` is {value}, in band {index}, which {effect}");
    match held {
        // Not below the current count: an operator or a guardrail may have raised it since the step.
        Some(last) if to > last.to && to > from => {
            Ok(decision(to.max(current), reason, Some(LastStep { at: last.at, from, to })))
        }
        Some(last) => {
            let is_up = last.to > last.from;
            let count = if is_up { last.to.max(current) } else { last.to.min(current) };
            let reason =
                format!("`{metric}` is {value}; the step from {} to {} is still in effect", last.from, last.to);
            Ok(decision(count, reason, held))
        }
        None if to == current => Ok(decision(current, reason, None)),
        None => Ok(decision(to, reason, Some(LastStep { at: now, from: current, to }))),
    }
}

/// Returns a per-replica metric's mean over all existing and expected replicas. `None` if no replica reports the metric.
///
/// Replicas that never were ready count as 0. Otherwise a crashing deployment would scale up to the maximum. A replica that
/// was ready and fails counts with its value.
fn mean_over_all(metric: &str, observation: &Observation) -> Option<f64> {
    let measured = of_replicas(observation, metric);
    let existing = || observation.replicas.iter().filter(|one| matches!(one.phase, Phase::Starting | Phase::Running));
    let value = |replica: &Replica| measured.iter().find(|(id, _)| *id == replica.id).map(|(_, value)| value);
    let sum: f64 = existing().filter(|replica| is_ready(replica) || fails_under_load(replica)).filter_map(value).sum();
    let all = u32::try_from(existing().count()).unwrap_or(u32::MAX).max(observation.current_replicas);
    (!measured.is_empty() && all > 0).then(|| sum / f64::from(all))
}

fn decision(replicas: u32, reason: String, last: Option<LastStep>) -> Decision {
    let memory = last.and_then(|last| serde_json::to_vec(&last).ok()).unwrap_or_default();
    Decision { replicas, reason, memory, evaluate_after: None }
}

/// Returns the count after an adjustment. A percentage rounds up when it adds replicas, and toward zero when it removes
/// replicas: −1.5 becomes −1.
fn adjusted(from: u32, adjustment: Adjustment, minimum_magnitude: u32) -> u32 {
    match adjustment {
        Adjustment::Exactly(count) => count,
        Adjustment::Change(change) => from.saturating_add_signed(change),
        Adjustment::Percent(percent) => {
            let part = f64::from(from) * percent.abs() / 100.0;
            if percent > 0.0 {
                from.saturating_add(rounded_up(part).max(minimum_magnitude))
            } else if percent < 0.0 {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a count")]
                let whole = (part + 1e-9).floor() as u32;
                from.saturating_sub(whole.max(minimum_magnitude))
            } else {
                from
            }
        }
    }
}

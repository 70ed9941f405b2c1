//! The rule of the step policy: where the value lies says how many more or fewer. The words are those of AWS step scaling.
//!
//! A band says what is done about a value, not what is done in every pass: a step is taken once in `hold-ms`. A higher band
//! in that time makes the same step larger (2, then 3 more, are 3 more and not 5), as AWS has it.

mod config;

pub use config::{Adjustment, Band, Config};

use crate::bindings::exports::windlass::policy::manifest::MetricRequest;
use crate::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use crate::bindings::windlass::policy::types::{Phase, PolicyError, Replica};
use crate::metrics::{is_ready, never_down_in_part, newest, of_replicas, request, rounded_up};
use crate::tracking::short;
use serde::{Deserialize, Serialize};

/// The last step, as it is remembered. A form that cannot be read is no step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Taken {
    /// When, in milliseconds since 1970.
    at: u64,
    /// The count it was taken from.
    from: u32,
    /// The count it led to.
    to: u32,
}

/// What it must be shown.
pub fn metrics(config: &Config) -> Vec<MetricRequest> {
    vec![request(&config.metric, 0)]
}

/// How many replicas there should be.
///
/// # Errors
/// [`PolicyError::InsufficientData`] where the metric has no value.
pub fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
    let Config { metric, hold_ms, .. } = config;
    let value = newest(observation, metric).map_err(PolicyError::InsufficientData)?;
    let (now, current) = (observation.now, observation.current_replicas);
    let taken = serde_json::from_slice::<Taken>(&observation.memory).ok();
    // One of a time that is still to come was taken by a clock that has been set back since.
    let held = taken.filter(|taken| taken.at <= now && now - taken.at < *hold_ms);
    // Within the hold the step is that of the count before it.
    let from = held.map_or(current, |taken| taken.from);
    let step = |value: f64| {
        let (index, band) = config.bands.iter().enumerate().find(|(_, band)| band.has(value))?;
        let to = adjusted(from, band.adjustment()?, config.minimum_magnitude);
        Some((index, never_down_in_part(to, observation, metric)))
    };
    let Some((index, to)) = step(value) else {
        let reason = format!("`{metric}` is {value}, in no band");
        return Ok(answer(current, reason, held));
    };
    let (value, index, to) = match over_all(metric, observation).filter(|_| to > from) {
        None => (value, index, to),
        Some(share) => match step(share) {
            Some((index, to)) if to > from => (share, index, to),
            _ => {
                let all = "with those that are not ready or still to come";
                let reason = format!("`{metric}` is {value}, but {} {all}", short(share));
                return Ok(answer(current, reason, held));
            }
        },
    };
    let what = format!("`{metric}` is {value}, in band {index}, which leads from {from} to {to}");
    match held {
        // Never down: the count may have been moved past it meanwhile.
        Some(taken) if to > taken.to && to > from => {
            Ok(answer(to.max(current), what, Some(Taken { at: taken.at, from, to })))
        }
        Some(taken) => {
            let is_up = taken.to > taken.from;
            let count = if is_up { taken.to.max(current) } else { taken.to.min(current) };
            Ok(answer(
                count,
                format!("`{metric}` is {value}; the step from {} to {} is still new", taken.from, taken.to),
                held,
            ))
        }
        None if to == current => Ok(answer(current, what, None)),
        None => Ok(answer(to, what, Some(Taken { at: now, from: current, to }))),
    }
}

/// A metric that is measured at each replica, as the mean over all that are there or wanted: those that are not ready
/// count as 0, so that what is started is not what is needed. Without that a deploy that crashes is scaled to the
/// greatest count there may be. None: it is not measured so.
fn over_all(metric: &str, observation: &Observation) -> Option<f64> {
    let measured = of_replicas(observation, metric);
    let there = || observation.replicas.iter().filter(|one| matches!(one.phase, Phase::Starting | Phase::Running));
    let value = |replica: &Replica| measured.iter().find(|(id, _)| *id == replica.id).map(|(_, value)| value);
    let sum: f64 = there().filter(|replica| is_ready(replica)).filter_map(value).sum();
    let all = u32::try_from(there().count()).unwrap_or(u32::MAX).max(observation.current_replicas);
    (!measured.is_empty() && all > 0).then(|| sum / f64::from(all))
}

fn answer(replicas: u32, reason: String, taken: Option<Taken>) -> Decision {
    let memory = taken.and_then(|taken| serde_json::to_vec(&taken).ok()).unwrap_or_default();
    Decision { replicas, reason, memory, evaluate_after: None }
}

/// A count after a step. Percent up are rounded up, percent down leave what is begun: −1.5 are −1.
fn adjusted(from: u32, adjustment: Adjustment, minimum_magnitude: u32) -> u32 {
    match adjustment {
        Adjustment::Exactly(count) => count,
        Adjustment::Change(change) => from.saturating_add_signed(change),
        Adjustment::Percent(percent) => {
            let part = f64::from(from) * percent.abs() / 100.0;
            if percent > 0.0 {
                from.saturating_add(rounded_up(part).max(minimum_magnitude))
            } else if percent < 0.0 {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a count")]
                let whole = (part + 1e-9).floor() as u32;
                from.saturating_sub(whole.max(minimum_magnitude))
            } else {
                from
            }
        }
    }
}

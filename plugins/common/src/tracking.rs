//! The rule of the target-tracking policy, which the schedule and predictive policies also wrap: it proposes the count that
//! brings each metric to its target.
//!
//! The formula is `⌈N × value ÷ target⌉`, as in the Kubernetes Horizontal Pod Autoscaler. Unlike the autoscaler, this rule
//! never scales against the sign of `value ÷ target − 1`, and keeps replicas that are not ready in N on scale-in. Like the
//! autoscaler, it counts the load of replicas that were ready and fail.

mod config;

pub use config::{Config, Kind, Tracked};

use crate::bindings::exports::windlass::policy::manifest::MetricRequest;
use crate::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use crate::bindings::windlass::policy::types::{Phase, PolicyError, Replica};
use crate::metrics::{newest, no_scale_in_if_partial, of_replicas, request, rounded_up};
use crate::readiness::{fails_under_load, is_ready};

/// The metrics that the rule requires.
pub fn metrics(config: &Config) -> Vec<MetricRequest> {
    config.metrics.iter().map(|tracked| request(&tracked.name, 0)).collect()
}

/// Proposes the number of replicas.
///
/// # Errors
/// [`PolicyError::InsufficientData`] if no metric has a value.
pub fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
    let current = observation.current_replicas;
    let (mut proposals, mut failures) = (Vec::new(), Vec::new());
    for tracked in &config.metrics {
        match proposal(tracked, config, observation) {
            Ok((count, reason)) => proposals.push((count, reason)),
            Err(failure) => failures.push(failure),
        }
    }
    // The highest proposal; among equal ones, that of the first metric.
    let Some((highest, reason)) = proposals.iter().rev().max_by_key(|(count, _)| *count) else {
        return Err(PolicyError::InsufficientData(failures.join("; ")));
    };
    let (mut replicas, mut reason) = (*highest, reason.clone());
    if replicas < current && !failures.is_empty() {
        replicas = current;
        reason = format!("the count stays at {current} because {}; {reason}", failures.join("; "));
    } else if replicas < current && !config.scale_in {
        replicas = current;
        reason = format!("the count stays at {current} because `scale-in` is off; {reason}");
    } else if !failures.is_empty() {
        reason = format!("{reason}; {}", failures.join("; "));
    }
    Ok(Decision { replicas, reason, memory: Vec::new(), evaluate_after: None })
}

/// Returns the count that one metric calls for, and the reason.
fn proposal(tracked: &Tracked, config: &Config, observation: &Observation) -> Result<(u32, String), String> {
    let current = observation.current_replicas;
    let Tracked { name, target, kind } = tracked;
    let (ratio, count) = match kind {
        Kind::Total => {
            let total = positive(name, newest(observation, name)?)?;
            let count = no_scale_in_if_partial(rounded_up(total / target), observation, name);
            if current == 0 {
                // Without replicas there is no ratio, so the tolerance does not apply.
                let (total, target) = (short(total), short(*target));
                return Ok((count, format!("`{name}` is {total}, which calls for {count} at {target} per replica")));
            }
            (total / target / f64::from(current), Some(count))
        }
        Kind::PerReplica => {
            let (ratio, count) = per_replica(tracked, config, observation)?;
            // Without replicas there is no per-replica value. Only a total can scale out again from 0.
            let can_leave_zero = config.metrics.iter().any(|other| other.kind == Kind::Total);
            let minimum = u32::from(!can_leave_zero && current > 0);
            (ratio, count.map(|count| count.max(minimum)))
        }
    };
    let (percent, target) = (short(ratio * 100.0), short(*target));
    let share = match kind {
        Kind::Total => {
            format!("`{name}` is at {percent} % of its target ({target} per replica, with {current} replicas)")
        }
        Kind::PerReplica => format!("`{name}` is at {percent} % of its target ({target})"),
    };
    if is_within(ratio, config) {
        return Ok((current, format!("{share}, within the tolerance")));
    }
    let Some(count) = count else {
        let reason =
            format!("{share}; the count stays at {current} because some replicas are not ready or have no value");
        return Ok((current, reason));
    };
    // The count never moves against the sign of ratio − 1.
    let count = if ratio > 1.0 { count.max(current) } else { count.min(current) };
    Ok((count, format!("{share}, which calls for {count}")))
}

fn is_within(ratio: f64, config: &Config) -> bool {
    // The bounds are inclusive, and a rounding error does not cross them.
    let slack = 1e-9;
    ratio <= 1.0 + config.tolerance_up + slack && ratio >= 1.0 - config.tolerance_down - slack
}

/// Returns the ratio of value to target for a per-replica metric, and the count. The count is `None` if replicas without a
/// value could reverse the decision or bring the metric within the tolerance.
///
/// - **Scale-out**: replicas that are not ready or have no value count as 0, because replicas that are starting already add
///   capacity. A replica that was ready and fails counts with its value, because other replicas must take its load.
/// - **Scale-in**: ready replicas without a value count as exactly at the target, or at 100 % for a utilization if that is
///   more. Replicas that are not ready stay in the count as capacity.
fn per_replica(tracked: &Tracked, config: &Config, observation: &Observation) -> Result<(f64, Option<u32>), String> {
    let Tracked { name, target, .. } = tracked;
    let existing: Vec<&Replica> = (observation.replicas.iter())
        .filter(|replica| matches!(replica.phase, Phase::Starting | Phase::Running))
        .collect();
    let is_warm = |replica: &Replica| {
        let age = replica.started_at.map(|started| observation.now.saturating_sub(started));
        age.is_some_and(|age| age >= config.warm_up_ms)
    };
    let warm = || existing.iter().copied().filter(|replica| is_warm(replica));
    let serving: Vec<&Replica> = warm().filter(|replica| is_ready(replica)).collect();
    let failing: Vec<&Replica> = warm().filter(|replica| fails_under_load(replica)).collect();
    let measured = of_replicas(observation, name);
    let mean_of_all = if measured.is_empty() { Some(positive(name, newest(observation, name)?)?) } else { None };
    let value = |replica: &&Replica| {
        let of_replica = measured.iter().find(|(id, _)| *id == replica.id);
        // Without values of replicas, the metric has only a mean over all of them.
        mean_of_all.map(Ok).or_else(|| of_replica.map(|(_, value)| positive(name, *value)))
    };
    let values: Vec<f64> = serving.iter().filter_map(value).collect::<Result<_, _>>()?;
    let of_failing: Vec<f64> = failing.iter().filter_map(value).collect::<Result<_, _>>()?;
    let (sum, sum_of_failing) = (values.iter().sum::<f64>(), of_failing.iter().sum::<f64>());
    let mean = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / counted(count) / target };
    let mean_of_serving = mean(sum, values.len());
    // Values of replicas that fail only ever add load: one that hangs uses nothing, and its load went elsewhere.
    let mean = mean_of_serving.max(mean(sum + sum_of_failing, values.len() + of_failing.len()));
    if values.is_empty() && (of_failing.is_empty() || mean <= 1.0) {
        return Err(format!("no ready replica has a value of `{name}`"));
    }
    let missing = counted(serving.len().saturating_sub(values.len()));
    // A utilization can reach at most 100 %; other metrics have no known maximum.
    let full = if name.ends_with("-utilization") { target.max(1.0) / target } else { 1.0 };
    // Expected replicas that do not exist yet also count as not ready.
    let all = counted(existing.len()).max(f64::from(observation.current_replicas));
    if is_within(mean, config) {
        return Ok((mean, None));
    }
    let ratio = if mean > 1.0 {
        (sum + sum_of_failing) / target / all
    } else {
        (sum / target + missing * full) / (counted(values.len()) + missing)
    };
    let crosses = (ratio > 1.0) != (mean > 1.0);
    let stays = crosses || is_within(ratio, config);
    let count = rounded_up(ratio * all);
    // Where replicas have values, those without one are counted above.
    let count = if mean_of_all.is_some() { no_scale_in_if_partial(count, observation, name) } else { count };
    Ok((mean, (!stays).then_some(count)))
}

fn positive(name: &str, value: f64) -> Result<f64, String> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(format!("`{name}` is {value}; expected a number of 0 or more"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are at most a thousand replicas")]
fn counted(replicas: usize) -> f64 {
    replicas as f64
}

/// Formats a number with three significant digits.
pub fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    let digits = (2.0 - magnitude).clamp(0.0, 9.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 9")]
    let text = format!("{value:.0$}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

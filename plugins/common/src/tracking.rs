//! Target tracking, which a policy does for itself and a schedule around it: as many replicas as bring each metric to
//! its target.
//!
//! `⌈N × value ÷ target⌉`, as the Horizontal Pod Autoscaler has it; where it scales against the sign of
//! `value ÷ target − 1`, or lets replicas that are not ready vanish from N on the way down, this one does not.

mod config;

pub use config::{Config, Kind, Tracked};

use crate::bindings::exports::windlass::policy::manifest::MetricRequest;
use crate::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use crate::bindings::windlass::policy::types::{Phase, PolicyError, Replica};
use crate::metrics::{is_ready, newest, of_replicas, request, rounded_up};

/// The metrics that are looked at.
pub fn metrics(config: &Config) -> Vec<MetricRequest> {
    config.metrics.iter().map(|tracked| request(&tracked.name, 0)).collect()
}

/// How many replicas there should be.
///
/// # Errors
/// [`PolicyError::InsufficientData`] where no metric has a value.
pub fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
    let current = observation.current_replicas;
    let (mut wants, mut failures) = (Vec::new(), Vec::new());
    for tracked in &config.metrics {
        match wanted(tracked, config, observation) {
            Ok((count, why)) => wants.push((count, why)),
            Err(why) => failures.push(why),
        }
    }
    // The first of those that want most.
    let Some((highest, why)) = wants.iter().rev().max_by_key(|(count, _)| *count) else {
        return Err(PolicyError::InsufficientData(failures.join("; ")));
    };
    let (mut replicas, mut reason) = (*highest, why.clone());
    if replicas < current && !failures.is_empty() {
        replicas = current;
        reason = format!("held at {current}, since {}; {reason}", failures.join("; "));
    } else if replicas < current && !config.scale_in {
        replicas = current;
        reason = format!("held at {current}, since `scale-in` is off; {reason}");
    } else if !failures.is_empty() {
        reason = format!("{reason}; {}", failures.join("; "));
    }
    Ok(Decision { replicas, reason, memory: Vec::new(), evaluate_after: None })
}

/// The count one metric wants, and why.
fn wanted(tracked: &Tracked, config: &Config, observation: &Observation) -> Result<(u32, String), String> {
    let current = observation.current_replicas;
    let Tracked { name, target, kind } = tracked;
    let (ratio, count) = match kind {
        Kind::Total => {
            let total = positive(name, newest(observation, name)?)?;
            let count = rounded_up(total / target);
            // From nothing there is no ratio, and no tolerance.
            let ratio = if current == 0 { None } else { Some(total / target / f64::from(current)) };
            (ratio, Some(count))
        }
        Kind::PerReplica => {
            let (ratio, count) = per_replica(tracked, config, observation)?;
            // Of no replica there is no value: from nothing it could not lead back.
            let leads_back = config.metrics.iter().any(|other| other.kind == Kind::Total);
            let least = u32::from(!leads_back && current > 0);
            (Some(ratio), count.map(|count| count.max(least)))
        }
    };
    let of = match kind {
        Kind::Total => format!("`{name}` for {current} replicas of target {}", short(*target)),
        Kind::PerReplica => format!("`{name}` of target {}", short(*target)),
    };
    let Some(ratio) = ratio else {
        let count = count.unwrap_or(current);
        return Ok((count, format!("{of} wants {count} from 0")));
    };
    let share = format!("{of} is at {} %", short(ratio * 100.0));
    if is_within(ratio, config) {
        return Ok((current, format!("{share}, within the tolerance")));
    }
    let Some(count) = count else {
        return Ok((current, format!("{share}; with those missing or not ready it stays at {current}")));
    };
    // Never against the sign of ratio − 1.
    let count = if ratio > 1.0 { count.max(current) } else { count.min(current) };
    Ok((count, format!("{share}: wants {count}")))
}

fn is_within(ratio: f64, config: &Config) -> bool {
    // A rounding error is no step over the edge, which is inclusive.
    let slack = 1e-9;
    ratio <= 1.0 + config.tolerance_up + slack && ratio >= 1.0 - config.tolerance_down - slack
}

/// The ratio of value and target, and the count, of a metric that is measured at each replica; none: what is not known
/// takes the reason away.
///
/// On the way up those that are missing or not ready count as 0: what is started is not what is needed. On the way down
/// the missing count at the target, or as busy as can be where that is known to be 100 %, and the others stay as
/// capacity.
fn per_replica(tracked: &Tracked, config: &Config, observation: &Observation) -> Result<(f64, Option<u32>), String> {
    let Tracked { name, target, .. } = tracked;
    let there: Vec<&Replica> = (observation.replicas.iter())
        .filter(|replica| matches!(replica.phase, Phase::Starting | Phase::Running))
        .collect();
    let is_warm = |replica: &Replica| {
        let age = replica.started_at.map(|started| observation.now.saturating_sub(started));
        is_ready(replica) && age.is_some_and(|age| age >= config.warm_up_ms)
    };
    let warm: Vec<&Replica> = there.iter().copied().filter(|replica| is_warm(replica)).collect();
    let measured = of_replicas(observation, name);
    let values: Vec<f64> = if measured.is_empty() {
        // Measured as a mean only.
        let mean = positive(name, newest(observation, name)?)?;
        vec![mean; warm.len()]
    } else {
        let value = |replica: &&Replica| {
            let found = measured.iter().find(|(id, _)| *id == replica.id);
            found.map(|(_, value)| positive(name, *value))
        };
        warm.iter().filter_map(value).collect::<Result<_, _>>()?
    };
    if values.is_empty() {
        return Err(format!("no replica that is ready has a value of `{name}`"));
    }
    let sum: f64 = values.iter().sum();
    let mean = sum / counted(values.len()) / target;
    let missing = counted(warm.len().saturating_sub(values.len()));
    // A utilization is a share of what there is; of any other metric nobody knows how high it may be.
    let full = if name.ends_with("-utilization") { target.max(1.0) / target } else { 1.0 };
    // Those wanted and not there yet are not ready either.
    let all = counted(there.len()).max(f64::from(observation.current_replicas));
    if is_within(mean, config) {
        return Ok((mean, None));
    }
    let ratio = if mean > 1.0 {
        sum / target / all
    } else {
        (sum / target + missing * full) / (counted(values.len()) + missing)
    };
    let crosses = (ratio > 1.0) != (mean > 1.0);
    let stays = crosses || is_within(ratio, config);
    Ok((mean, (!stays).then(|| rounded_up(ratio * all))))
}

fn positive(name: &str, value: f64) -> Result<f64, String> {
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(format!("`{name}` is {value}")) }
}

#[expect(clippy::cast_precision_loss, reason = "replicas are at most a thousand")]
fn counted(replicas: usize) -> f64 {
    replicas as f64
}

/// A number for people: three digits that matter.
pub fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    let digits = (2.0 - magnitude).clamp(0.0, 9.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 9")]
    let text = format!("{value:.0$}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

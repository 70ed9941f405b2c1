//! The replica count that the host steers to: bounds, overrides, unavailable policies and metrics, then windows and rates.

use crate::service_rules::{no_room, update_rule};
use crate::stabilization::{Stabilized, stabilize};
use crate::wording::{is_or_are, replicas, time_of_day};
use std::time::Duration;
use windlass_core::contract::HealthStatus;
use windlass_core::verdict::FailedMetrics;
use windlass_core::{
    Blindness, Fallback, Force, Guardrails, HeldBy, History, Phase, Replica, ServiceState, Slot, Snapshot, Stages,
    Timestamp, TroubleKind, Verdict, Workload,
};

/// The input from which the count follows.
pub(crate) struct CountInputs<'a> {
    pub(crate) desired: &'a Workload,
    /// The count that the last pass or an operator set.
    pub(crate) current: u32,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) verdict: &'a Verdict,
    pub(crate) guardrails: &'a Guardrails,
    /// The usual time between two passes.
    pub(crate) interval: Duration,
    /// The dependency that is down, in words. `None` if all dependencies are up.
    pub(crate) waits_for: Option<&'a str>,
    /// Whether outdated replicas are being replaced.
    pub(crate) is_rolling_out: bool,
    pub(crate) now: Timestamp,
}

/// The count to steer to, and why.
pub(crate) struct ReplicaCount {
    pub(crate) target: u32,
    /// One sentence.
    pub(crate) reason: String,
    /// The stages of the proposal. `None` without a proposal.
    pub(crate) stages: Option<Stages>,
    /// The rule that keeps the count from the proposal. `None` if the count is the proposed one.
    pub(crate) held_by: Option<HeldBy>,
}

/// A proposed count.
struct Proposed {
    replicas: u32,
    /// The policy, or the fallback.
    by: String,
    reason: String,
    is_fallback: bool,
}

impl Proposed {
    /// The reason of a count that a rule moved away from the proposal.
    fn overruled(&self, current: u32, target: u32, rule: &str) -> String {
        let Self { replicas, by, reason, .. } = self;
        let verb = if target == current { "held at" } else { "scaled to" };
        format!("{verb} {target}: {rule}; {by} proposed {replicas}: {reason}")
    }

    /// A count that stays because of a rule.
    fn held(&self, current: u32, held_by: HeldBy, rule: &str) -> ReplicaCount {
        ReplicaCount {
            target: current,
            reason: self.overruled(current, current, rule),
            stages: Some(all_stages(self.replicas, current)),
            held_by: Some(held_by),
        }
    }
}

/// The stages of a proposal that a rule replaced by `count` before the guardrails applied.
fn all_stages(raw: u32, count: u32) -> Stages {
    Stages { raw, stabilized: count, limited: count, bounded: count }
}

/// The count to steer to.
pub(crate) fn replica_count(inputs: &CountInputs<'_>, history: &mut History) -> ReplicaCount {
    let CountInputs { desired, snapshot, verdict, guardrails, now, .. } = *inputs;
    let bounds = desired.bounds;
    // The bounds come first and apply at once: a step never begins outside them. If containers ran before the host knew
    // the workload, they are adopted, not removed.
    let service = snapshot.service.state();
    let adopted = if history.since.is_none() && service.is_none() { snapshot.counted().count() } else { 0 };
    let current = bounds.clamp(inputs.current.max(u32::try_from(adopted).unwrap_or(u32::MAX)));
    let since = *history.since.get_or_insert(now);
    let fallback = fallback(inputs, history);
    let raw = verdict.scaling.answer.as_ref().ok().map(|decision| decision.replicas);
    if let Some(force) = desired.overrides.forced(now) {
        let target = bounds.clamp(force.replicas);
        let stages = raw.map(|raw| all_stages(raw, target));
        return ReplicaCount { target, reason: forced(desired, force), stages, held_by: Some(HeldBy::Force) };
    }
    if let Some(why) = inputs.waits_for {
        let stages = raw.map(|raw| all_stages(raw, current));
        let reason = format!("held at {current}: {why}");
        return ReplicaCount { target: current, reason, stages, held_by: Some(HeldBy::Dependency) };
    }
    let policy = &verdict.scaling.policy.name;
    let proposed = match (fallback, &verdict.scaling.answer) {
        (Some(fallback), _) => fallback,
        (None, Ok(decision)) => Proposed {
            replicas: decision.replicas,
            by: format!("`{policy}`"),
            reason: decision.reason.clone(),
            is_fallback: false,
        },
        (None, Err(failure)) => {
            let reason = format!("held at {current}: scaling policy `{policy}` is unavailable ({failure})");
            return ReplicaCount { target: current, reason, stages: None, held_by: Some(HeldBy::Unavailable) };
        }
    };
    let raw = proposed.replicas;
    let wanted = bounds.clamp(raw);
    let overrides = desired.overrides;
    if overrides.paused && wanted != current {
        return proposed.held(current, HeldBy::Pause, "an operator paused scaling");
    } else if overrides.freeze_scale_up && wanted > current {
        return proposed.held(current, HeldBy::FreezeUp, "an operator froze scale-out");
    } else if overrides.freeze_scale_down && wanted < current {
        return proposed.held(current, HeldBy::FreezeDown, "an operator froze scale-in");
    }
    let counted: Vec<&Replica> = snapshot.counted().collect();
    if wanted != current && !counted.is_empty() && counted.iter().all(|it| history.stopped_outside.contains_key(&it.id))
    {
        let rule = "every replica was stopped outside Windlass, which counts as a pause";
        return proposed.held(current, HeldBy::StoppedOutside, rule);
    }
    if let Some(service) = service
        && let Some(rule) = update_rule(service)
        && (wanted != current || service.count != current)
    {
        return proposed.held(current, HeldBy::Update, rule);
    }
    let FailedMetrics { failed, are_all, knows_otherwise } = &verdict.failed_metrics;
    // A missing value is not a small one.
    let is_blind = *are_all && !knows_otherwise;
    if !proposed.is_fallback && !failed.is_empty() && (wanted < current || (is_blind && wanted > current)) {
        let which = if *are_all { "no metric has a value" } else { "some metrics have no value" };
        return proposed.held(current, HeldBy::Metrics, &format!("{which} ({})", failed.join(", ")));
    }
    let Stabilized { stages, held_back } = stabilize(raw, current, bounds, guardrails, history, inputs.interval, now);
    if stages.bounded > current
        && let Some(rule) = service.and_then(|service| no_room(service, now))
    {
        return proposed.held(current, HeldBy::NoRoom, &rule);
    }
    if stages.bounded < current {
        if inputs.is_rolling_out {
            return proposed.held(current, HeldBy::Rollout, "scale-in waits until the rollout ends");
        }
        if let Some(rule) = missing_or_starting(inputs, current, &counted, history) {
            return proposed.held(current, HeldBy::StillToCome, &rule);
        }
        let grace_ends = since.plus(guardrails.grace);
        if now < grace_ends {
            let (until, grace) = (time_of_day(grace_ends), guardrails.grace.as_secs());
            let rule = format!("scale-in waits until {until} because the workload is new (grace period {grace} s)");
            return proposed.held(current, HeldBy::Grace, &rule);
        }
    }
    let target = stages.bounded;
    let (reason, held_by) = match held_back {
        Some((by, rule)) => (proposed.overruled(current, target, &rule), Some(by)),
        None if target == raw => (proposed.reason, None),
        None => {
            let bound = if target < raw { "maximum" } else { "minimum" };
            (proposed.overruled(current, target, &format!("the {bound} is {target}")), Some(HeldBy::Bounds))
        }
    };
    ReplicaCount { target, reason, stages: Some(stages), held_by }
}

/// The reason of a forced count.
fn forced(desired: &Workload, Force { replicas: count, until }: Force) -> String {
    let bounds = desired.bounds;
    // An operator may force a count for days: the time needs its date.
    let mut reason = format!("an operator forces {} until {}", replicas(count as usize), until.to_rfc3339());
    if bounds.clamp(count) != count {
        let (bound, limit) = if count > bounds.max() { ("maximum", bounds.max()) } else { ("minimum", bounds.min()) };
        reason.push_str(&format!(", and the {bound} is {limit}"));
    }
    reason
}

/// Why no replica may go yet, in words: first all requested ones must serve. An unhealthy replica and a replica that waits
/// for its next restart do not count as starting; they are removed first.
fn missing_or_starting(
    inputs: &CountInputs<'_>,
    current: u32,
    counted: &[&Replica],
    history: &History,
) -> Option<String> {
    let CountInputs { snapshot, .. } = inputs;
    if current != inputs.current {
        return None;
    }
    let service = snapshot.service.state();
    let existing = match service {
        // Nobody knows when the engine finds a node for the others, or when they stop failing.
        Some(service) => {
            counted.iter().filter(|it| !waits(service, it.slot)).count() + absent(service, counted, history)
        }
        None => counted.len() + given_up_empty(snapshot, history),
    };
    if existing < usize::try_from(current).unwrap_or(usize::MAX) {
        return Some(format!(
            "scale-in waits until all {current} replicas exist; {existing} {} there",
            is_or_are(existing)
        ));
    }
    let is_starting = |replica: &&&Replica| {
        let health = snapshot.health_of(&replica.id);
        let has_failed = match service {
            Some(service) => replica.engine_restarts > 0 || waits(service, replica.slot),
            None => history.slots.get(&replica.slot).is_some_and(|slot| slot.restarts > 0),
        };
        let is_ill = has_failed || health == HealthStatus::Unhealthy;
        !is_ill && (replica.phase == Phase::Starting || health == HealthStatus::Starting)
    };
    let starting = counted.iter().filter(is_starting).count();
    (starting > 0).then(|| {
        let verb = is_or_are(starting);
        format!("scale-in waits until all {current} replicas have started; {starting} {verb} still starting")
    })
}

/// Whether the replica of a slot waits for a node.
fn waits(service: &ServiceState, slot: Slot) -> bool {
    service.pending.iter().any(|pending| pending.slot == slot)
}

/// The number of replicas of a service that wait for a node, or are between a failure and the next start.
fn absent(service: &ServiceState, counted: &[&Replica], history: &History) -> usize {
    let is_between = |slot: &Slot| !waits(service, *slot) && !counted.iter().any(|replica| replica.slot == *slot);
    let troubles = history.service.troubles.iter().filter(|(_, it)| it.trouble.kind == TroubleKind::CrashLoop);
    service.pending.len() + troubles.filter(|(slot, _)| is_between(slot)).count()
}

/// The number of slots that are empty and given up: they get no replica any more.
fn given_up_empty(snapshot: &Snapshot, history: &History) -> usize {
    let is_empty = |slot: &Slot| !snapshot.replicas.iter().any(|replica| replica.slot == *slot);
    history.slots.iter().filter(|(slot, entry)| entry.given_up.is_some() && is_empty(slot)).count()
}

/// Counts consecutive observations without any metric value. Returns the fallback once there are enough.
fn fallback(inputs: &CountInputs<'_>, history: &mut History) -> Option<Proposed> {
    let FailedMetrics { failed, are_all, .. } = &inputs.verdict.failed_metrics;
    if !are_all {
        history.blind = None;
        return None;
    }
    let now = inputs.now;
    let blind = history.blind.get_or_insert(Blindness { looks: 1, last: now });
    // A workload may be woken many times in a second. Those passes are one observation.
    if now.since(blind.last) >= inputs.interval / 2 {
        *blind = Blindness { looks: blind.looks.saturating_add(1), last: now };
    }
    let Fallback { replicas, after } = inputs.guardrails.fallback?;
    (blind.looks >= after).then(|| Proposed {
        replicas,
        by: "the fallback".to_owned(),
        reason: format!("no metric has had a value for at least {after} observations ({})", failed.join(", ")),
        is_fallback: true,
    })
}

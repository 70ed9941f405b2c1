//! The count to steer to: bounds, an operator's overrides, what a failed policy or metric leaves, then windows and rates.

use crate::stabilization::{Smoothed, smooth};
use std::time::Duration;
use windlass_core::contract::HealthStatus;
use windlass_core::verdict::FailedMetrics;
use windlass_core::{
    Blindness, Fallback, Force, Guardrails, HeldBy, History, Phase, Replica, Slot, Snapshot, Stages, StoppedOutside,
    Timestamp, Verdict, Workload,
};

/// What is known of a workload when its count is settled.
pub(crate) struct Facts<'a> {
    pub(crate) desired: &'a Workload,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) verdict: &'a Verdict,
    pub(crate) guardrails: &'a Guardrails,
    /// The usual time from one look to the next.
    pub(crate) interval: Duration,
    /// What it depends on and is down, in words.
    pub(crate) waits_for: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// A count that is proposed, by whom, and why.
struct Proposed {
    replicas: u32,
    by: String,
    reason: String,
    is_fallback: bool,
}

/// The count to steer to, and how it came about.
pub(crate) struct Steered {
    pub(crate) target: u32,
    /// One sentence.
    pub(crate) reason: String,
    /// What became of the proposal; none: there was none.
    pub(crate) stages: Option<Stages>,
    /// What keeps the count from the proposal; none: nothing does.
    pub(crate) held_by: Option<HeldBy>,
}

/// The count to steer to.
pub(crate) fn steered(facts: &Facts<'_>, history: &mut History) -> Steered {
    let Facts { desired, snapshot, verdict, guardrails, now, .. } = *facts;
    let bounds = desired.bounds;
    // Bounds at once and before everything: what is outside of them is not where a step begins.
    // What ran before the workload was known here is adopted, not removed.
    let adopted = if history.since.is_none() { snapshot.counted().count() } else { 0 };
    let current = bounds.clamp(desired.target.max(u32::try_from(adopted).unwrap_or(u32::MAX)));
    let since = *history.since.get_or_insert(now);
    let fallback = fallback(facts, history);
    let raw = verdict.scaling.answer.as_ref().ok().map(|decision| decision.replicas);
    let all_at = |count| move |raw| Stages { raw, stabilized: count, limited: count, bounded: count };
    let within = || format!("(min {}, max {})", bounds.min(), bounds.max());
    if let Some(Force { replicas, until }) = desired.overrides.forced(now) {
        let target = bounds.clamp(replicas);
        let bounded = if target == replicas { String::new() } else { format!(", bounded to {target} {}", within()) };
        let reason = format!("an operator forces {replicas}{bounded} until {}", until.told());
        return Steered { target, reason, stages: raw.map(all_at(target)), held_by: Some(HeldBy::Force) };
    }
    if let Some(why) = facts.waits_for {
        let reason = format!("held at {current}: {why}");
        let held_by = Some(HeldBy::Dependency);
        return Steered { target: current, reason, stages: raw.map(all_at(current)), held_by };
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
            return Steered { target: current, reason, stages: None, held_by: Some(HeldBy::Unavailable) };
        }
    };
    let Proposed { replicas: raw, by, reason, is_fallback } = proposed;
    let held = |held_by, why: String| Steered {
        target: current,
        reason: format!("held at {current}: {why}; {by} proposed {raw}: {reason}"),
        stages: Some(all_at(current)(raw)),
        held_by: Some(held_by),
    };
    let wanted = bounds.clamp(raw);
    let overrides = desired.overrides;
    if overrides.paused && wanted != current {
        return held(HeldBy::Pause, "an operator paused scaling".to_owned());
    } else if overrides.freeze_scale_up && wanted > current {
        return held(HeldBy::FreezeUp, "an operator froze scaling up".to_owned());
    } else if overrides.freeze_scale_down && wanted < current {
        return held(HeldBy::FreezeDown, "an operator froze scaling down".to_owned());
    }
    let counted: Vec<&Replica> = snapshot.counted().collect();
    if wanted != current && !counted.is_empty() && counted.iter().all(|it| history.stopped_outside.contains_key(&it.id))
    {
        let why = "all of it was stopped outside of Windlass, which is taken for a pause";
        return held(HeldBy::StoppedOutside, why.to_owned());
    }
    let FailedMetrics { failed, are_all, knows_otherwise } = &verdict.failed_metrics;
    // A value that is missing is not a small one.
    if !is_fallback && !failed.is_empty() && (wanted < current || (*are_all && !knows_otherwise && wanted > current)) {
        let blocked = if *are_all { "no metric has a value" } else { "not every metric has a value" };
        return held(HeldBy::Metrics, format!("{blocked} ({})", failed.join(", ")));
    }
    let Smoothed { stages, held_back } = smooth(raw, current, bounds, guardrails, history, facts.interval, now);
    if stages.bounded < current {
        if let Some(why) = still_to_come(facts, current, &counted, history) {
            return held(HeldBy::StillToCome, why);
        }
        let grace = since.plus(guardrails.grace);
        if now < grace {
            let why = format!("the workload is new here, and nothing of it shrinks until {}", grace.told());
            return held(HeldBy::Grace, why);
        }
    }
    let target = stages.bounded;
    let (reason, held_by) = match held_back {
        Some((by_what, why)) => (format!("{by} proposed {raw}, steered to {target}: {why}; {reason}"), Some(by_what)),
        None if target == raw => (reason, None),
        None => (format!("{by} proposed {raw}, bounded to {target} {}: {reason}", within()), Some(HeldBy::Bounds)),
    };
    Steered { target, reason, stages: Some(stages), held_by }
}

/// Why a workload grows yet, in words: none may go before those that were wanted serve. One that is ill or waits for
/// its next start is not on its way; it goes first.
fn still_to_come(facts: &Facts<'_>, current: u32, counted: &[&Replica], history: &History) -> Option<String> {
    let Facts { desired, snapshot, .. } = facts;
    if current != desired.target {
        return None;
    }
    let there = counted.len() + given_up_empty(snapshot, history);
    if there < usize::try_from(current).unwrap_or(usize::MAX) {
        return Some(format!("{there} of {current} replicas are there, the others are still to come"));
    }
    let starts = |replica: &&&Replica| {
        let health = snapshot.health_of(&replica.id);
        let has_failed = history.slots.get(&replica.slot).is_some_and(|slot| slot.restarts > 0);
        let is_ill = has_failed || health == HealthStatus::Unhealthy;
        !is_ill && (replica.phase == Phase::Starting || health == HealthStatus::Starting)
    };
    let starting = counted.iter().filter(starts).count();
    (starting > 0).then(|| format!("{starting} of {current} replicas are still starting"))
}

/// Slots that are empty and given up: no replica of theirs is still to come.
fn given_up_empty(snapshot: &Snapshot, history: &History) -> usize {
    let is_empty = |slot: &Slot| !snapshot.replicas.iter().any(|replica| replica.slot == *slot);
    history.slots.iter().filter(|(slot, entry)| entry.given_up.is_some() && is_empty(slot)).count()
}

/// Counts the looks at which nothing was known; the fallback, once there were enough in a row.
fn fallback(facts: &Facts<'_>, history: &mut History) -> Option<Proposed> {
    let FailedMetrics { failed, are_all, .. } = &facts.verdict.failed_metrics;
    if !are_all {
        history.blind = None;
        return None;
    }
    let now = facts.now;
    let blind = history.blind.get_or_insert(Blindness { looks: 1, last: now });
    // Something may wake a workload many times in a second; nothing new is known by then.
    if now.since(blind.last) >= facts.interval / 2 {
        *blind = Blindness { looks: blind.looks.saturating_add(1), last: now };
    }
    let Fallback { replicas, after } = facts.guardrails.fallback?;
    (blind.looks >= after).then(|| Proposed {
        replicas,
        by: "the fallback".to_owned(),
        reason: format!("no metric has had a value for {after} looks and more ({})", failed.join(", ")),
        is_fallback: true,
    })
}

/// An engine that shuts down asks everything to end, and is gone within this time: its own patience is 15 s.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// Notes which replicas somebody stopped through the engine: they are left so until somebody starts or removes them.
///
/// One that was restarted by the host and did not come up again is not among them, whoever asked it to end; nor is what
/// ended shortly before the engine was lost, or before the host itself ended: a machine that reboots is no word of anybody.
pub(crate) fn note_stopped(snapshot: &Snapshot, history: &mut History, now: Timestamp) {
    let noted = |replica: &Replica| {
        let known = history.stopped_outside.get(&replica.id).copied();
        let restart = history.slots.get(&replica.slot).and_then(|slot| slot.last_restart);
        let was_ours = restart.is_some_and(|restart| replica.started_at.is_none_or(|started| started < restart));
        let is_new = snapshot.stopped_outside.contains(&replica.id) && !was_ours;
        let seen = known.map(|known| known.seen).or(is_new.then_some(now))?;
        let is_settled = known.is_some_and(|known| known.is_settled);
        if replica.is_alive() || (!is_settled && seen <= snapshot.engine_lost) {
            return None;
        }
        Some(StoppedOutside { seen, is_settled: is_settled || now.since(seen) >= SETTLED_AFTER })
    };
    let stopped = snapshot.counted().filter_map(|replica| Some((replica.id.clone(), noted(replica)?))).collect();
    history.stopped_outside = stopped;
}

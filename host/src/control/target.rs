//! The count to steer to: bounds, an operator's overrides, what a failed policy or metric leaves, then windows and rates.

use super::smooth::{Smoothed, smooth};
use crate::model::verdict::FailedMetrics;
use crate::model::{
    Blindness, Fallback, Force, Guardrails, History, Replica, Slot, Snapshot, Stages, StoppedOutside, Timestamp,
    Verdict, Workload,
};
use std::time::Duration;

/// What is known of a workload when its count is settled.
pub(super) struct Facts<'a> {
    pub(super) desired: &'a Workload,
    pub(super) snapshot: &'a Snapshot,
    pub(super) verdict: &'a Verdict,
    pub(super) guardrails: &'a Guardrails,
    /// The usual time from one look to the next.
    pub(super) interval: Duration,
    /// What it depends on and is down, in words.
    pub(super) waits_for: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// A count that is proposed, by whom, and why.
struct Proposed {
    replicas: u32,
    by: String,
    reason: String,
    is_fallback: bool,
}

/// The count to steer to, why, and what became of the proposal.
pub(super) fn steered(facts: &Facts<'_>, history: &mut History) -> (u32, String, Option<Stages>) {
    let Facts { desired, snapshot, verdict, guardrails, now, .. } = *facts;
    let bounds = desired.bounds;
    // Bounds at once and before everything: what is outside of them is not where a step begins.
    // What ran before the workload was known here is adopted, not removed.
    let adopted = if history.since.is_none() { snapshot.counted().count() } else { 0 };
    let current = bounds.clamp(desired.target.max(u32::try_from(adopted).unwrap_or(u32::MAX)));
    let since = *history.since.get_or_insert(now);
    let fallback = fallback(facts, history);
    if let Some(Force { replicas, until }) = desired.overrides.forced(now) {
        let target = bounds.clamp(replicas);
        let stages = verdict.scaling.answer.as_ref().ok().map(|decision| {
            let raw = decision.replicas;
            Stages { raw, stabilized: target, limited: target, bounded: target }
        });
        return (target, format!("an operator forces {replicas} until {}", until.told()), stages);
    }
    if let Some(why) = facts.waits_for {
        return (current, format!("held at {current}: {why}"), None);
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
            return (current, format!("held at {current}: scaling policy `{policy}` is unavailable ({failure})"), None);
        }
    };
    let Proposed { replicas: raw, by, reason, is_fallback } = proposed;
    let held = |why: String| {
        let stages = Stages { raw, stabilized: current, limited: current, bounded: current };
        (current, format!("held at {current}: {why}; {by} proposed {raw}: {reason}"), Some(stages))
    };
    let wanted = bounds.clamp(raw);
    let overrides = desired.overrides;
    if overrides.paused && wanted != current {
        return held("an operator paused scaling".to_owned());
    } else if overrides.freeze_scale_up && wanted > current {
        return held("an operator froze scaling up".to_owned());
    } else if overrides.freeze_scale_down && wanted < current {
        return held("an operator froze scaling down".to_owned());
    }
    let counted: Vec<&Replica> = snapshot.counted().collect();
    if wanted != current && !counted.is_empty() && counted.iter().all(|it| history.stopped_outside.contains_key(&it.id))
    {
        return held("all of it was stopped outside of Windlass, which is taken for a pause".to_owned());
    }
    let FailedMetrics { failed, are_all, knows_otherwise } = &verdict.failed_metrics;
    // A value that is missing is not a small one.
    if !is_fallback && !failed.is_empty() && (wanted < current || (*are_all && !knows_otherwise && wanted > current)) {
        let blocked = if *are_all { "no metric has a value" } else { "not every metric has a value" };
        return held(format!("{blocked} ({})", failed.join(", ")));
    }
    let there = counted.len() + given_up_empty(snapshot, history);
    let is_rising = current == desired.target && there < usize::try_from(current).unwrap_or(usize::MAX);
    if wanted < current && is_rising {
        return held(format!("{there} of {current} replicas are there, the others are still to come"));
    }
    let Smoothed { stages, held_back } = smooth(raw, current, bounds, guardrails, history, facts.interval, now);
    let grace = since.plus(guardrails.grace);
    if stages.bounded < current && now < grace {
        return held(format!("the workload is new here, and nothing of it shrinks until {}", grace.told()));
    }
    let target = stages.bounded;
    let reason = match held_back {
        Some(why) => format!("{by} proposed {raw}, steered to {target}: {why}; {reason}"),
        None if target == raw => reason,
        None => {
            format!("{by} proposed {raw}, bounded to {target} (min {}, max {}): {reason}", bounds.min(), bounds.max(),)
        }
    };
    (target, reason, Some(stages))
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
pub(super) fn note_stopped(snapshot: &Snapshot, history: &mut History, now: Timestamp) {
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

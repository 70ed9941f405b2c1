//! The guardrails: what the host makes of a verdict. Pure: no clock, no I/O, the same values in always
//! give the same plan out.
//!
//! In this order: bounds; an operator's overrides; hold where a policy is unavailable, its metrics have no value or replicas are still to come;
//! windows, cooldowns and rates (`smooth`); scale-down victims; healing with backoff, a cap and an end, and
//! creation of what is missing (`heal`). What a policy proposes can only ever move the count within
//! the bounds, and only a health policy that answered can cause a replica to be healed.

mod dependencies;
mod repair;
mod replica_count;
mod scale_in;
pub mod stabilization;
#[cfg(test)]
mod tests;

use crate::dependencies::{note_dependencies, restarted};
use crate::replica_count::{Facts, Steered, note_stopped, steered};
use crate::scale_in::{Spare, Worth};
use crate::stabilization::note_change;
use std::time::Duration;
use windlass_core::settings::ControlSettings;
use windlass_core::workload::{DesiredStatus, Mode};
use windlass_core::{
    Alert, Deferral, HeldBy, History, Plan, Recommendation, Replica, Slot, Snapshot, Step, Timestamp, Verdict, Workload,
};

/// The shortest time after which a policy may ask to be evaluated again.
const SHORTEST_EVALUATE_AFTER: Duration = Duration::from_secs(1);

/// Makes the plan of one pass; where the workload's mode is to recommend, one that does nothing and says what
/// would be done.
pub fn decide(
    desired: &Workload,
    snapshot: &Snapshot,
    verdict: &Verdict,
    history: &History,
    settings: &ControlSettings,
    now: Timestamp,
) -> Plan {
    let plan = plan(desired, snapshot, verdict, history, settings, now);
    match desired.policies.mode.unwrap_or_default() {
        Mode::Act => plan,
        Mode::Recommend => Plan {
            target: desired.target,
            reason: format!("only recommended: {}", plan.reason),
            steps: Vec::new(),
            recommended: Some(Recommendation { target: plan.target, steps: plan.steps }),
            // Nothing was restarted or changed, so nothing of it is counted; what the policies remember goes on.
            history: History {
                slots: history.slots.clone(),
                changes: history.changes.clone(),
                probe_path: history.probe_path,
                ..plan.history
            },
            ..plan
        },
    }
}

fn plan(
    desired: &Workload,
    snapshot: &Snapshot,
    verdict: &Verdict,
    history: &History,
    settings: &ControlSettings,
    now: Timestamp,
) -> Plan {
    let mut history = remembered(history, verdict, now);
    if desired.resources.status == DesiredStatus::Stopped {
        return stopped(desired, snapshot, history);
    }
    let guardrails = desired.guardrails.clone().unwrap_or_default();
    note_stopped(snapshot, &mut history, now);
    let interval = settings.interval;
    let waits_for = note_dependencies(snapshot, &mut history, now);
    let waits_for = waits_for.as_deref();
    let facts = Facts { desired, snapshot, verdict, guardrails: &guardrails, interval, waits_for, now };
    let Steered { target, mut reason, stages, held_by } = steered(&facts, &mut history);
    match history.stopped_outside.len() {
        0 => {}
        1 => reason.push_str("; 1 replica was stopped outside of Windlass and is left so"),
        more => reason.push_str(&format!("; {more} replicas were stopped outside of Windlass and are left so")),
    }
    note_change(desired.target, target, &guardrails, &mut history, now);
    let mut planner =
        Planner { settings, now, look_again: None, steps: Vec::new(), deferred: Vec::new(), alerts: Vec::new() };

    let mut counted: Vec<&Replica> = snapshot.counted().collect();
    history.protected.retain(|id| snapshot.replica(id).is_some());
    // A policy spares what is protected; bounds and operators do not.
    let spared_down_to = if desired.overrides.forced(now).is_some() { target } else { desired.bounds.max() };
    let spare = Spare { protected: &history.protected | &verdict.protected, down_to: spared_down_to };
    let spared = planner.scale_down(&mut counted, target, &spare, snapshot, &mut history);
    if spared > 0 {
        reason.push_str(&format!("; {spared} more than that are protected from scaling in"));
    }
    planner.forgive(&counted, snapshot, &mut history);
    if let Some(why) = waits_for {
        if desired.overrides.forced(now).is_some() {
            reason.push_str(&format!("; {why}"));
        }
        reason.push_str("; until then nothing is created or healed");
        planner.recall_given_up(&counted, &mut history);
    } else {
        planner.heal(&counted, verdict, snapshot, &mut history);
        planner.restart_dependents(&counted, snapshot, &mut history);
        planner.create_missing(&counted, target, snapshot, &mut history);
    }

    if let Ok(decision) = &verdict.scaling.answer
        && let Some(after) = decision.evaluate_after
    {
        planner.look_again_after(Duration::from_millis(after).max(SHORTEST_EVALUATE_AFTER));
    }
    if let Some(force) = desired.overrides.forced(now) {
        planner.look_again_after(force.until.since(now));
    }
    let Planner { steps, deferred, alerts, look_again, .. } = planner;
    Plan { target, reason, stages, held_by, steps, deferred, alerts, recommended: None, history, look_again }
}

/// What the policies are to be handed next time: what they returned, or what they were handed if they failed.
fn remembered(history: &History, verdict: &Verdict, now: Timestamp) -> History {
    let mut history = history.clone().none_later_than(now);
    if let Ok(decision) = &verdict.scaling.answer {
        history.scaling_memory.clone_from(&decision.memory);
        history.scaling_memory_of = Some(verdict.scaling.policy.memory_owner());
    }
    if let Ok(report) = &verdict.health.answer {
        history.health_memory.clone_from(&report.memory);
        history.health_memory_of = Some(verdict.health.policy.memory_owner());
    }
    history
}

/// Corrects what is remembered after steps that failed: a slot that could not be filled is tried again
/// with backoff, as one that crashed.
pub fn remember_failures(history: &mut History, failed: &[Slot], now: Timestamp) {
    for slot in failed {
        let entry = history.slots.entry(*slot).or_default();
        if entry.last_restart.is_none() {
            entry.restarts += 1;
            entry.last_restart = Some(now);
        }
    }
}

/// A workload that is desired stopped keeps one replica, never started, and is otherwise left alone.
fn stopped(desired: &Workload, snapshot: &Snapshot, history: History) -> Plan {
    let mut steps = Vec::new();
    let reason = "the workload is desired stopped: nothing is started until an operator does".to_owned();
    if snapshot.replicas.is_empty() {
        steps.push(Step::Create { slot: Slot(1), start: false, reason: reason.clone() });
    }
    Plan {
        target: desired.bounds.clamp(desired.target),
        reason,
        stages: None,
        held_by: Some(HeldBy::Stopped),
        steps,
        deferred: Vec::new(),
        alerts: Vec::new(),
        recommended: None,
        history,
        look_again: None,
    }
}

struct Planner<'a> {
    settings: &'a ControlSettings,
    now: Timestamp,
    look_again: Option<Duration>,
    steps: Vec<Step>,
    deferred: Vec<Deferral>,
    alerts: Vec<Alert>,
}

impl Planner<'_> {
    fn look_again_after(&mut self, wait: Duration) {
        self.look_again = Some(self.look_again.map_or(wait, |earlier| earlier.min(wait)));
    }

    /// Puts something off: for backoff after so many restarts, or for the cap.
    fn defer(&mut self, slot: Slot, wait: Duration, reason: String) {
        self.look_again_after(wait);
        self.deferred.push(Deferral { slot, until: self.now.plus(wait), reason });
    }

    /// Restarts what ran while a workload that this one depends on was down, but for what is healed anyway.
    fn restart_dependents(&mut self, counted: &[&Replica], snapshot: &Snapshot, history: &mut History) {
        let is_healed = |replica: &Replica| {
            self.steps.iter().any(|step| {
                matches!(step,
                Step::Restart { replica: id, .. } | Step::Replace { replica: id, .. } if *id == replica.id)
            })
        };
        let others: Vec<&Replica> = counted.iter().copied().filter(|replica| !is_healed(replica)).collect();
        let cap = crate::repair::heal_cap(counted.len(), self.settings.heal_share);
        let cap = cap.saturating_sub(counted.len() - others.len());
        let steps = restarted(&others, snapshot, history, cap, self.now);
        if !steps.is_empty() {
            self.look_again_after(crate::repair::AFTER_CAP);
        }
        self.steps.extend(steps);
    }
}

//! The guardrails: the plan that follows from the policies' answers. Pure: no clock and no I/O. The same input always
//! gives the same plan.
//!
//! [`decide`] applies the rules in this order:
//! 1. the bounds, then an operator's overrides;
//! 2. hold, if a policy is unavailable, its metrics have no value, or replicas are still missing or starting;
//! 3. windows, cooldowns and rates (`stabilization`);
//! 4. the choice of replicas to remove (`scale_in`);
//! 5. repair with backoff, a cap and an end, and creation of missing replicas (`repair`);
//! 6. the replacement of outdated replicas (`rollout`).
//!
//! If the engine keeps the replicas of a service by itself, rules 1 to 3 are the same, and one step sets the number
//! (`service`): the engine chooses, repairs and replaces replicas.
//!
//! A scaling policy can move the count only within the bounds. Only a health policy that answered can cause a repair.

mod compose;
mod copies;
mod dependencies;
mod early_passes;
mod outdated;
mod planner;
mod removal;
mod repair;
mod replica_count;
mod rollout;
mod scale_in;
mod service;
mod service_alerts;
mod service_rules;
mod stabilization;
mod stand_ins;
mod stopped_outside;
#[cfg(test)]
mod tests;
mod trouble;
mod victims;
mod wording;

pub use crate::early_passes::EarlyPasses;
pub use crate::rollout::remember_failed_rollout;

use crate::compose::{current_count, note_compose, note_leaving};
use crate::dependencies::note_dependencies;
use crate::planner::Planner;
use crate::replica_count::{CountInputs, replica_count};
use crate::rollout::{Rollout, RolloutInputs, note_rollout};
use crate::scale_in::Protection;
use crate::service::ServicePass;
use crate::stabilization::note_change;
use crate::stopped_outside::{note_stopped_outside, stopped_or_paused};
use windlass_core::settings::ControlSettings;
use windlass_core::workload::{DesiredStatus, Mode};
use windlass_core::{
    Blocked, Failure, HeldBy, History, Plan, PolicyIdentity, Recommendation, Replica, ServiceSeen, Slot, Snapshot,
    Step, Timestamp, Unremovable, Verdict, Workload,
};

/// Makes the plan of one pass. If the workload's mode is to recommend, the plan has no steps, and its recommendation
/// holds the steps that it would have.
pub fn decide(
    desired: &Workload,
    snapshot: &Snapshot,
    verdict: &Verdict,
    history: &History,
    settings: &ControlSettings,
    now: Timestamp,
) -> Plan {
    let mut plan = plan(desired, snapshot, verdict, history, settings, now);
    if desired.policies.mode.unwrap_or_default() == Mode::Recommend {
        plan = only_recommended(plan, history, current_count(desired, snapshot, history));
    }
    plan.history.target = Some(plan.target);
    note_leaving(&mut plan);
    plan
}

/// The same plan as a recommendation. Nothing is restarted or changed, so no restart and no change is counted; the
/// policies keep their memory.
fn only_recommended(plan: Plan, before: &History, current: u32) -> Plan {
    Plan {
        target: current,
        reason: format!("only recommended: {}", plan.reason),
        steps: Vec::new(),
        recommended: Some(Recommendation { target: plan.target, steps: plan.steps }),
        history: History {
            slots: before.slots.clone(),
            changes: before.changes.clone(),
            probe_path: before.probe_path,
            rollout: before.rollout.clone(),
            unremovable: before.unremovable.clone(),
            ..plan.history
        },
        ..plan
    }
}

/// The plan, by what the engine leaves to the host.
fn plan(
    desired: &Workload,
    snapshot: &Snapshot,
    verdict: &Verdict,
    history: &History,
    settings: &ControlSettings,
    now: Timestamp,
) -> Plan {
    let current = current_count(desired, snapshot, history);
    let mut history = remember_answers(history, snapshot, verdict, now);
    history.note_ready(snapshot);
    if desired.resources.status == DesiredStatus::Stopped {
        return stopped(desired, snapshot, current, history);
    }
    match snapshot.service {
        ServiceSeen::NotUsed => plan_slots(desired, current, snapshot, verdict, history, settings, now),
        ServiceSeen::Missing | ServiceSeen::Found(_) => {
            ServicePass { desired, current, snapshot, verdict, settings, now }.plan(history)
        }
    }
}

/// The plan of a workload whose replicas the host makes.
fn plan_slots(
    desired: &Workload,
    current: u32,
    snapshot: &Snapshot,
    verdict: &Verdict,
    mut history: History,
    settings: &ControlSettings,
    now: Timestamp,
) -> Plan {
    let guardrails = desired.guardrails.clone().unwrap_or_default();
    let compose = note_compose(desired, snapshot, &mut history, now);
    note_stopped_outside(snapshot, &mut history, now);
    let interval = settings.interval;
    let waits_for = note_dependencies(snapshot, &mut history, now);
    let waits_for = waits_for.as_deref();
    let protected = &history.protected | &verdict.protected;
    let rollout_inputs =
        RolloutInputs { desired, current, snapshot, verdict, protected: &protected, waits_for, settings, now };
    let rollout = note_rollout(&rollout_inputs, &mut history);
    let is_rolling_out = rollout.as_ref().is_some_and(Rollout::is_active);
    let inputs = CountInputs {
        desired,
        current,
        snapshot,
        verdict,
        guardrails: &guardrails,
        interval,
        waits_for,
        is_rolling_out,
        now,
    };
    let mut count = replica_count(&inputs, &mut history);
    if let Some(compose) = &compose {
        count = compose.limit(count, desired, snapshot);
    }
    let (target, reason) = (count.target, &mut count.reason);
    reason.push_str(&stopped_or_paused(snapshot, &history));
    if let Some(outdated) = rollout.as_ref().and_then(Rollout::in_words) {
        reason.push_str(&outdated);
    }
    note_change(current, target, &guardrails, &mut history, now);
    let mut planner = Planner::new(settings, now);
    planner.compose = compose;

    let mut counted: Vec<&Replica> = snapshot.counted().collect();
    history.protected.retain(|id| snapshot.replica(id).is_some());
    // Protection holds against a policy, not against the bounds or an operator.
    let down_to = if desired.overrides.forced(now).is_some() { target } else { desired.bounds.max() };
    let model = planner.compose.as_ref().and_then(|compose| compose.model.clone());
    let protection = Protection { protected: protected.clone(), down_to, model };
    let mut most = target;
    if let Some(rollout) = &rollout {
        planner.retire_outdated(&mut counted, target, rollout, snapshot, &mut history);
        most = target.saturating_add(u32::try_from(rollout.surplus()).unwrap_or(u32::MAX));
    }
    let kept = planner.scale_in(&mut counted, most, &protection, snapshot, &mut history);
    match kept {
        0 => {}
        1 => reason.push_str("; 1 more replica stays because it is protected from scale-in"),
        more => reason.push_str(&format!("; {more} more replicas stay because they are protected from scale-in")),
    }
    planner.forgive(&counted, snapshot, &mut history);
    planner.note_troubles(snapshot, &mut history);
    planner.note_stand_ins(verdict, &mut history);
    planner.remove_again(snapshot, &mut history);
    let can_create = planner.compose.as_ref().is_none_or(|compose| compose.can_copy());
    if !can_create {
        planner.leave_uncopyable(snapshot, &mut history);
    }
    if let Some(why) = waits_for {
        if desired.overrides.forced(now).is_some() {
            reason.push_str(&format!("; {why}"));
        }
        reason.push_str("; no replica is created or repaired until it is up");
        planner.repeat_given_up_alerts(&counted, &mut history);
    } else {
        planner.repair(&counted, verdict, snapshot, &mut history);
        planner.restart_dependents(&counted, snapshot, &mut history);
        if can_create {
            planner.create_missing(&counted, target, snapshot, &mut history);
        }
    }
    if let Some(rollout) = rollout.as_ref().filter(|_| can_create) {
        planner.roll_out(&counted, target, rollout, &rollout_inputs, &mut history);
    }
    planner.alert_outdated(rollout.as_ref(), &rollout_inputs, &mut history);

    let compose = planner.compose.take();
    let plan = planner.into_plan(count, desired, verdict, history);
    match compose {
        Some(compose) => compose.wait(plan),
        None => plan,
    }
}

/// The history with the containers of the snapshot, and the memory that each policy receives next time: the one it
/// returned, or its last one if it failed.
fn remember_answers(history: &History, snapshot: &Snapshot, verdict: &Verdict, now: Timestamp) -> History {
    let mut history = history.clone().none_later_than(now);
    history.containers = Some(snapshot.replicas.iter().map(|replica| replica.id.clone()).collect());
    // A policy whose place another one takes finds its memory again when it acts again.
    let keeps = |policy: &PolicyIdentity, memory: &[u8]| policy.stands_in_for.is_some() && memory.is_empty();
    if let Ok(decision) = &verdict.scaling.answer
        && !keeps(&verdict.scaling.policy, &decision.memory)
    {
        history.scaling_memory.clone_from(&decision.memory);
        history.scaling_memory_of = Some(verdict.scaling.policy.memory_owner());
    }
    if let Ok(report) = &verdict.health.answer
        && !keeps(&verdict.health.policy, &report.memory)
    {
        history.health_memory.clone_from(&report.memory);
        history.health_memory_of = Some(verdict.health.policy.memory_owner());
    }
    history
}

/// Records the steps that failed. The next attempts wait for the backoff, and never end: the cause lies outside of the
/// replicas.
pub fn remember_failures(history: &mut History, failures: &[Failure], now: Timestamp) {
    for failure in failures {
        match failure {
            Failure::NotFilled { slot, error, is_name_taken } => {
                let before = history.blocked.remove(slot).unwrap_or(Blocked { since: now, ..Blocked::default() });
                let tries = before.tries.saturating_add(1);
                let (error, is_name_taken) = (error.clone(), *is_name_taken);
                history.blocked.insert(*slot, Blocked { tries, last: now, error, is_name_taken, ..before });
            }
            Failure::NotSet { error } => {
                let before = history.service.refused.take().unwrap_or(Blocked { since: now, ..Blocked::default() });
                let tries = before.tries.saturating_add(1);
                history.service.refused = Some(Blocked { tries, last: now, error: error.clone(), ..before });
            }
            Failure::NotRemoved { replica, error } => {
                let before = history.unremovable.remove(replica);
                let before = before.unwrap_or(Unremovable { since: now, ..Unremovable::default() });
                let tries = before.tries.saturating_add(1);
                let entry = Unremovable { tries, last: now, error: error.clone(), ..before };
                history.unremovable.insert(replica.clone(), entry);
            }
        }
    }
}

/// The plan of a workload whose desired status is `stopped`: it keeps one replica that is never started.
fn stopped(desired: &Workload, snapshot: &Snapshot, current: u32, history: History) -> Plan {
    let mut steps = Vec::new();
    let reason = "the workload's desired status is `stopped`; no replica runs until an operator starts it".to_owned();
    if snapshot.replicas.is_empty() && snapshot.service == ServiceSeen::NotUsed {
        steps.push(Step::Create { slot: Slot(1), start: false, reason: reason.clone() });
    }
    Plan {
        target: desired.bounds.clamp(current),
        reason,
        stages: None,
        held_by: Some(HeldBy::Stopped),
        steps,
        deferred: Vec::new(),
        alerts: Vec::new(),
        recommended: None,
        history,
        next_pass: None,
        evaluate_after: None,
        uses_previous: false,
    }
}

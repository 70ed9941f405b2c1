//! The guardrails: what the host makes of a verdict. Pure: no clock, no I/O, the same values in always
//! give the same plan out.
//!
//! In this order: bounds; an operator's overrides; hold where a policy is unavailable, its metrics have no value or replicas are still to come;
//! windows, cooldowns and rates (`smooth`); scale-down victims; healing with backoff
//! and a cap; creation of what is missing. What a policy proposes can only ever move the count within
//! the bounds, and only a health policy that answered can cause a replica to be healed.

mod victims;

use super::depend::{note_dependencies, restarted};
use super::smooth::note_change;
use super::target::{Facts, note_stopped, steered};
use crate::model::facts::{Assessment, HealthStatus, Remedy};
use crate::model::settings::ControlSettings;
use crate::model::workload::{DesiredStatus, Mode};
use crate::model::{
    Deferral, History, Phase, Plan, Recommendation, Replica, Slot, SlotHistory, Snapshot, Step, Timestamp, Verdict,
    Workload,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use victims::{Spare, Worth};

/// Healing that the cap put off is looked at again after this time.
const AFTER_CAP: Duration = Duration::from_secs(1);

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
    match desired.policies.mode {
        Mode::Act => plan,
        Mode::Recommend => Plan {
            target: desired.target,
            reason: format!("only recommended: {}", plan.reason),
            steps: Vec::new(),
            recommended: Some(Recommendation { target: plan.target, steps: plan.steps }),
            // Nothing was restarted or changed, so nothing of it is counted; what the policies remember goes on.
            history: History { slots: history.slots.clone(), changes: history.changes.clone(), ..plan.history },
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
    let mut history = remembered(history, verdict);
    if desired.resources.status == DesiredStatus::Stopped {
        return stopped(desired, snapshot, history);
    }
    let guardrails = desired.guardrails.clone().unwrap_or_default();
    note_stopped(snapshot, &mut history, now);
    let interval = settings.interval;
    let waits_for = note_dependencies(snapshot, &mut history, now);
    let waits_for = waits_for.as_deref();
    let facts = Facts { desired, snapshot, verdict, guardrails: &guardrails, interval, waits_for, now };
    let (target, mut reason, stages) = steered(&facts, &mut history);
    match history.stopped_outside.len() {
        0 => {}
        1 => reason.push_str("; 1 replica was stopped outside of Windlass and is left so"),
        more => reason.push_str(&format!("; {more} replicas were stopped outside of Windlass and are left so")),
    }
    note_change(desired.target, target, &guardrails, &mut history, now);
    let mut planner = Planner { settings, now, look_again: None, steps: Vec::new(), deferred: Vec::new() };

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
    let Planner { steps, deferred, look_again, .. } = planner;
    Plan { target, reason, stages, steps, deferred, recommended: None, history, look_again }
}

/// What the policies are to be handed next time: what they returned, or what they were handed if they failed.
fn remembered(history: &History, verdict: &Verdict) -> History {
    let mut history = history.clone();
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
        steps,
        deferred: Vec::new(),
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
        let cap = heal_cap(counted.len(), self.settings.heal_share);
        let cap = cap.saturating_sub(counted.len() - others.len());
        let steps = restarted(&others, snapshot, history, cap, self.now);
        if !steps.is_empty() {
            self.look_again_after(AFTER_CAP);
        }
        self.steps.extend(steps);
    }

    /// Forgets the restarts of slots that have been healthy for long enough.
    fn forgive(&self, counted: &[&Replica], snapshot: &Snapshot, history: &mut History) {
        for replica in counted {
            let well = snapshot.health_of(&replica.id) == HealthStatus::Healthy && replica.phase == Phase::Running;
            let long_enough =
                replica.started_at.is_some_and(|started| self.now.since(started) >= self.settings.backoff_reset);
            if well
                && long_enough
                && let Some(slot) = history.slots.get_mut(&replica.slot)
            {
                slot.restarts = 0;
                slot.last_restart = None;
            }
        }
    }

    /// Restarts and replaces what the health policy says is ill, within backoff and the cap; starts what
    /// was created and never ran.
    fn heal(&mut self, counted: &[&Replica], verdict: &Verdict, snapshot: &Snapshot, history: &mut History) {
        let assessments: BTreeMap<&str, &Assessment> = match &verdict.health.answer {
            Ok(report) => report.assessments.iter().map(|said| (said.replica_id.as_str(), said)).collect(),
            Err(_) => BTreeMap::new(),
        };
        let mut ill: Vec<(&Replica, &Assessment)> = Vec::new();
        for &replica in counted {
            if history.stopped_outside.contains_key(&replica.id) {
                continue;
            }
            let slot = history.slots.entry(replica.slot).or_default();
            if replica.phase == Phase::Starting && replica.started_at.is_none() {
                // Left behind by a host that ended between creating and starting; or being started right now
                // by nobody else, since a workload has one pass at a time.
                if let Some(wait) = self.backoff(*slot) {
                    let reason = in_backoff("it was created and never started", *slot);
                    self.defer(replica.slot, wait, reason);
                } else {
                    self.steps.push(Step::Start {
                        replica: replica.id.clone(),
                        reason: "it was created and never started".to_owned(),
                    });
                }
            } else if let Some(assessment) = assessments.get(replica.id.as_str())
                && assessment.remedy != Remedy::None
            {
                ill.push((replica, assessment));
            }
        }
        ill.sort_by_key(|(replica, _)| {
            (Worth::of(replica, snapshot, &history.protected), replica.created_at, replica.id.clone())
        });
        let cap = heal_cap(counted.len(), self.settings.heal_share);
        let mut healed = 0;
        for (replica, assessment) in ill {
            let slot = history.slots.entry(replica.slot).or_default();
            if let Some(wait) = self.backoff(*slot) {
                let reason = in_backoff(&assessment.reason, *slot);
                self.defer(replica.slot, wait, reason);
                continue;
            }
            if healed == cap {
                let reason =
                    format!("{}; at most {cap} of {} are healed in one pass", assessment.reason, counted.len());
                self.defer(replica.slot, AFTER_CAP, reason);
                continue;
            }
            healed += 1;
            slot.restarts = slot.restarts.saturating_add(1);
            slot.last_restart = Some(self.now);
            let reason = assessment.reason.clone();
            let replica_id = replica.id.clone();
            if assessment.remedy == Remedy::Restart {
                slot.process_restarts = slot.process_restarts.saturating_add(1);
                self.steps.push(Step::Restart { replica: replica_id, reason });
            } else {
                slot.process_restarts = 0;
                self.steps.push(Step::Replace { replica: replica_id, slot: replica.slot, reason });
            }
        }
    }

    /// Fills free slots up to the target. A slot that was filled and is empty now lost its container
    /// behind the host's back: that counts as a restart.
    fn create_missing(&mut self, counted: &[&Replica], target: u32, snapshot: &Snapshot, history: &mut History) {
        let missing = usize::try_from(target).unwrap_or(usize::MAX).saturating_sub(counted.len());
        let taken: BTreeSet<Slot> = snapshot.replicas.iter().map(|replica| replica.slot).collect();
        let wanted: Vec<Slot> = (1..).map(Slot).filter(|slot| !taken.contains(slot)).take(missing).collect();
        // What nobody fills any more is forgotten.
        history.slots.retain(|slot, _| taken.contains(slot) || wanted.contains(slot));
        for slot in wanted {
            let Some(entry) = history.slots.get_mut(&slot) else {
                history.slots.insert(slot, SlotHistory::default());
                self.create(slot, format!("{} of {target} wanted replicas are there", counted.len()));
                continue;
            };
            let entry_now = *entry;
            if let Some(wait) = self.backoff(entry_now) {
                self.defer(slot, wait, in_backoff("the slot is empty again", entry_now));
                continue;
            }
            *entry = SlotHistory {
                restarts: entry_now.restarts.saturating_add(1),
                last_restart: Some(self.now),
                process_restarts: 0,
            };
            self.create(
                slot,
                format!("slot {slot} is empty again; {} of {target} wanted replicas are there", counted.len()),
            );
        }
    }

    fn create(&mut self, slot: Slot, reason: String) {
        self.steps.push(Step::Create { slot, start: true, reason });
    }

    /// How long a slot has still to wait before it is healed again; none: it is due.
    ///
    /// The first restart is at once; the n-th after it waits `base` × 2^(n−1), at most `max`, from the
    /// one before.
    fn backoff(&self, slot: SlotHistory) -> Option<Duration> {
        let last = slot.last_restart?;
        let exponent = slot.restarts.checked_sub(1)?;
        let factor = 1u32.checked_shl(exponent).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
        let wait = self.settings.backoff_base.saturating_mul(factor).min(self.settings.backoff_max);
        wait.checked_sub(self.now.since(last)).filter(|left| !left.is_zero())
    }
}

fn in_backoff(trouble: &str, slot: SlotHistory) -> String {
    format!("{trouble}; backoff after {} restarts in a row", slot.restarts)
}

/// How many of `count` replicas one pass may heal: the share, rounded down, at least one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are at most a thousand and the share lies in 0..=1"
)]
fn heal_cap(count: usize, share: f64) -> usize {
    // A third of three is one, whatever the binary fraction of a third makes of it.
    ((count as f64 * share + 1e-9).floor() as usize).max(1)
}

#[cfg(test)]
mod tests;

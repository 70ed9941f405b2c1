//! Rollouts: outdated replicas are replaced by replicas of the current generation, a share at a time. Pure.
//!
//! [`note_rollout`] records what became of the new replicas since the last pass. [`Planner::retire_outdated`] removes old
//! replicas that new ones have replaced; [`Planner::roll_out`] makes new ones.

use crate::planner::Planner;
use crate::repair::{repair_cap, serves};
use crate::scale_in::Worth;
use crate::wording::is_or_are;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use windlass_core::contract::Remedy;
use windlass_core::settings::ControlSettings;
use windlass_core::text::show_duration;
use windlass_core::{
    ContainerId, Generation, History, Phase, Replica, RolloutHistory, RolloutMode, RolloutOrder, Slot, SlotHistory,
    Snapshot, Step, Timestamp, Verdict, Workload,
};

/// The input of a rollout.
pub(crate) struct RolloutInputs<'a> {
    pub(crate) desired: &'a Workload,
    /// The count before this pass.
    pub(crate) current: u32,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) verdict: &'a Verdict,
    /// Replicas that an operator or the policy protects.
    pub(crate) protected: &'a BTreeSet<ContainerId>,
    /// The dependency that is down, in words. `None` if all dependencies are up.
    pub(crate) waits_for: Option<&'a str>,
    pub(crate) settings: &'a ControlSettings,
    pub(crate) now: Timestamp,
}

/// A rollout in progress, or one that stands still.
pub(crate) struct Rollout {
    order: RolloutOrder,
    /// Replicas that it may replace.
    pub(crate) replaceable: BTreeSet<ContainerId>,
    /// New replicas that are not available yet, and have not failed.
    coming: BTreeSet<ContainerId>,
    /// New replicas that were not ready in time.
    late: BTreeSet<ContainerId>,
    /// Outdated replicas that count, and all that count.
    pub(crate) outdated: usize,
    pub(crate) counted: usize,
    /// Why no replica is replaced, in words. `None` if the rollout goes on.
    pub(crate) standstill: Option<String>,
    pub(crate) is_paused: bool,
    is_manual: bool,
    /// The workload of the generation before differs from the current one, so replicas can be made from it.
    has_previous: bool,
}

impl Rollout {
    /// Whether replicas are being replaced, so that no policy may lower the count.
    pub(crate) fn is_active(&self) -> bool {
        self.standstill.is_none() && !(self.replaceable.is_empty() && self.coming.is_empty())
    }

    /// How many replicas may exist above the target, because new ones start before old ones go.
    pub(crate) fn surplus(&self) -> usize {
        let is_surplus = self.order == RolloutOrder::StartFirst && !self.is_manual;
        if is_surplus { self.coming.len() } else { 0 }
    }

    /// Its state as the end of a reason. `None` if every replica that counts is up to date.
    pub(crate) fn in_words(&self) -> Option<String> {
        if self.outdated == 0 {
            return None;
        }
        let mut text = format!("; {}", share(self.outdated, self.counted));
        if let Some(why) = &self.standstill {
            text.push_str(&format!(" and {} not replaced: {why}", is_or_are(self.outdated)));
        }
        Some(text)
    }
}

/// `2 of 3 replicas are outdated`.
pub(crate) fn share(outdated: usize, counted: usize) -> String {
    format!("{outdated} of {counted} replicas {} outdated", is_or_are(outdated))
}

/// Records what became of the new replicas since the last pass. Returns the rollout, or `None` if there is nothing to roll
/// out.
pub(crate) fn note_rollout(inputs: &RolloutInputs<'_>, history: &mut History) -> Option<Rollout> {
    let RolloutInputs { desired, current, snapshot, settings, now, .. } = *inputs;
    let generation = desired.current_generation(&snapshot.replicas);
    let counted: Vec<&Replica> = snapshot.counted().collect();
    let (new, outdated): (Vec<&Replica>, Vec<&Replica>) =
        counted.iter().copied().partition(|replica| desired.is_of(&generation, replica));
    let known = history.rollout.take().filter(|rollout| rollout.generation == generation);
    if known.is_none() && outdated.is_empty() {
        if new.iter().any(|replica| serves(replica, snapshot)) {
            history.proven = Some(generation);
        }
        return None;
    }
    let mut memory = known.unwrap_or_else(|| RolloutHistory::of(generation));
    if note_available(inputs, &new, history, &mut memory) {
        history.proven = Some(memory.generation.clone());
    }
    let late = note_failures(inputs, &new, history, &mut memory);
    let is_here = |replica: &&&Replica| is_ours(replica, history);
    // Compose makes its containers anew by itself; nothing waits for them.
    let is_made_here = |replica: &&&Replica| is_here(replica) && !replica.is_of_compose();
    let is_over = outdated.is_empty()
        && counted.len() >= usize::try_from(current).unwrap_or(usize::MAX)
        && new.iter().filter(is_made_here).all(|replica| memory.available.contains(&replica.id));
    if is_over {
        return None;
    }
    let limit = desired.rollout.max_failures;
    if limit > 0 && memory.failures >= limit {
        memory.paused.get_or_insert(now);
    }
    let is_given_up =
        |slot: &Slot| settings.restart_limit > 0 && history.slots.get(slot).is_some_and(|slot| slot.given_up.is_some());
    let replaceable = outdated.iter().filter(|replica| {
        let is_protected = Worth::of(replica, snapshot, inputs.protected) == Worth::Protected;
        is_here(replica) && !is_protected && !is_given_up(&replica.slot)
    });
    let has_failed = |replica: &Replica| memory.failed.get(&replica.id) == Some(&replica.started_at);
    let coming = new
        .iter()
        .filter(is_made_here)
        .filter(|replica| !memory.available.contains(&replica.id) && !has_failed(replica));
    let rollout = Rollout {
        order: desired.rollout_order(current),
        replaceable: replaceable.map(|replica| replica.id.clone()).collect(),
        coming: coming.map(|replica| replica.id.clone()).collect(),
        late,
        outdated: outdated.len(),
        counted: counted.len(),
        standstill: standstill(inputs, history, &memory),
        is_paused: memory.paused.is_some(),
        is_manual: desired.rollout.mode == RolloutMode::Manual,
        has_previous: desired.previous.as_ref().is_some_and(|previous| previous.generation() != memory.generation),
    };
    history.rollout = Some(memory);
    Some(rollout)
}

/// Whether nobody stopped or paused a replica through the engine, and its state is known.
fn is_ours(replica: &Replica, history: &History) -> bool {
    !history.stopped_outside.contains_key(&replica.id) && !matches!(replica.phase, Phase::Paused | Phase::Unknown)
}

/// Records since when each new replica has been ready. Returns whether one has become available.
fn note_available(
    inputs: &RolloutInputs<'_>,
    new: &[&Replica],
    history: &History,
    memory: &mut RolloutHistory,
) -> bool {
    let RolloutInputs { desired, snapshot, now, .. } = *inputs;
    let is_ready =
        |replica: &&&Replica| replica.phase == Phase::Running && serves(replica, snapshot) && is_ours(replica, history);
    let ready: BTreeSet<ContainerId> = new.iter().filter(is_ready).map(|replica| replica.id.clone()).collect();
    memory.ready_since.retain(|id, _| ready.contains(id));
    for id in ready {
        memory.ready_since.entry(id).or_insert(now);
    }
    let available: BTreeSet<ContainerId> = memory
        .ready_since
        .iter()
        .filter(|(_, since)| now.since(**since) >= desired.rollout.min_ready)
        .map(|(id, _)| id.clone())
        .collect();
    let has_more = !available.is_subset(&memory.available);
    memory.available = available;
    if has_more {
        memory.failures = 0;
        memory.last_failure.clear();
        (memory.failed_at, memory.paused) = (None, None);
    }
    has_more
}

/// Counts the new replicas that failed since the last pass. Returns those that were not ready in time.
fn note_failures(
    inputs: &RolloutInputs<'_>,
    new: &[&Replica],
    history: &History,
    memory: &mut RolloutHistory,
) -> BTreeSet<ContainerId> {
    let RolloutInputs { desired, snapshot, verdict, now, .. } = *inputs;
    memory.failed.retain(|id, _| new.iter().any(|replica| replica.id == *id));
    let Ok(report) = &verdict.health.answer else { return BTreeSet::new() };
    // Then the cause is not the new replicas.
    if inputs.waits_for.is_some() || history.probe_path.is_some() {
        return BTreeSet::new();
    }
    let ill: BTreeMap<&str, &str> = report
        .assessments
        .iter()
        .filter(|assessment| assessment.remedy != Remedy::None)
        .map(|assessment| (assessment.replica_id.as_str(), assessment.reason.as_str()))
        .collect();
    let within = desired.rollout.ready_within;
    let mut late = BTreeSet::new();
    for replica in new.iter().filter(|replica| is_ours(replica, history)) {
        let is_late = !serves(replica, snapshot) && now.since(replica.created_at) >= within;
        let why = match ill.get(replica.id.as_str()) {
            Some(why) => (*why).to_owned(),
            None if is_late => {
                late.insert(replica.id.clone());
                format!("it was not ready within {}", show_duration(within))
            }
            None => continue,
        };
        if memory.failed.get(&replica.id) != Some(&replica.started_at) {
            memory.failed.insert(replica.id.clone(), replica.started_at);
            memory.fail(why, false, now);
        }
    }
    late
}

/// Why outdated replicas are not replaced for now, in words. `None` if they are.
fn standstill(inputs: &RolloutInputs<'_>, history: &History, memory: &RolloutHistory) -> Option<String> {
    let overrides = inputs.desired.overrides;
    let why = if inputs.desired.rollout.mode == RolloutMode::Manual {
        "the rollout mode is `manual`"
    } else if overrides.paused {
        "an operator paused scaling"
    } else if overrides.freeze_scale_up {
        "an operator froze scale-out"
    } else if overrides.freeze_scale_down {
        "an operator froze scale-in"
    } else if let Some(why) = inputs.waits_for {
        why
    } else if inputs.verdict.health.answer.is_err() {
        "the health policy is unavailable"
    } else if history.probe_path.is_some() {
        "most replicas fail their probe"
    } else if memory.paused.is_some() {
        "the rollout is paused"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// Records replicas that could not be created. `stops_nothing` means that the attempt left every other replica as it was.
pub fn remember_failed_rollout(history: &mut History, errors: &[String], stops_nothing: bool, now: Timestamp) {
    let Some(rollout) = &mut history.rollout else { return };
    for error in errors {
        rollout.fail(error.as_str(), stops_nothing, now);
    }
}

impl Planner<'_> {
    /// Removes outdated replicas from `counted` whose places new replicas have taken, so that the target still runs.
    pub(crate) fn retire_outdated(
        &mut self,
        counted: &mut Vec<&Replica>,
        target: u32,
        rollout: &Rollout,
        snapshot: &Snapshot,
        history: &mut History,
    ) {
        if rollout.standstill.is_some() || rollout.order != RolloutOrder::StartFirst {
            return;
        }
        let is_coming = |replica: &&&Replica| rollout.coming.contains(&replica.id);
        let has_failed = |replica: &Replica| {
            let failed = history.rollout.as_ref().and_then(|memory| memory.failed.get(&replica.id));
            failed == Some(&replica.started_at)
        };
        let waiting = counted.iter().filter(|replica| is_coming(replica) || has_failed(replica)).count();
        let excess = (counted.len() - waiting).saturating_sub(usize::try_from(target).unwrap_or(usize::MAX));
        let victims = victims(counted, rollout, snapshot, excess);
        for (id, slot) in &victims {
            history.slots.remove(slot);
            let reason = "rollout: it is outdated, and a new replica is ready".to_owned();
            self.steps.push(Step::Remove { replica: id.clone(), reason });
        }
        counted.retain(|replica| !victims.iter().any(|(id, _)| *id == replica.id));
    }

    /// Makes replicas of the current generation, within the share that is repaired at once.
    pub(crate) fn roll_out(
        &mut self,
        counted: &[&Replica],
        target: u32,
        rollout: &Rollout,
        inputs: &RolloutInputs<'_>,
        history: &mut History,
    ) {
        let RolloutInputs { desired, snapshot, .. } = *inputs;
        let Some(memory) = history.rollout.clone() else { return };
        self.wake_when_available(&memory, desired.rollout.min_ready);
        let makes_others = self
            .steps
            .iter()
            .any(|step| matches!(step, Step::Create { .. } | Step::Replace { .. } | Step::Supersede { .. }));
        let retries = memory.paused.is_some()
            && memory.is_harmless
            && !makes_others
            && rollout.coming.is_empty()
            && desired.rollout.mode == RolloutMode::Rolling;
        // While new replicas fail, others are repaired and created as they were before.
        self.uses_previous = memory.failures > 0 && rollout.has_previous && (rollout.is_paused || makes_others);
        if rollout.standstill.is_some() && !(retries && self.only_pause_holds(inputs, history)) {
            return;
        }
        let wait = if retries { self.settings.backoff_max } else { self.wait_after(memory.failures) };
        if self.uses_previous && makes_others {
            return;
        }
        if let Some(left) = self.left(memory.failed_at, wait) {
            if let Some((_, slot)) = victims(counted, rollout, snapshot, 1).pop() {
                let failures = if memory.failures == 1 { "1 failed new replica" } else { "failed new replicas" };
                let why = &memory.last_failure;
                self.defer(slot, left, format!("it is outdated; the rollout waits after {failures}: {why}"));
            }
            return;
        }
        self.uses_previous = false;
        let free_of_steps: Vec<&Replica> =
            counted.iter().copied().filter(|replica| !self.has_step(&replica.id)).collect();
        for replica in free_of_steps.iter().filter(|replica| rollout.late.contains(&replica.id)) {
            let within = show_duration(desired.rollout.ready_within);
            self.renew(&replica.id, replica.slot, format!("rollout: it was not ready within {within}"), history);
        }
        let goal = usize::try_from(target).unwrap_or(usize::MAX);
        let cap = if retries { 1 } else { repair_cap(goal.min(counted.len().max(1)), self.settings.heal_share) };
        let is_repaired = |replica: &&&Replica| !rollout.coming.contains(&replica.id) && self.has_step(&replica.id);
        let repaired = counted.iter().filter(is_repaired).count();
        let missing = goal.saturating_sub(counted.len());
        let free = cap.saturating_sub(rollout.coming.len() + repaired + missing);
        let victims = victims(&free_of_steps, rollout, snapshot, usize::MAX);
        match rollout.order {
            RolloutOrder::StartFirst => {
                let room = usize::try_from(desired.capacity()).unwrap_or(usize::MAX).saturating_sub(counted.len());
                let count = free.min(room).min(victims.len().saturating_sub(rollout.coming.len()));
                self.create_new(count, snapshot, history);
            }
            RolloutOrder::StopFirst => {
                for (id, slot) in victims.into_iter().take(free) {
                    self.renew(&id, slot, "rollout: it is outdated".to_owned(), history);
                }
            }
        }
    }

    /// Whether a step of this plan already concerns a replica.
    fn has_step(&self, id: &ContainerId) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Create { .. } | Step::SetCount { .. } | Step::Deploy { .. } => false,
            Step::Start { replica, .. }
            | Step::Remove { replica, .. }
            | Step::Restart { replica, .. }
            | Step::Replace { replica, .. }
            | Step::Supersede { replica, .. }
            | Step::Renew { replica, .. } => replica == id,
        })
    }

    fn renew(&mut self, replica: &ContainerId, slot: Slot, reason: String, history: &mut History) {
        history.slots.insert(slot, SlotHistory::default());
        self.steps.push(Step::Renew { replica: replica.clone(), slot, reason });
    }

    fn create_new(&mut self, count: usize, snapshot: &Snapshot, history: &mut History) {
        let free: Vec<Slot> = self.free_slots(snapshot, history).take(count).collect();
        for slot in free {
            history.slots.insert(slot, SlotHistory::default());
            let reason = "rollout: a new replica starts before an outdated one goes".to_owned();
            self.steps.push(Step::Create { slot, start: true, reason });
        }
    }

    /// Requests a pass for the time at which the next new replica has been ready for long enough.
    fn wake_when_available(&mut self, memory: &RolloutHistory, min_ready: Duration) {
        let waiting = memory.ready_since.iter().filter(|(id, _)| !memory.available.contains(id));
        if let Some(left) = waiting.filter_map(|(_, since)| self.left(Some(*since), min_ready)).min() {
            self.next_pass_after(left);
        }
    }

    /// Whether the rollout would go on if it were not paused.
    fn only_pause_holds(&self, inputs: &RolloutInputs<'_>, history: &History) -> bool {
        standstill(inputs, history, &RolloutHistory::of(Generation::stored(""))).is_none()
    }
}

/// The outdated replicas to replace first, with their slots: those that serve least, then the oldest.
fn victims(counted: &[&Replica], rollout: &Rollout, snapshot: &Snapshot, most: usize) -> Vec<(ContainerId, Slot)> {
    let mut replicas: Vec<&&Replica> =
        counted.iter().filter(|replica| rollout.replaceable.contains(&replica.id)).collect();
    let none = BTreeSet::new();
    replicas.sort_by_key(|replica| (Worth::of(replica, snapshot, &none), replica.created_at, replica.id.clone()));
    replicas.into_iter().take(most).map(|replica| (replica.id.clone(), replica.slot)).collect()
}

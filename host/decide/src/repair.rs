//! Repair: unhealthy replicas are restarted or replaced, and missing ones are created, with backoff, a cap on how many at
//! once, and an end.

use crate::planner::Planner;
use crate::scale_in::Worth;
use crate::wording::{is_or_are, restarts_in_a_row};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use windlass_core::contract::{Assessment, HealthStatus, Remedy};
use windlass_core::{
    Alert, AlertKind, Blocked, ContainerId, History, Phase, Replica, Slot, SlotHistory, Snapshot, Step, Suspicion,
    Timestamp, Verdict,
};

/// The next pass comes after this time if the cap deferred a repair.
pub(crate) const AFTER_CAP: Duration = Duration::from_secs(1);

/// With fewer running replicas, simultaneous failures say nothing about the network path to them.
const FEWEST_FOR_SUSPICION: usize = 3;

/// Replicas that need a remedy, with their assessments.
type Ill<'a> = Vec<(&'a Replica, &'a Assessment)>;

impl Planner<'_> {
    /// Resets the restart counters of slots that have been healthy for long enough.
    pub(crate) fn forgive(&self, counted: &[&Replica], snapshot: &Snapshot, history: &mut History) {
        for replica in counted {
            let is_well = replica.phase == Phase::Running && serves(replica, snapshot);
            let Some(slot) = history.slots.get_mut(&replica.slot) else { continue };
            let since = if slot.given_up.is_some() {
                // Its process may have run, and failed, for long: only the time in which it was healthy counts.
                slot.well_since = is_well.then(|| slot.well_since.unwrap_or(self.now));
                slot.well_since
            } else {
                replica.started_at.filter(|_| is_well)
            };
            if since.is_some_and(|since| self.now.since(since) >= self.settings.backoff_reset) {
                *slot = SlotHistory { process_restarts: slot.process_restarts, ..SlotHistory::default() };
            }
        }
    }

    /// Restarts and replaces the replicas for which the health policy requests a remedy, within the backoff and the cap.
    /// Starts replicas that were created and never started. A slot that was repaired too often in a row is given up.
    pub(crate) fn repair(
        &mut self,
        counted: &[&Replica],
        verdict: &Verdict,
        snapshot: &Snapshot,
        history: &mut History,
    ) {
        let assessments: BTreeMap<&str, &Assessment> = match &verdict.health.answer {
            Ok(report) => report.assessments.iter().map(|it| (it.replica_id.as_str(), it)).collect(),
            Err(_) => BTreeMap::new(),
        };
        let mut ill: Ill<'_> = Vec::new();
        for &replica in counted {
            // The engine restarts one of them by itself, and says nothing about the other.
            let is_left_alone = matches!(replica.phase, Phase::Restarting | Phase::Unknown);
            // `docker compose create` starts nothing, and neither does Windlass.
            let is_left_alone = is_left_alone || (replica.is_of_compose() && replica.started_at.is_none());
            if is_left_alone || history.stopped_outside.contains_key(&replica.id) {
                continue;
            }
            if let Some(until) = snapshot.stop_unclear.get(&replica.id) {
                let reason =
                    "it ended after a signal through the engine, which may yet turn out to be a stop".to_owned();
                self.defer(replica.slot, until.since(self.now), reason);
                continue;
            }
            let slot = history.slots.entry(replica.slot).or_default();
            let assessment = assessments.get(replica.id.as_str()).copied();
            let needs_remedy = assessment.filter(|assessment| assessment.remedy != Remedy::None);
            let never_ran = replica.phase == Phase::Starting && replica.started_at.is_none();
            if self.is_given_up(slot, never_ran || needs_remedy.is_some()) {
                let why = assessment.map_or("", |assessment| assessment.reason.as_str());
                self.give_up(replica.slot, Some(&replica.id), slot, why);
            } else if never_ran {
                // An earlier host ended between creating and starting it. Nobody else is starting it now, since a
                // workload has one pass at a time.
                if let Some(wait) = self.backoff(*slot) {
                    let reason = in_backoff("it was created and never started", *slot);
                    self.defer(replica.slot, wait, reason);
                } else {
                    self.steps.push(Step::Start {
                        replica: replica.id.clone(),
                        reason: "it was created and never started".to_owned(),
                    });
                }
            } else if let Some(assessment) = needs_remedy {
                ill.push((replica, assessment));
            }
        }
        ill.sort_by_key(|(replica, _)| {
            (Worth::of(replica, snapshot, &history.protected), replica.created_at, replica.id.clone())
        });
        let suspicion = self.suspect(counted, &ill, snapshot, history);
        let cap = repair_cap(counted.len(), self.settings.heal_share);
        let coming_back = self.coming_back(counted, &ill, snapshot, history);
        let mut repaired = 0;
        for (replica, assessment) in ill {
            let slot = history.slots.entry(replica.slot).or_default();
            let blocked = history.blocked.get(&replica.slot);
            let backoff = match blocked {
                Some(blocked) => self.retry_of(blocked).map(|wait| (wait, in_retry(&assessment.reason, blocked))),
                None => self.backoff(*slot).map(|wait| (wait, in_backoff(&assessment.reason, *slot))),
            };
            if let Some((wait, reason)) = backoff {
                self.defer(replica.slot, wait, reason);
                continue;
            }
            let suspected = history.probe_path.as_mut().filter(|_| replica.phase == Phase::Running);
            if let (Some(path), Some(why)) = (&suspected, &suspicion)
                && let Some(wait) = self.until_next(path)
            {
                self.defer(replica.slot, wait, format!("{}; {why}", assessment.reason));
                continue;
            }
            // A running replica may serve in part, so it waits for the repaired ones. One that has ended serves nobody.
            let waits_for = if replica.phase == Phase::Running && suspected.is_none() { coming_back } else { 0 };
            if repaired + waits_for >= cap {
                let (why, count) = (&assessment.reason, counted.len());
                let mut reason =
                    format!("{why}; at most {cap} of {count} replicas {} repaired at once", is_or_are(cap));
                if waits_for > 0 {
                    let repaired = if waits_for == 1 { "repaired replica is" } else { "repaired replicas are" };
                    reason.push_str(&format!(", and {waits_for} {repaired} not ready yet"));
                }
                self.defer(replica.slot, AFTER_CAP, reason);
                continue;
            }
            repaired += 1;
            let mut reason = assessment.reason.clone();
            if let (Some(path), Some(why)) = (suspected, &suspicion) {
                *path = Suspicion {
                    since: path.since,
                    healed_at: Some(self.now),
                    healed: Some(replica.slot),
                    in_vain: path.in_vain.saturating_add(1),
                };
                reason = format!("{reason}; {why}");
            } else if blocked.is_none() {
                // A repair that tests the path does not count towards giving up, nor one that the engine refused before.
                slot.restarts = slot.restarts.saturating_add(1);
            }
            slot.last_restart = Some(self.now);
            if assessment.remedy == Remedy::Restart {
                slot.process_restarts = slot.process_restarts.saturating_add(1);
                self.steps.push(Step::Restart { replica: replica.id.clone(), reason });
            } else {
                let step = self.replace(replica, reason, snapshot, history);
                self.steps.push(step);
            }
        }
    }

    /// The number of replicas that were repaired recently and neither serve again nor need another remedy.
    fn coming_back(&self, counted: &[&Replica], ill: &Ill<'_>, snapshot: &Snapshot, history: &History) -> usize {
        let was_repaired = |replica: &&&Replica| {
            let last = history.slots.get(&replica.slot).and_then(|slot| slot.last_restart);
            // The others do not wait for ever for a replica whose health stays unknown.
            last.is_some_and(|last| self.now.since(last) < self.settings.backoff_max)
        };
        let is_ill = |replica: &Replica| ill.iter().any(|(other, _)| other.id == replica.id);
        let away = counted.iter().filter(was_repaired).filter(|replica| !serves(replica, snapshot) && !is_ill(replica));
        away.count()
    }

    /// Returns a sentence if the network path between the host and the replicas is suspected rather than the replicas.
    ///
    /// The suspicion begins when more than half of the replicas whose process runs need a remedy at the same time. It
    /// lasts until half of them serve again; a replica that was just restarted does not serve yet.
    fn suspect(
        &mut self,
        counted: &[&Replica],
        ill: &Ill<'_>,
        snapshot: &Snapshot,
        history: &mut History,
    ) -> Option<String> {
        let running: Vec<&&Replica> = counted.iter().filter(|replica| replica.phase == Phase::Running).collect();
        let failing = ill.iter().filter(|(replica, _)| replica.phase == Phase::Running).count();
        let unserving = running.iter().filter(|replica| !serves(replica, snapshot)).count();
        let begins = running.len() >= FEWEST_FOR_SUSPICION && failing * 2 > running.len();
        let lasts = history.probe_path.is_some() && unserving * 2 > running.len();
        if !begins && !lasts {
            history.probe_path = None;
            return None;
        }
        let path = history.probe_path.get_or_insert(Suspicion { since: self.now, ..Suspicion::default() });
        // The last repair helped, so the replicas are at fault after all. The next repair need not wait long.
        if running.iter().any(|replica| path.healed == Some(replica.slot) && serves(replica, snapshot)) {
            (path.healed, path.in_vain) = (None, 0);
        }
        let count = unserving.max(failing);
        let reason = format!(
            "{count} of {} replicas fail their probe at the same time, so the network path to them may be broken; \
             one replica is repaired at a time",
            running.len()
        );
        self.alerts.push(Alert {
            kind: AlertKind::ProbePath,
            since: path.since,
            slot: None,
            replica: None,
            reason: reason.clone(),
        });
        Some(reason)
    }

    /// The remaining time until the next repair on a suspected path. `None` if it is due. Each repair in vain doubles the
    /// wait, so a path that stays broken does not wear out all replicas behind it.
    fn until_next(&self, path: &Suspicion) -> Option<Duration> {
        let one_in_this_pass = (path.healed_at == Some(self.now)).then_some(AFTER_CAP);
        self.left(path.healed_at, self.wait_after(path.in_vain)).or(one_in_this_pass)
    }

    /// Whether a slot is not repaired any more: it was given up, or it needs one repair more than the limit.
    fn is_given_up(&self, slot: &SlotHistory, needs_repair: bool) -> bool {
        let limit = self.settings.restart_limit;
        limit > 0 && (slot.given_up.is_some() || (needs_repair && slot.restarts >= limit))
    }

    fn give_up(&mut self, number: Slot, replica: Option<&ContainerId>, slot: &mut SlotHistory, why: &str) {
        let since = *slot.given_up.get_or_insert(self.now);
        let restarts = restarts_in_a_row(slot.restarts);
        let after = format!("it is given up after {restarts}; fix the cause, then start the workload again");
        self.alerts.push(Alert {
            kind: AlertKind::GivenUp,
            since,
            slot: Some(number),
            replica: replica.cloned(),
            reason: if why.is_empty() { after } else { format!("{why}; {after}") },
        });
    }

    /// Repeats the alerts of the slots that were given up earlier, in a pass that repairs nothing.
    pub(crate) fn repeat_given_up_alerts(&mut self, counted: &[&Replica], history: &mut History) {
        for (&number, slot) in history.slots.iter_mut().filter(|(_, slot)| slot.given_up.is_some()) {
            let replica = counted.iter().find(|replica| replica.slot == number).map(|replica| &replica.id);
            self.give_up(number, replica, slot, "");
        }
    }

    /// Fills free slots up to the target. If a slot lost its container without the host, the new one counts as a restart.
    pub(crate) fn create_missing(
        &mut self,
        counted: &[&Replica],
        target: u32,
        snapshot: &Snapshot,
        history: &mut History,
    ) {
        let missing = usize::try_from(target).unwrap_or(usize::MAX).saturating_sub(counted.len());
        let mut taken: BTreeSet<Slot> = snapshot.replicas.iter().map(|replica| replica.slot).collect();
        taken.extend(self.filled());
        // Another container has the name of such a slot. The slot is tried again when the longest wait is over.
        let max = self.settings.backoff_max;
        let left_out = |blocked: &Blocked| blocked.is_name_taken && self.left(Some(blocked.last), max).is_some();
        let is_left_out = |slot: &Slot| history.blocked.get(slot).is_some_and(left_out);
        let wanted: Vec<Slot> =
            (1..).map(Slot).filter(|slot| !taken.contains(slot) && !is_left_out(slot)).take(missing).collect();
        // The history of slots that are not needed any more is dropped.
        history.slots.retain(|slot, _| taken.contains(slot) || wanted.contains(slot));
        let runs = |slot: &Slot| counted.iter().any(|replica| replica.slot == *slot && replica.is_alive());
        history.blocked.retain(|slot, blocked| {
            !runs(slot) && (taken.contains(slot) || wanted.contains(slot) || left_out(blocked))
        });
        self.alert_about_blocked(history);
        let existing = counted.len();
        let existing = || format!("{existing} of {target} replicas exist");
        for slot in wanted {
            if let Some(blocked) = history.blocked.get(&slot) {
                // Nothing ran in it since, so this is no restart.
                match self.retry_of(blocked) {
                    Some(wait) => self.defer(slot, wait, in_retry(&existing(), blocked)),
                    None => self.create(slot, existing()),
                }
                continue;
            }
            let Some(entry) = history.slots.get_mut(&slot) else {
                history.slots.insert(slot, SlotHistory::default());
                self.create(slot, existing());
                continue;
            };
            if self.is_given_up(entry, true) {
                self.give_up(slot, None, entry, &lost(slot));
                continue;
            }
            let entry_now = *entry;
            if let Some(wait) = self.backoff(entry_now) {
                self.defer(slot, wait, in_backoff(&lost(slot), entry_now));
                continue;
            }
            *entry = SlotHistory {
                restarts: entry_now.restarts.saturating_add(1),
                last_restart: Some(self.now),
                ..SlotHistory::default()
            };
            self.create(slot, format!("{}; {}", lost(slot), existing()));
        }
    }

    /// Reports the slots that cannot be filled.
    fn alert_about_blocked(&mut self, history: &History) {
        for (&slot, blocked) in history.blocked.iter().filter(|(_, blocked)| blocked.is_alert()) {
            let Blocked { since, tries, error, is_name_taken, .. } = blocked;
            let reason = if *is_name_taken {
                format!("{error}; another slot is filled meanwhile")
            } else {
                format!(
                    "slot {slot} could not be filled {tries} times in a row: {error}; it is tried again until it works"
                )
            };
            let (kind, since) = (AlertKind::Blocked, *since);
            self.alerts.push(Alert { kind, since, slot: Some(slot), replica: None, reason });
        }
    }

    /// The remaining time until a blocked slot is tried again. `None` if it is due.
    fn retry_of(&self, blocked: &Blocked) -> Option<Duration> {
        self.left(Some(blocked.last), self.wait_after(blocked.tries))
    }

    fn create(&mut self, slot: Slot, reason: String) {
        self.steps.push(Step::Create { slot, start: true, reason });
    }

    /// The remaining time until a slot may be repaired again. `None` if it is due. The first restart is at once; each
    /// later one waits from the one before.
    fn backoff(&self, slot: SlotHistory) -> Option<Duration> {
        self.left(slot.last_restart, self.wait_after(slot.restarts))
    }

    /// The wait after n tries in a row: `base` × 2^(n−1), at most `max`; 0 for n = 0.
    pub(crate) fn wait_after(&self, tries: u32) -> Duration {
        let Some(exponent) = tries.checked_sub(1) else { return Duration::ZERO };
        let factor = 1u32.checked_shl(exponent).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
        self.settings.backoff_base.saturating_mul(factor).min(self.settings.backoff_max)
    }

    /// The rest of a wait that began at `last`. `None` if it is over or never began.
    pub(crate) fn left(&self, last: Option<Timestamp>, wait: Duration) -> Option<Duration> {
        wait.checked_sub(self.now.since(last?)).filter(|left| !left.is_zero())
    }
}

pub(crate) fn serves(replica: &Replica, snapshot: &Snapshot) -> bool {
    matches!(snapshot.health_of(&replica.id), HealthStatus::Healthy | HealthStatus::Degraded)
}

fn in_backoff(trouble: &str, slot: SlotHistory) -> String {
    format!("{trouble}; backoff after {}", restarts_in_a_row(slot.restarts))
}

fn in_retry(trouble: &str, blocked: &Blocked) -> String {
    format!("{trouble}; the engine refused it: {}; it is tried again until it works", blocked.error)
}

fn lost(slot: Slot) -> String {
    format!("slot {slot} has lost its container")
}

/// The number of replicas out of `count` that one pass may repair: the share, rounded down, at least 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are at most a thousand and the share lies in 0..=1"
)]
pub(crate) fn repair_cap(count: usize, share: f64) -> usize {
    // The small addend makes a third of 3 equal 1 despite the binary fraction of a third.
    ((count as f64 * share + 1e-9).floor() as usize).max(1)
}

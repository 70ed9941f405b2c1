//! Healing: what is ill is restarted, replaced and created anew, with backoff, a cap on how many at once, and an end.

use crate::{Planner, Worth};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use windlass_core::contract::{Assessment, HealthStatus, Remedy};
use windlass_core::{
    Alert, AlertKind, ContainerId, History, Phase, Replica, Slot, SlotHistory, Snapshot, Step, Suspicion, Timestamp,
    Verdict,
};

/// Healing that the cap put off is looked at again after this time.
pub(crate) const AFTER_CAP: Duration = Duration::from_secs(1);

/// Of fewer running replicas, failing all at once says nothing of the path to them.
const FEWEST_FOR_SUSPICION: usize = 3;

/// Replicas that call for a remedy, and what was said of them.
type Ill<'a> = Vec<(&'a Replica, &'a Assessment)>;

impl Planner<'_> {
    /// Forgets the restarts of slots that have been healthy for long enough.
    pub(crate) fn forgive(&self, counted: &[&Replica], snapshot: &Snapshot, history: &mut History) {
        for replica in counted {
            let is_well = replica.phase == Phase::Running && serves(replica, snapshot);
            let Some(slot) = history.slots.get_mut(&replica.slot) else { continue };
            let since = if slot.given_up.is_some() {
                // Its process may have run, and failed, for long: only the time it was seen to be well counts.
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

    /// Restarts and replaces what the health policy says is ill, within backoff and the cap; starts what
    /// was created and never ran. What was healed too often in a row is given up.
    pub(crate) fn heal(&mut self, counted: &[&Replica], verdict: &Verdict, snapshot: &Snapshot, history: &mut History) {
        let assessments: BTreeMap<&str, &Assessment> = match &verdict.health.answer {
            Ok(report) => report.assessments.iter().map(|said| (said.replica_id.as_str(), said)).collect(),
            Err(_) => BTreeMap::new(),
        };
        let mut ill: Ill<'_> = Vec::new();
        for &replica in counted {
            if history.stopped_outside.contains_key(&replica.id) {
                continue;
            }
            let slot = history.slots.entry(replica.slot).or_default();
            let said = assessments.get(replica.id.as_str()).filter(|said| said.remedy != Remedy::None);
            let never_ran = replica.phase == Phase::Starting && replica.started_at.is_none();
            if self.is_given_up(slot, never_ran || said.is_some()) {
                let why = assessments.get(replica.id.as_str()).map_or("", |said| said.reason.as_str());
                self.give_up(replica.slot, Some(&replica.id), slot, why);
            } else if never_ran {
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
            } else if let Some(assessment) = said {
                ill.push((replica, assessment));
            }
        }
        ill.sort_by_key(|(replica, _)| {
            (Worth::of(replica, snapshot, &history.protected), replica.created_at, replica.id.clone())
        });
        let suspicion = self.suspect(counted, &ill, snapshot, history);
        let cap = heal_cap(counted.len(), self.settings.heal_share);
        let coming_back = self.coming_back(counted, &ill, snapshot, history);
        let mut healed = 0;
        for (replica, assessment) in ill {
            let slot = history.slots.entry(replica.slot).or_default();
            if let Some(wait) = self.backoff(*slot) {
                let reason = in_backoff(&assessment.reason, *slot);
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
            // What runs may serve in part: it waits for those that were healed. What has ended serves nobody.
            let waits_for = if replica.phase == Phase::Running && suspected.is_none() { coming_back } else { 0 };
            if healed + waits_for >= cap {
                let mut reason =
                    format!("{}; at most {cap} of {} are healed at once", assessment.reason, counted.len());
                if waits_for > 0 {
                    reason.push_str(&format!(", and {waits_for} were and do not serve yet"));
                }
                self.defer(replica.slot, AFTER_CAP, reason);
                continue;
            }
            healed += 1;
            let mut reason = assessment.reason.clone();
            if let (Some(path), Some(why)) = (suspected, &suspicion) {
                *path = Suspicion {
                    since: path.since,
                    healed_at: Some(self.now),
                    healed: Some(replica.slot),
                    in_vain: path.in_vain.saturating_add(1),
                };
                reason = format!("{reason}; {why}");
            } else {
                // What is healed to try the path is not given up for it.
                slot.restarts = slot.restarts.saturating_add(1);
            }
            slot.last_restart = Some(self.now);
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

    /// Replicas that were healed lately and neither serve again nor call for a remedy again.
    fn coming_back(&self, counted: &[&Replica], ill: &Ill<'_>, snapshot: &Snapshot, history: &History) -> usize {
        let was_healed = |replica: &&&Replica| {
            let last = history.slots.get(&replica.slot).and_then(|slot| slot.last_restart);
            // One that never says how it is is not waited for for ever.
            last.is_some_and(|last| self.now.since(last) < self.settings.backoff_max)
        };
        let is_ill = |replica: &Replica| ill.iter().any(|(other, _)| other.id == replica.id);
        let away = counted.iter().filter(was_healed).filter(|replica| !serves(replica, snapshot) && !is_ill(replica));
        away.count()
    }

    /// Whether what lies between the host and the replicas is suspected rather than the replicas, and the sentence
    /// that says so. It begins when more than half of those whose process runs call for a remedy at once, and lasts
    /// until half of them serve again: one that was just restarted is not well for that.
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
        // Healing helped the last one: it is the replicas after all, and the next has not to wait for long.
        if running.iter().any(|replica| path.healed == Some(replica.slot) && serves(replica, snapshot)) {
            (path.healed, path.in_vain) = (None, 0);
        }
        let count = unserving.max(failing);
        let reason = format!(
            "{count} of {} replicas fail their probe at once: the path to them is suspected, so one is healed at a time",
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

    /// How long a suspected path has still to wait for the next replica to be healed; none: it is due. Each that was
    /// healed in vain doubles the wait: a path that stays broken does not wear out all that is behind it.
    fn until_next(&self, path: &Suspicion) -> Option<Duration> {
        let one_in_this_pass = (path.healed_at == Some(self.now)).then_some(AFTER_CAP);
        self.left(path.healed_at, self.wait_after(path.in_vain)).or(one_in_this_pass)
    }

    /// Whether a slot is left as it is: it was given up, or it needs healing once more than it may.
    fn is_given_up(&self, slot: &SlotHistory, needs_healing: bool) -> bool {
        let limit = self.settings.restart_limit;
        limit > 0 && (slot.given_up.is_some() || (needs_healing && slot.restarts >= limit))
    }

    fn give_up(&mut self, place: Slot, replica: Option<&ContainerId>, slot: &mut SlotHistory, why: &str) {
        let since = *slot.given_up.get_or_insert(self.now);
        let after = format!("it is given up after {} restarts in a row and left as it is", slot.restarts);
        self.alerts.push(Alert {
            kind: AlertKind::GivenUp,
            since,
            slot: Some(place),
            replica: replica.cloned(),
            reason: if why.is_empty() { after } else { format!("{why}; {after}") },
        });
    }

    /// Tells what was given up earlier, in a pass that heals nothing.
    pub(crate) fn recall_given_up(&mut self, counted: &[&Replica], history: &mut History) {
        for (&place, slot) in history.slots.iter_mut().filter(|(_, slot)| slot.given_up.is_some()) {
            let replica = counted.iter().find(|replica| replica.slot == place).map(|replica| &replica.id);
            self.give_up(place, replica, slot, "");
        }
    }

    /// Fills free slots up to the target. A slot that was filled and is empty now lost its container
    /// behind the host's back: that counts as a restart.
    pub(crate) fn create_missing(
        &mut self,
        counted: &[&Replica],
        target: u32,
        snapshot: &Snapshot,
        history: &mut History,
    ) {
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
            if self.is_given_up(entry, true) {
                self.give_up(slot, None, entry, "the slot is empty again");
                continue;
            }
            let entry_now = *entry;
            if let Some(wait) = self.backoff(entry_now) {
                self.defer(slot, wait, in_backoff("the slot is empty again", entry_now));
                continue;
            }
            *entry = SlotHistory {
                restarts: entry_now.restarts.saturating_add(1),
                last_restart: Some(self.now),
                ..SlotHistory::default()
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
    /// The first restart is at once; each after it waits from the one before.
    fn backoff(&self, slot: SlotHistory) -> Option<Duration> {
        self.left(slot.last_restart, self.wait_after(slot.restarts))
    }

    /// The wait after so many tries in a row: `base` × 2^(n−1), at most `max`; nothing after none.
    fn wait_after(&self, tries: u32) -> Duration {
        let Some(exponent) = tries.checked_sub(1) else { return Duration::ZERO };
        let factor = 1u32.checked_shl(exponent).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
        self.settings.backoff_base.saturating_mul(factor).min(self.settings.backoff_max)
    }

    /// What is left of a wait from `last` on; none: nothing, or there was nothing to wait from.
    fn left(&self, last: Option<Timestamp>, wait: Duration) -> Option<Duration> {
        wait.checked_sub(self.now.since(last?)).filter(|left| !left.is_zero())
    }
}

fn serves(replica: &Replica, snapshot: &Snapshot) -> bool {
    matches!(snapshot.health_of(&replica.id), HealthStatus::Healthy | HealthStatus::Degraded)
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
pub(crate) fn heal_cap(count: usize, share: f64) -> usize {
    // A third of three is one, whatever the binary fraction of a third makes of it.
    ((count as f64 * share + 1e-9).floor() as usize).max(1)
}

//! Alerts about a service whose replicas the engine repairs: the host watches, and a person acts.

use crate::planner::Planner;
use crate::service_rules::no_room;
use crate::trouble::{FEWEST_RESTARTS, runs_well};
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::contract::{Assessment, Remedy};
use windlass_core::{
    Alert, AlertKind, History, Phase, Replica, ServiceState, ServiceUpdate, Slot, SlotTrouble, Snapshot, Timestamp,
    Trouble, TroubleKind, Verdict,
};

impl Planner<'_> {
    /// Reports that the service has no room, that its update is paused, and that the engine refuses to change it.
    pub(crate) fn alert_about_service(&mut self, service: Option<&ServiceState>, history: &History) {
        let memory = &history.service;
        let no_room = service.and_then(|service| no_room(service, self.now));
        if let (Some(since), Some(reason)) = (memory.no_room, no_room) {
            self.alert_all(AlertKind::NoRoom, since, reason);
        }
        if let (Some(since), Some(service)) = (memory.paused, service) {
            let what = if service.update == ServiceUpdate::Paused { "update" } else { "rollback" };
            let mut reason = format!("Swarm paused its {what} of the service");
            if !service.update_message.is_empty() {
                reason.push_str(&format!(": {}", service.update_message));
            }
            reason.push_str("; the count stays until the service is updated with a corrected state, or rolled back");
            self.alert_all(AlertKind::RolloutPaused, since, reason);
        }
        if let Some(refused) = memory.refused.as_ref().filter(|refused| refused.is_alert()) {
            let (tries, error) = (refused.tries, &refused.error);
            let reason = format!(
                "the service could not be changed {tries} times in a row: {error}; it is tried again until it works"
            );
            self.alert_all(AlertKind::Blocked, refused.since, reason);
        }
    }

    fn alert_all(&mut self, kind: AlertKind, since: Timestamp, reason: String) {
        self.alerts.push(Alert { kind, since, slot: None, replica: None, reason });
    }

    /// Records the slots whose replicas are unhealthy or fail again and again, and reports an alert for each.
    pub(crate) fn note_slot_troubles(&mut self, snapshot: &Snapshot, verdict: &Verdict, history: &mut History) {
        let before = std::mem::take(&mut history.service.troubles);
        let assessments: BTreeMap<&str, &Assessment> = match &verdict.health.answer {
            Ok(report) => report.assessments.iter().map(|it| (it.replica_id.as_str(), it)).collect(),
            Err(_) => BTreeMap::new(),
        };
        let troubles = &mut history.service.troubles;
        // In the order of the slots: an alert keeps its place while its replica comes and goes.
        let mut alerts: BTreeMap<Slot, Alert> = BTreeMap::new();
        let mut present: BTreeSet<Slot> = BTreeSet::new();
        for replica in snapshot.counted() {
            let slot = replica.slot;
            present.insert(slot);
            let assessment = assessments.get(replica.id.as_str()).copied();
            let Some((kind, reason)) = self.slot_trouble(replica, assessment) else { continue };
            let known = before.get(&slot).filter(|known| known.trouble.kind == kind);
            let since = known.map_or(self.now, |known| known.trouble.since);
            troubles.insert(slot, SlotTrouble { trouble: Trouble { kind, since }, seen: self.now });
            let (kind, replica) = (alert_kind(kind), Some(replica.id.clone()));
            alerts.insert(slot, Alert { kind, since, slot: Some(slot), replica, reason });
        }
        let are_missing = snapshot.service.state().is_some_and(|service| present.len() < service.count as usize);
        for (slot, known) in before {
            let Trouble { kind, since } = known.trouble;
            // Between two replicas of a slot there is none, and a health policy without an answer says nothing.
            let is_between = are_missing && !present.contains(&slot) && kind == TroubleKind::CrashLoop;
            if is_between && self.now.since(known.seen) < self.settings.backoff_max {
                troubles.insert(slot, known);
                let reason = format!("the replica in slot {slot} has failed again, and Swarm will start the next one");
                alerts.insert(slot, Alert { kind: alert_kind(kind), since, slot: Some(slot), replica: None, reason });
            } else if verdict.health.answer.is_err() && present.contains(&slot) {
                troubles.entry(slot).or_insert(known);
            }
        }
        self.alerts.extend(alerts.into_values());
    }

    fn slot_trouble(&self, replica: &Replica, assessment: Option<&Assessment>) -> Option<(TroubleKind, String)> {
        let Replica { name, engine_restarts: failed, error, .. } = replica;
        if *failed >= FEWEST_RESTARTS && !runs_well(replica, self.settings, self.now) {
            let error = if error.is_empty() { String::new() } else { format!(" ({error})") };
            let reason = format!(
                "the replicas in slot {} have failed {failed} times since the service was updated{error}, and Swarm starts \
                 another each time; fix the cause, or roll the service back",
                replica.slot
            );
            return Some((TroubleKind::CrashLoop, reason));
        }
        let assessment = assessment.filter(|it| it.remedy != Remedy::None && replica.phase == Phase::Running)?;
        let reason = format!(
            "replica `{name}` is unhealthy: {}; Swarm repairs the replicas of a service by itself, by the health check of \
             their image",
            assessment.reason
        );
        Some((TroubleKind::Unhealthy, reason))
    }
}

fn alert_kind(kind: TroubleKind) -> AlertKind {
    match kind {
        TroubleKind::CrashLoop => AlertKind::CrashLoop,
        TroubleKind::Unhealthy => AlertKind::Unhealthy,
        TroubleKind::Unknown => AlertKind::Unknown,
    }
}

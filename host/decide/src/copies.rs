//! Steps for services of Compose: replacement by copies, and services of which no copy can be made.

use crate::planner::Planner;
use windlass_core::{Alert, AlertKind, History, Phase, Replica, Slot, SlotHistory, Snapshot, Step};

impl Planner<'_> {
    /// The step that replaces a replica, with the restart counters after it. A container of Compose of which copies are made
    /// is only restarted, and so is one of which none can be made. A process of Compose that ended is first started again in
    /// its container: the container is what Compose and its user know.
    pub(crate) fn replace(
        &self,
        replica: &Replica,
        reason: String,
        snapshot: &Snapshot,
        history: &mut History,
    ) -> Step {
        let id = replica.id.clone();
        let free = self.free_slots(snapshot, history).next();
        let entry = history.slots.entry(replica.slot).or_default();
        let Some(compose) = &self.compose else {
            entry.process_restarts = 0;
            return Step::Replace { replica: id, slot: replica.slot, reason };
        };
        let begins_again = replica.phase == Phase::Exited && entry.process_restarts == 0;
        match free {
            Some(slot) if compose.can_copy() && compose.model.as_ref() != Some(&id) && !begins_again => {
                let entry = SlotHistory { process_restarts: 0, ..*entry };
                history.slots.insert(slot, entry);
                Step::Supersede { replica: id, slot, reason }
            }
            _ => {
                entry.process_restarts = entry.process_restarts.saturating_add(1);
                Step::Restart { replica: id, reason }
            }
        }
    }

    /// Forgets the empty slots of a service of which no copy can be made, and alerts about it.
    pub(crate) fn leave_uncopyable(&mut self, snapshot: &Snapshot, history: &mut History) {
        let is_taken = |slot: &Slot| snapshot.replicas.iter().any(|replica| replica.slot == *slot);
        history.slots.retain(|slot, _| is_taken(slot));
        history.blocked.retain(|slot, _| is_taken(slot));
        let uncopyable = self.compose.as_ref().and_then(|compose| compose.uncopyable.clone());
        let since = history.compose.as_ref().and_then(|compose| compose.uncopyable);
        if let (Some(since), Some(why)) = (since, uncopyable) {
            let reason = format!("the service stays at its count, because {why}");
            self.alerts.push(Alert { kind: AlertKind::Uncopyable, since, slot: None, replica: None, reason });
        }
    }
}

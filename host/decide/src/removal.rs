//! Removal of replicas that the engine failed to remove: it is tried again, ever more slowly, and never ends.

use crate::planner::Planner;
use windlass_core::{Alert, AlertKind, History, Phase, Replica, Snapshot, Step};

impl Planner<'_> {
    /// Removes the dead replicas, and again those that could not be removed. They count no more, so their places are filled
    /// in other slots.
    pub(crate) fn remove_again(&mut self, snapshot: &Snapshot, history: &mut History) {
        history.unremovable.retain(|id, _| snapshot.replica(id).is_some());
        let waits = |replica: &&Replica| replica.phase == Phase::Dead || history.unremovable.contains_key(&replica.id);
        for replica in snapshot.replicas.iter().filter(waits) {
            let id = &replica.id;
            let Some(failed) = history.unremovable.get(id) else {
                let reason = "the engine reports it as dead".to_owned();
                self.steps.push(Step::Remove { replica: id.clone(), reason });
                continue;
            };
            let error = &failed.error;
            match self.left(Some(failed.last), self.wait_after(failed.tries)) {
                Some(wait) => self.next_pass_after(wait),
                None => {
                    let reason = format!("the engine could not remove it: {error}");
                    self.steps.push(Step::Remove { replica: id.clone(), reason });
                }
            }
            let reason = format!(
                "the engine cannot remove container `{}`: {error}; it does not count any more, and removal is tried again",
                replica.name
            );
            let (kind, since, slot) = (AlertKind::Unremovable, failed.since, Some(replica.slot));
            self.alerts.push(Alert { kind, since, slot, replica: Some(id.clone()), reason });
        }
    }
}

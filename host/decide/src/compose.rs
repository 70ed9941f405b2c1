//! Services of Compose: Windlass waits while Compose is at work, and copies only containers of which a faithful copy can be
//! made. Pure.

use crate::replica_count::ReplicaCount;
use std::time::Duration;
use windlass_core::workload::Mode;
use windlass_core::{
    ComposeHistory, ContainerId, Creator, Declaration, HeldBy, History, Plan, Slot, Snapshot, Step, Timestamp, Workload,
};

/// Windlass changes a service after Compose has left it alone for this long.
const QUIET: Duration = Duration::from_secs(10);

/// The changes that Windlass may make to a service of Compose in one pass.
pub(crate) struct ComposeRules {
    /// The time until steps may be taken. `None` if they may be taken now.
    quiet_in: Option<Duration>,
    /// The container of which copies are made. `None` if no container of Compose is left.
    pub(crate) model: Option<ContainerId>,
    /// Why no copy can be made of the model. `None` if one can, or there is no model.
    pub(crate) uncopyable: Option<String>,
    /// Compose created the model and has not started it: nobody wants a replica that runs yet.
    is_unstarted: bool,
    /// The history from before the other rules.
    before: History,
}

impl ComposeRules {
    /// Whether replicas can be created.
    pub(crate) fn can_copy(&self) -> bool {
        self.model.is_some() && self.uncopyable.is_none() && !self.is_unstarted
    }

    /// The count within the number of replicas that can exist.
    pub(crate) fn limit(&self, mut count: ReplicaCount, desired: &Workload, snapshot: &Snapshot) -> ReplicaCount {
        if self.model.is_none() {
            count
                .reason
                .push_str("; no container of Compose is left, so no replica is created; run `docker compose up`");
        } else if let Some(why) = &self.uncopyable {
            let target = desired.bounds.clamp(counted(snapshot));
            if target != count.target {
                let reason = format!("held at {target}: {why}; otherwise {}: {}", count.target, count.reason);
                return ReplicaCount { target, reason, held_by: Some(HeldBy::Uncopyable), ..count };
            }
        } else if self.is_unstarted {
            count.reason.push_str("; no replica is created until Compose has started its newest container");
        } else if count.target == 0 {
            count.target = desired.bounds.clamp(1);
            count.reason.push_str("; 1 container of Compose stays, because new replicas are copies of it");
        }
        count
    }

    /// The plan without its steps, if Compose is at work. Nothing is restarted or removed, so none of it is remembered.
    pub(crate) fn wait(self, plan: Plan) -> Plan {
        let Some(left) = self.quiet_in else { return plan };
        let Self { before, .. } = self;
        Plan {
            reason: format!(
                "{}; no step is taken until Compose has left the service alone for {} s",
                plan.reason,
                QUIET.as_secs()
            ),
            steps: Vec::new(),
            deferred: Vec::new(),
            history: History {
                since: before.since,
                slots: before.slots,
                probe_path: before.probe_path,
                rollout: before.rollout,
                unremovable: before.unremovable,
                ..plan.history
            },
            next_pass: Some(plan.next_pass.map_or(left, |next| next.min(left))),
            uses_previous: false,
            ..plan
        }
    }
}

/// The count from which a pass begins. Until Windlass acts, Compose sets the number of containers.
pub(crate) fn current_count(desired: &Workload, snapshot: &Snapshot, history: &History) -> u32 {
    let only_observes = history.since.is_none() || desired.policies.mode == Some(Mode::Recommend);
    if is_of_compose(desired) && only_observes {
        desired.bounds.clamp(counted(snapshot))
    } else {
        history.current(desired, snapshot)
    }
}

/// Records the containers of a service of Compose. `None` for any other workload.
pub(crate) fn note_compose(
    desired: &Workload,
    snapshot: &Snapshot,
    history: &mut History,
    now: Timestamp,
) -> Option<ComposeRules> {
    if !is_of_compose(desired) {
        return None;
    }
    let (mut noted, is_changed) = ComposeHistory::note(history.compose.take(), snapshot, now);
    let is_taken = |slot: &Slot| snapshot.replicas.iter().any(|replica| replica.slot == *slot);
    if is_changed {
        // Compose took the containers of these slots away; nothing in them failed.
        history.slots.retain(|slot, _| is_taken(slot));
    }
    let model = desired.model(&snapshot.replicas);
    let uncopyable = model.and_then(|model| match &model.creator {
        Creator::Compose { uncopyable } => uncopyable.clone(),
        Creator::Windlass | Creator::Clone => None,
    });
    let of_compose = snapshot.replicas.iter().filter(|replica| replica.is_of_compose()).count();
    let wants_copies = desired.bounds.max() > u32::try_from(of_compose).unwrap_or(u32::MAX);
    let is_alert = uncopyable.is_some() && wants_copies;
    noted.uncopyable = is_alert.then(|| noted.uncopyable.unwrap_or(now));
    let quiet_in = noted.changed.and_then(|at| QUIET.checked_sub(now.since(at))).filter(|left| !left.is_zero());
    history.compose = Some(noted);
    let is_unstarted = model.is_some_and(|model| model.started_at.is_none());
    let model = model.map(|model| model.id.clone());
    Some(ComposeRules { quiet_in, model, uncopyable, is_unstarted, before: history.clone() })
}

/// Records the replicas that the plan removes.
pub(crate) fn note_leaving(plan: &mut Plan) {
    let Some(compose) = &mut plan.history.compose else { return };
    compose.leaving.extend(plan.steps.iter().filter_map(|step| match step {
        Step::Remove { replica, .. }
        | Step::Replace { replica, .. }
        | Step::Supersede { replica, .. }
        | Step::Renew { replica, .. } => Some(replica.clone()),
        Step::Create { .. }
        | Step::Start { .. }
        | Step::Restart { .. }
        | Step::SetCount { .. }
        | Step::Deploy { .. } => None,
    }));
}

fn is_of_compose(desired: &Workload) -> bool {
    matches!(desired.declaration, Declaration::Compose { .. })
}

fn counted(snapshot: &Snapshot) -> u32 {
    u32::try_from(snapshot.counted().count()).unwrap_or(u32::MAX)
}

//! The replicas that a scale-in removes.

use crate::planner::Planner;
use std::collections::BTreeSet;
use windlass_core::contract::HealthStatus;
use windlass_core::{ContainerId, History, Phase, Replica, Snapshot, Step};

/// The replicas that a policy may not remove.
pub(crate) struct Protection {
    /// Replicas that an operator or the policy protects. A replica itself carries the protection of its label.
    pub(crate) protected: BTreeSet<ContainerId>,
    /// Protection holds down to this count. Above it, protected replicas are removed too.
    pub(crate) down_to: u32,
    /// The container of Compose of which copies are made. It always stays. `None` if no copies are made.
    pub(crate) model: Option<ContainerId>,
}

impl Planner<'_> {
    /// Removes the replicas above the target from `counted`, copies of containers of Compose first, then in
    /// the order of [`Worth`], the oldest first. Returns how many
    /// replicas above the target stay because they are protected.
    pub(crate) fn scale_in(
        &mut self,
        counted: &mut Vec<&Replica>,
        target: u32,
        protection: &Protection,
        snapshot: &Snapshot,
        history: &mut History,
    ) -> usize {
        let whole = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let target = whole(target);
        let before = counted.len();
        let excess = before.saturating_sub(target);
        if excess == 0 {
            return 0;
        }
        let must_go = before.saturating_sub(whole(protection.down_to)).min(excess);
        let mut removed: Vec<(Worth, &Replica)> = counted
            .iter()
            .filter(|replica| protection.model.as_ref() != Some(&replica.id))
            .map(|replica| (Worth::of(replica, snapshot, &protection.protected), *replica))
            .collect();
        removed.sort_by(|(a_worth, a), (b_worth, b)| {
            let (a_key, b_key) = ((a.is_of_compose(), a_worth), (b.is_of_compose(), b_worth));
            (a_key, (a.created_at, &a.id)).cmp(&(b_key, (b.created_at, &b.id)))
        });
        removed.truncate(excess);
        let unprotected = removed.iter().filter(|(worth, _)| *worth != Worth::Protected).count();
        removed.truncate(unprotected.max(must_go));
        let kept = excess - removed.len();
        let after = before - removed.len();
        for (worth, replica) in &removed {
            history.slots.remove(&replica.slot);
            let reason = format!("scale-in from {before} to {after}: {}", worth.why());
            self.steps.push(Step::Remove { replica: replica.id.clone(), reason });
        }
        let removed: BTreeSet<&ContainerId> = removed.iter().map(|(_, replica)| &replica.id).collect();
        counted.retain(|replica| !removed.contains(&replica.id));
        kept
    }
}

/// The order in which replicas are removed: the first ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    Exited,
    Unhealthy,
    Starting,
    Serving,
    /// As [`Worth::Serving`], and its label, an operator or the policy protects it.
    Protected,
}

impl Worth {
    pub(crate) fn of(replica: &Replica, snapshot: &Snapshot, protected: &BTreeSet<ContainerId>) -> Self {
        match (replica.phase, snapshot.health_of(&replica.id)) {
            (Phase::Exited, _) => Self::Exited,
            (_, HealthStatus::Unhealthy) => Self::Unhealthy,
            (Phase::Starting, _) | (_, HealthStatus::Starting) => Self::Starting,
            _ if replica.is_protected || protected.contains(&replica.id) => Self::Protected,
            _ => Self::Serving,
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Exited => "its process has ended",
            Self::Unhealthy => "it is unhealthy",
            Self::Starting => "it is still starting",
            Self::Serving => "it is the oldest",
            Self::Protected => "it is the oldest, and its protection holds against policies only",
        }
    }
}

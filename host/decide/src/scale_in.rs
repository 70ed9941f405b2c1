//! Who goes when there are to be fewer.

use crate::Planner;
use std::collections::BTreeSet;
use windlass_core::contract::HealthStatus;
use windlass_core::{ContainerId, History, Phase, Replica, Snapshot, Step};

/// What a policy may not take.
pub(crate) struct Spare {
    /// What an operator or the policy itself protects; what a label does is said by the replica.
    pub(crate) protected: BTreeSet<ContainerId>,
    /// While there are no more than this many; of more the others go all the same.
    pub(crate) down_to: u32,
}

impl Planner<'_> {
    /// Removes replicas above the target from `counted`: unhealthy first, then starting, then those that nothing protects,
    /// then oldest. Protected ones are spared as far as `spare` says; gives how many were.
    pub(crate) fn scale_down(
        &mut self,
        counted: &mut Vec<&Replica>,
        target: u32,
        spare: &Spare,
        snapshot: &Snapshot,
        history: &mut History,
    ) -> usize {
        let whole = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let (target, spared_down_to) = (whole(target), whole(spare.down_to));
        let excess = counted.len().saturating_sub(target);
        let must_go = counted.len().saturating_sub(spared_down_to).min(excess);
        let worth = |replica: &Replica| Worth::of(replica, snapshot, &spare.protected);
        let mut victims = counted.clone();
        victims.sort_by_key(|replica| (worth(replica), replica.created_at, replica.id.clone()));
        victims.truncate(excess);
        let free = victims.iter().filter(|victim| worth(victim) != Worth::Protected).count();
        victims.truncate(free.max(must_go));
        let spared = excess - victims.len();
        let victims: Vec<(&Replica, Worth)> = victims.into_iter().map(|victim| (victim, worth(victim))).collect();
        for (victim, worth) in &victims {
            history.slots.remove(&victim.slot);
            self.steps.push(Step::Remove {
                replica: victim.id.clone(),
                reason: format!("{target} of {} replicas are wanted; {}", counted.len(), worth.why()),
            });
        }
        let gone: BTreeSet<&ContainerId> = victims.iter().map(|(victim, _)| &victim.id).collect();
        counted.retain(|replica| !gone.contains(&replica.id));
        spared
    }
}

/// The order in which replicas are given up: the least worth first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    Exited,
    Unhealthy,
    Starting,
    Serving,
    /// As [`Worth::Serving`], and its label or an operator protects it.
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
            Self::Protected => "it is the oldest, and protected from policies alone",
        }
    }
}

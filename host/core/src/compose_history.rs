//! The host's memory of a service of Compose: the containers it last saw, and when Compose last changed them.

use crate::{ContainerId, Phase, Replica, Snapshot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The memory of a service of Compose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ComposeHistory {
    /// The containers at the last pass.
    pub seen: BTreeSet<ContainerId>,
    /// The containers that Windlass removes. Their end is no change by Compose.
    #[serde(default)]
    pub leaving: BTreeSet<ContainerId>,
    /// When somebody else last created, stopped or removed a container. `None` if nobody did.
    #[serde(default)]
    pub changed: Option<Timestamp>,
    /// Since when no copy can be made of the service's containers. `None` if one can.
    #[serde(default)]
    pub uncopyable: Option<Timestamp>,
}

impl ComposeHistory {
    /// Records the containers of a snapshot. Returns whether somebody else created or removed one since the last pass.
    ///
    /// A copy that is new was made by Windlass. In the first pass, the newest container of Compose tells when Compose was
    /// last at work.
    pub fn note(before: Option<Self>, snapshot: &Snapshot, now: Timestamp) -> (Self, bool) {
        let seen: BTreeSet<ContainerId> = snapshot.replicas.iter().map(|replica| replica.id.clone()).collect();
        let of_compose = || snapshot.replicas.iter().filter(|replica| replica.is_of_compose());
        let Some(mut history) = before else {
            let changed = of_compose().map(|replica| replica.created_at.min(now)).max();
            return (Self { seen, changed, ..Self::default() }, changed.is_some());
        };
        let is_new = of_compose().any(|replica| !history.seen.contains(&replica.id));
        let is_gone = history.seen.iter().any(|id| !seen.contains(id) && !history.leaving.contains(id));
        // Compose stops a container before it removes it.
        let is_going = |replica: &Replica| replica.phase == Phase::Stopping && !history.leaving.contains(&replica.id);
        let is_going = snapshot.replicas.iter().any(is_going);
        history.leaving.retain(|id| seen.contains(id));
        history.seen = seen;
        if is_new || is_gone || is_going {
            history.changed = Some(now);
        }
        (history, is_new || is_gone)
    }

    /// Every time in it.
    pub(crate) fn times(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        [&mut self.changed, &mut self.uncopyable].into_iter().flatten()
    }
}

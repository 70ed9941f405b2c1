//! Tells those who send requests to replicas that one leaves, before it is stopped.

use crate::context::Shared;
use crate::workload::state::Cell;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use windlass_core::contract::HealthStatus;
use windlass_core::{ContainerId, Phase, Plan, Step};

/// Those who follow what is known of all workloads: one at most.
///
/// Both channels carry a number of looks: what is known changed so many times, and so many of the changes were dealt with.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    changes: watch::Sender<u64>,
    dealt_with: watch::Sender<u64>,
    patience: Mutex<Duration>,
}

/// One who follows. Changes that come while it deals with one are one.
#[derive(Debug)]
pub struct Subscriber {
    changes: watch::Receiver<u64>,
    dealt_with: watch::Sender<u64>,
    /// The change it deals with; none: it has not looked yet.
    seen: Option<u64>,
}

impl Notifier {
    pub(crate) fn follow(&self, patience: Duration) -> Subscriber {
        *self.patience.lock() = patience;
        Subscriber { changes: self.changes.subscribe(), dealt_with: self.dealt_with.clone(), seen: None }
    }

    /// What is known of a workload may have changed. The number of the change.
    pub(crate) fn look_again(&self) -> u64 {
        let mut number = 0;
        self.changes.send_modify(|changes| {
            *changes += 1;
            number = *changes;
        });
        number
    }

    /// Waits until a change was dealt with; not longer than the follower said, and not where nobody follows.
    async fn told(&self, change: u64) {
        if self.changes.receiver_count() == 0 {
            return;
        }
        let patience = *self.patience.lock();
        let mut dealt_with = self.dealt_with.subscribe();
        let told = dealt_with.wait_for(|number| *number >= change);
        if tokio::time::timeout(patience, told).await.is_err() {
            tracing::warn!(?patience, "a replica is stopped before all were told that it leaves");
        }
    }
}

impl Subscriber {
    /// Returns when something may have changed since the last return, the first time at once.
    pub async fn changed(&mut self) {
        if self.seen.is_some() && self.changes.changed().await.is_err() {
            // The loop is gone: nothing will change.
            std::future::pending::<()>().await;
        }
        self.seen = Some(*self.changes.borrow_and_update());
    }

    /// What the last return told of was dealt with.
    pub fn dealt_with(&self) {
        if let Some(seen) = self.seen {
            self.dealt_with.send_replace(seen);
        }
    }
}

/// Before a plan is carried out: what it stops leaves.
pub(crate) async fn before_acting(shared: &Shared, cell: &Cell, plan: &Plan) {
    let stopped = plan.steps.iter().filter_map(|step| match step {
        Step::Remove { replica, .. } | Step::Replace { replica, .. } | Step::Restart { replica, .. } => Some(replica),
        Step::Create { .. } | Step::Start { .. } => None,
    });
    told(shared, cell, stopped).await;
}

/// These are about to be stopped: returns when those who send them requests know, where there are any.
pub(crate) async fn told<'a>(shared: &Shared, cell: &Cell, leaving: impl IntoIterator<Item = &'a ContainerId>) {
    let is_sent_requests = {
        let mut state = cell.state();
        let leaving: Vec<ContainerId> = leaving.into_iter().cloned().collect();
        let sent = leaving.iter().any(|id| {
            let running = state.snapshot.replica(id).is_some_and(|replica| replica.phase == Phase::Running);
            // One that was not asked yet may be known to them since before Windlass began.
            running && !state.begun.contains(id) && state.snapshot.health_of(id) != HealthStatus::Unhealthy
        });
        state.leaving.extend(leaving);
        sent
    };
    if is_sent_requests {
        shared.audience.told(shared.audience.look_again()).await;
    }
}

/// It was about to be stopped and was not.
pub(crate) fn stays(shared: &Arc<Shared>, cell: &Cell, id: &ContainerId) {
    cell.state().leaving.remove(id);
    shared.audience.look_again();
}

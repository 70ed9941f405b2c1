//! Notifies a subscriber of changes, and waits until it has handled them.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::watch;

/// Notifies at most one subscriber. Changes are numbered; both channels carry the number of the last one.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    changes: watch::Sender<u64>,
    handled: watch::Sender<u64>,
    patience: Mutex<Duration>,
}

/// Follows the changes of all workloads. Changes that come while it handles one are combined.
#[derive(Debug)]
pub struct Subscriber {
    changes: watch::Receiver<u64>,
    handled: watch::Sender<u64>,
    /// The change that it handles now. `None` before the first one.
    current: Option<u64>,
}

impl Notifier {
    /// Adds the subscriber, for which a stop waits at most `patience`.
    pub(crate) fn subscribe(&self, patience: Duration) -> Subscriber {
        *self.patience.lock() = patience;
        Subscriber { changes: self.changes.subscribe(), handled: self.handled.clone(), current: None }
    }

    /// Announces that the state of a workload may have changed. Returns the number of the change.
    pub(crate) fn notify(&self) -> u64 {
        let mut number = 0;
        self.changes.send_modify(|changes| {
            *changes += 1;
            number = *changes;
        });
        number
    }

    /// Waits until the subscriber has handled a change, for its patience at most. Returns at once without a subscriber.
    pub(crate) async fn drained(&self, change: u64) {
        if self.changes.receiver_count() == 0 {
            return;
        }
        let patience = *self.patience.lock();
        let mut handled = self.handled.subscribe();
        let drained = handled.wait_for(|number| *number >= change);
        if tokio::time::timeout(patience, drained).await.is_err() {
            tracing::warn!(?patience, "a replica stops before all balancers have removed it");
        }
    }
}

impl Subscriber {
    /// Returns when something may have changed since the last return; the first time at once.
    pub async fn changed(&mut self) {
        if self.current.is_some() && self.changes.changed().await.is_err() {
            // The loop has ended: nothing changes any more.
            std::future::pending::<()>().await;
        }
        self.current = Some(*self.changes.borrow_and_update());
    }

    /// Confirms that the change of the last return has been handled.
    pub fn dealt_with(&self) {
        if let Some(current) = self.current {
            self.handled.send_replace(current);
        }
    }
}

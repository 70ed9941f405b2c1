//! The background tasks of the loop, and their end.

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Tasks that end before Windlass does.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    is_shutting_down: watch::Sender<bool>,
    running: Mutex<JoinSet<()>>,
}

/// Resolves when Windlass shuts down.
pub(crate) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    pub(crate) async fn begins(&mut self) {
        // An error means that the loop is gone, which is a shutdown too.
        let _ = self.0.wait_for(|is_shutting_down| *is_shutting_down).await;
    }
}

impl Tasks {
    /// Runs a task that is finished before Windlass ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock();
        // The tasks of deleted workloads have ended: free what is left of them.
        while running.try_join_next().is_some() {}
        running.spawn(task);
    }

    pub(crate) fn shutdown(&self) -> Shutdown {
        Shutdown(self.is_shutting_down.subscribe())
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        *self.is_shutting_down.borrow()
    }

    pub(crate) fn begin_shutdown(&self) {
        self.is_shutting_down.send_replace(true);
    }

    /// Waits for all tasks, including those that the last tasks spawn. When it returns, nothing uses the store any more.
    pub(crate) async fn join_all(&self) {
        loop {
            let mut running = std::mem::take(&mut *self.running.lock());
            if running.is_empty() {
                return;
            }
            while running.join_next().await.is_some() {}
        }
    }
}

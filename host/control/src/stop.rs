//! Stops a replica: its hook first, so that it can finish what it is at.

use crate::model::Replica;
use crate::model::workload::{HookCall, StopHook, Workload};
use crate::net::Net;
use crate::runtime::{Runtime, RuntimeError};
use serde_json::json;
use std::time::Duration;

/// What stopping works with.
#[derive(Clone, Copy)]
pub(super) struct Stopper<'a> {
    pub(super) workload: &'a Workload,
    pub(super) runtime: &'a dyn Runtime,
    pub(super) net: &'a dyn Net,
    /// Time a process has to end before it is killed.
    pub(super) grace: Duration,
}

/// A replica that was stopped.
pub(super) struct Stopped {
    pub(super) replica: Replica,
    /// Why its hook failed; none: it did not, or there is none.
    pub(super) hook_failed: Option<String>,
}

impl Stopper<'_> {
    /// Calls the hook of a replica that runs, then stops it, whatever came of the hook.
    pub(super) async fn stop(self, replica: &Replica, reason: &str) -> Result<Stopped, RuntimeError> {
        let hook_failed = self.tell(replica, reason).await;
        let replica = self.runtime.stop(&replica.id, self.grace).await?;
        Ok(Stopped { replica, hook_failed })
    }

    /// Calls the hook of a replica that runs. Why it failed; none: it did not, or there is none.
    pub(super) async fn tell(self, replica: &Replica, reason: &str) -> Option<String> {
        let hook = self.workload.stop_hook.as_ref().filter(|_| replica.is_alive())?;
        let failed = self.call(hook, replica, reason).await.err()?;
        tracing::warn!(workload = %self.workload.key, container = %replica.id, error = failed, "the stop hook failed");
        Some(failed)
    }

    async fn call(self, hook: &StopHook, replica: &Replica, reason: &str) -> Result<(), String> {
        match &hook.call {
            HookCall::Http { port, path } => {
                let address = self.runtime.endpoint(replica, *port);
                let address =
                    address.ok_or_else(|| format!("port {port} cannot be reached from the host; publish it"))?;
                let body = json!({
                    "image": self.workload.image,
                    "container_id": replica.id,
                    "name": replica.name,
                    "reason": reason,
                });
                let url = format!("http://{address}{path}");
                self.net.post_json(&url, &body, hook.timeout).await.map_err(|error| error.to_string())
            }
            HookCall::Exec { command } => {
                let ran = tokio::time::timeout(hook.timeout, self.runtime.exec(&replica.id, command)).await;
                let ran = ran.map_err(|_| format!("the command did not end within {} ms", hook.timeout.as_millis()))?;
                ran.map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

/// How a failed hook is told in the reason of what was done all the same.
pub(super) fn with_hook(reason: &str, hook_failed: Option<&str>) -> String {
    hook_failed.map_or_else(|| reason.to_owned(), |why| format!("{reason}; its stop hook failed: {why}"))
}

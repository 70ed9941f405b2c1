//! Stops a replica: its hook first, so that it can finish what it is at.

use serde_json::json;
use std::time::Duration;
use windlass_core::Replica;
use windlass_core::engine::{Engine, EngineError};
use windlass_core::net::Net;
use windlass_core::workload::{HookCall, StopHook, Workload};

/// What stopping works with.
#[derive(Clone, Copy)]
pub(crate) struct Stopper<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) engine: &'a dyn Engine,
    pub(crate) net: &'a dyn Net,
    /// Time a process has to end before it is killed.
    pub(crate) grace: Duration,
}

/// A replica that was stopped.
pub(crate) struct Stopped {
    pub(crate) replica: Replica,
    /// Why its hook failed; none: it did not, or there is none.
    pub(crate) hook_failed: Option<String>,
}

impl Stopper<'_> {
    /// Calls the hook of a replica that runs, then stops it, whatever came of the hook.
    pub(crate) async fn stop(self, replica: &Replica, reason: &str) -> Result<Stopped, EngineError> {
        let hook_failed = self.tell(replica, reason).await;
        let replica = self.engine.stop(&replica.id, self.grace).await?;
        Ok(Stopped { replica, hook_failed })
    }

    /// Calls the hook of a replica that runs. Why it failed; none: it did not, or there is none.
    pub(crate) async fn tell(self, replica: &Replica, reason: &str) -> Option<String> {
        let hook = self.workload.stop_hook.as_ref().filter(|_| replica.is_alive())?;
        let failed = self.call(hook, replica, reason).await.err()?;
        tracing::warn!(workload = %self.workload.key, container = %replica.id, error = failed, "the stop hook failed");
        Some(failed)
    }

    async fn call(self, hook: &StopHook, replica: &Replica, reason: &str) -> Result<(), String> {
        match &hook.call {
            HookCall::Http { port, path } => {
                let address = self.engine.endpoint(replica, *port);
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
                let ran = tokio::time::timeout(hook.timeout, self.engine.exec(&replica.id, command)).await;
                let ran = ran.map_err(|_| format!("the command did not end within {} ms", hook.timeout.as_millis()))?;
                ran.map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

/// How a failed hook is told in the reason of what was done all the same.
pub(crate) fn with_hook(reason: &str, hook_failed: Option<&str>) -> String {
    hook_failed.map_or_else(|| reason.to_owned(), |why| format!("{reason}; its stop hook failed: {why}"))
}

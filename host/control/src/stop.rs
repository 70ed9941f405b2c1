//! Stops a replica after its stop hook, so that it can finish its work.

use crate::context::Context;
use crate::replica_call::{CallError, ReplicaCaller};
use crate::workload::handle::WorkloadHandle;
use serde_json::json;
use std::time::Duration;
use windlass_core::Replica;
use windlass_core::engine::EngineError;
use windlass_core::workload::{HookCall, StopHook, Workload};

/// Stops the replicas of one workload.
#[derive(Clone, Copy)]
pub(crate) struct Stopper<'a> {
    caller: ReplicaCaller<'a>,
    workload: &'a Workload,
    /// The time a process has to end before the engine kills it.
    grace: Duration,
}

/// A stopped replica.
pub(crate) struct Stopped {
    pub(crate) replica: Replica,
    /// The reason why its hook failed. `None` if the hook succeeded or does not exist.
    pub(crate) hook_failure: Option<String>,
}

impl<'a> Stopper<'a> {
    pub(crate) fn new(context: &'a Context, handle: &'a WorkloadHandle, workload: &'a Workload) -> Self {
        Self { caller: context.caller(&handle.commands), workload, grace: context.settings.stop_grace }
    }

    /// Calls the hook of a running replica, then stops the replica even if the hook failed.
    pub(crate) async fn stop(self, replica: &Replica, reason: &str) -> Result<Stopped, EngineError> {
        let hook_failure = self.call_hook(replica, reason).await;
        let replica = self.caller.engine.slots()?.stop(&replica.id, self.grace).await?;
        Ok(Stopped { replica, hook_failure })
    }

    /// Calls the hook of a running replica. Returns why it failed, or `None` if it succeeded or does not exist.
    pub(crate) async fn call_hook(self, replica: &Replica, reason: &str) -> Option<String> {
        let hook = self.workload.stop_hook.as_ref().filter(|_| replica.is_running())?;
        let error = self.call(hook, replica, reason).await.err()?.to_string();
        tracing::warn!(workload = %self.workload.key, container = %replica.id, error, "the stop hook failed");
        Some(error)
    }

    async fn call(self, hook: &StopHook, replica: &Replica, reason: &str) -> Result<(), CallError> {
        match &hook.call {
            HookCall::Http { port, path } => {
                let body = json!({
                    "image": self.workload.image,
                    "container_id": replica.id,
                    "name": replica.name,
                    "reason": reason,
                });
                self.caller.post(replica, *port, path, &body, hook.timeout).await
            }
            HookCall::Exec { command } => {
                self.caller.exec(&replica.id, "stop hook", command, hook.timeout).await.map(drop)
            }
        }
    }
}

/// The reason of an action whose stop hook failed.
pub(crate) fn with_hook(reason: &str, hook_failure: Option<&str>) -> String {
    hook_failure.map_or_else(|| reason.to_owned(), |why| format!("{reason}; its stop hook failed: {why}"))
}

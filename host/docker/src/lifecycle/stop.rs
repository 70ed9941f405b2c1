//! Stops a replica's process by signals.

use super::{Lifecycle, POLL_INTERVAL, permit};
use crate::call_error::CallError;
use crate::container;
use bollard::query_parameters::{KillContainerOptionsBuilder, WaitContainerOptionsBuilder};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::engine::EngineError;
use windlass_core::{ContainerId, Creator, Phase, Replica};

impl Lifecycle {
    /// Stops a replica by its stop signal, and kills it after `grace`. The `stop_grace_period` of a service takes precedence.
    ///
    /// The engine's own stop does the same. It would also record a stop, which must mean that somebody else wanted it: a
    /// Windlass that is killed between a stop and a start would otherwise find a stop that nobody meant.
    pub(crate) async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError> {
        let not_found = || EngineError::NotFound(id.to_string());
        let inspected = self.inspect(id.as_str()).await?.ok_or_else(not_found)?;
        let before = self.replica(&inspected).await?.ok_or_else(not_found)?;
        if !before.is_alive() && before.phase != Phase::Restarting {
            return Ok(before);
        }
        let grace =
            container::stop_timeout(&inspected).filter(|_| before.creator != Creator::Windlass).unwrap_or(grace);
        let _permit = permit(&self.stops).await?;
        let signalled = self.signal(&before, container::stop_signal(&inspected)).await;
        if let Err(error) = &signalled {
            tracing::warn!(container = %before.id, ?error, "the stop signal could not be sent; killing the container");
        } else if self.ends_within(&before, grace).await? {
            return self.inspect_replica(before.id.as_str()).await;
        }
        let killed = self.signal(&before, "SIGKILL").await;
        // The engine responds before the process has ended.
        let has_ended = killed.is_ok() && self.ends_within(&before, self.engine.call_timeout()).await?;
        let timed_out = || CallError::TimedOut {
            operation: format!("kill container `{}`", before.name),
            limit: self.engine.call_timeout(),
        };
        let outcome = if has_ended { Ok(()) } else { killed.and(Err(timed_out())) };
        self.settle(before.id.as_str(), outcome, |after| !after.is_alive()).await
    }

    async fn signal(&self, replica: &Replica, signal: &str) -> Result<(), CallError> {
        let id = replica.id.as_str();
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        let sent = self
            .engine
            .call(&format!("send {signal} to container `{}`", replica.name), |docker| async move {
                docker.kill_container(id, Some(options)).await
            })
            .await;
        match sent {
            // It has just ended by itself, or somebody removed it.
            Err(CallError::Response { status: 404 | 409, .. }) => Ok(()),
            sent => sent,
        }
    }

    /// Waits until a replica's process has ended. Returns false if it still runs after `limit`.
    async fn ends_within(&self, replica: &Replica, limit: Duration) -> Result<bool, EngineError> {
        let id = replica.id.as_str();
        let deadline = Instant::now() + limit;
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        // The inspection below decides, whatever this call returns.
        let _ = self
            .engine
            .call_within(limit, "wait for the end of a process", |docker| async move {
                docker.wait_container(id, Some(options)).next().await.transpose()
            })
            .await;
        loop {
            match self.inspect_replica(id).await {
                Ok(after) if after.is_alive() => {}
                Ok(_) | Err(EngineError::NotFound(_)) => return Ok(true),
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

//! Calls to one replica, over HTTP, over TCP or by a command in its container: probes, stop hooks, metrics.

use parking_lot::Mutex;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::engine::{AnyEngine, EngineError};
use windlass_core::net::{Net, NetError, Reach};
use windlass_core::time::millis;
use windlass_core::{ContainerId, DurationMs, HttpProbe, Replica};

/// The reason why a call to a replica failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The port has no address on the host.
    #[error("port {0} cannot be reached from the host; publish it")]
    NotPublished(u16),
    /// The same command of an earlier call still runs in the replica.
    #[error("the command of an earlier call still runs in it")]
    StillRunning,
    /// The network call took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The command took too long. It runs on, since the engine cannot end it.
    #[error("the command did not end within {} ms", .0.as_millis())]
    CommandTimedOut(Duration),
    /// The replica refused, or answered with a failure.
    #[error("{0}")]
    Failed(String),
    /// The engine did not run the command, which says nothing about the replica.
    #[error(transparent)]
    Engine(EngineError),
}

impl From<NetError> for CallError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::TimedOut(timeout) => Self::TimedOut(timeout),
            NetError::Failed(why) => Self::Failed(why),
        }
    }
}

/// A command in a replica: the replica, and the purpose that distinguishes it from other commands there.
type Running = (ContainerId, String);

/// The commands that run in the replicas of one workload. The same command never runs twice in a replica.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    running: Arc<Mutex<HashSet<Running>>>,
    /// The engine refused the last command, and the log says so.
    are_refused: AtomicBool,
}

/// Marks a command as running until it is dropped.
struct Mark {
    command: Running,
    all: Arc<Mutex<HashSet<Running>>>,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.all.lock().remove(&self.command);
    }
}

impl Commands {
    /// Returns true if no command runs.
    #[cfg(test)]
    pub(crate) fn are_idle(&self) -> bool {
        self.running.lock().is_empty()
    }

    fn mark(&self, command: Running) -> Option<Mark> {
        let is_first = self.running.lock().insert(command.clone());
        is_first.then(|| Mark { command, all: Arc::clone(&self.running) })
    }
}

/// Calls the replicas of one workload.
#[derive(Clone, Copy)]
pub(crate) struct ReplicaCaller<'a> {
    pub(crate) engine: &'a AnyEngine,
    pub(crate) net: &'a dyn Net,
    pub(crate) commands: &'a Commands,
}

impl ReplicaCaller<'_> {
    /// Runs a command in a replica and returns its standard output. A command that exits with another status than 0 is
    /// [`CallError::Failed`].
    pub(crate) async fn exec(
        self,
        id: &ContainerId,
        purpose: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<String, CallError> {
        let mark = self.commands.mark((id.clone(), purpose.to_owned())).ok_or(CallError::StillRunning)?;
        let (engine, id, command) = (self.engine.clone(), id.clone(), command.to_vec());
        // In a task of its own: it runs on after the timeout, and keeps its mark.
        let run = tokio::spawn(async move {
            let _mark = mark;
            engine.exec(&id, &command).await
        });
        match tokio::time::timeout(timeout, run).await {
            Err(_) => Err(CallError::CommandTimedOut(timeout)),
            Ok(Ok(Ok(output))) => {
                self.commands.are_refused.store(false, Ordering::Relaxed);
                Ok(output)
            }
            Ok(Ok(Err(EngineError::CommandFailed(why)))) => {
                self.commands.are_refused.store(false, Ordering::Relaxed);
                Err(CallError::Failed(why))
            }
            Ok(Ok(Err(error))) => {
                if matches!(error, EngineError::Refused(_)) && !self.commands.are_refused.swap(true, Ordering::Relaxed)
                {
                    tracing::warn!(%error, purpose, "the engine refuses to run commands in replicas; their results are unknown");
                }
                Err(CallError::Engine(error))
            }
            Ok(Err(error)) => Err(CallError::Engine(EngineError::Unavailable(error.to_string()))),
        }
    }

    /// As [`ReplicaCaller::exec`], but returns the milliseconds that the command took.
    pub(crate) async fn timed_exec(
        self,
        id: &ContainerId,
        purpose: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<DurationMs, CallError> {
        let started = Instant::now();
        self.exec(id, purpose, command, timeout).await.map(|_| millis(started.elapsed()))
    }

    /// Sends the request of an HTTP probe. Returns the milliseconds that it took.
    pub(crate) async fn http_probe(
        self,
        replica: &Replica,
        probe: &HttpProbe,
        timeout: Duration,
    ) -> Result<DurationMs, CallError> {
        let address = self.address(replica, probe.port)?;
        Ok(self.net.http_probe(address, probe, timeout).await?)
    }

    /// Opens and closes a TCP connection. Returns the milliseconds that it took.
    pub(crate) async fn tcp_connect(
        self,
        replica: &Replica,
        port: u16,
        timeout: Duration,
    ) -> Result<DurationMs, CallError> {
        let address = self.address(replica, port)?;
        // Any other address than the replica's own is that of a published port.
        let behind_proxy = replica.address != Some(address.ip());
        Ok(self.net.tcp_connect(address, behind_proxy, timeout).await?)
    }

    /// Posts JSON to a path of a port of the replica.
    pub(crate) async fn post(
        self,
        replica: &Replica,
        port: u16,
        path: &str,
        body: &serde_json::Value,
        timeout: Duration,
    ) -> Result<(), CallError> {
        let address = self.address(replica, port)?;
        Ok(self.net.post_json(&format!("http://{address}{path}"), Reach::Replica, body, timeout).await?)
    }

    fn address(self, replica: &Replica, port: u16) -> Result<SocketAddr, CallError> {
        self.engine.endpoint(replica, port).ok_or(CallError::NotPublished(port))
    }
}

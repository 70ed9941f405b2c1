//! What Windlass asks of an engine, in workloads and replicas, never in an engine's own words.
//!
//! [`docker`] serves it from a Docker engine, [`sim`] from a simulated one with controllable time.

use crate::contract::Usage;
use crate::workload::Workload;
use crate::{ContainerId, Replica, Slot, Timestamp, WorkloadKey};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::net::SocketAddr;
use std::time::Duration;

/// What an engine did not do, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine does not answer, or what it stands on is gone: nothing is known of the replicas.
    #[error("the engine is unavailable: {0}")]
    Unavailable(String),
    /// It did not answer within the time limit of the call; whether the thing was done is unknown.
    #[error("the engine did not answer within {} s: {operation}", limit.as_secs())]
    TimedOut {
        /// What was asked.
        operation: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// No container of this instance has this identifier.
    #[error("container `{0}` not found")]
    NotFound(String),
    /// The engine refused: a bad command, a taken port, limits it does not allow, an image it cannot get.
    #[error("{0}")]
    Refused(String),
}

/// What happened on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEvent {
    /// Something about a replica of this workload changed: look at it.
    Changed(WorkloadKey),
    /// Somebody asked a replica's process to end, as `docker stop` does: perhaps the host itself. The end is told as a
    /// change of its own.
    AskedToEnd {
        /// Whose it is.
        workload: WorkloadKey,
        /// Which.
        replica: ContainerId,
        /// When, by the engine's clock.
        at: Timestamp,
    },
    /// The stream of events was (re)connected: look at everything.
    Connected,
    /// The stream was lost; it reconnects by itself, with backoff. The text says why.
    Lost(String),
}

/// An engine that runs replicas.
///
/// Every call has a time limit of its own. All but [`Engine::usage`] may wait for the engine. Only
/// containers that this instance of Windlass created are ever shown or touched.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Does the engine answer?
    async fn ping(&self) -> Result<(), EngineError>;

    /// The replicas of one workload, or of all, oldest first. Those that vanish meanwhile are left out.
    async fn list(&self, workload: Option<&WorkloadKey>) -> Result<Vec<Replica>, EngineError>;

    /// Creates a replica and does not start it; fetches the image where it is missing. A failed create
    /// leaves nothing behind.
    async fn create(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError>;

    /// Starts the process of a replica; one that runs is left as it is.
    async fn start(&self, id: &ContainerId) -> Result<Replica, EngineError>;

    /// Asks a replica's process to end, and kills it after `grace`; one that has ended is left as it is.
    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError>;

    /// Stops a replica as [`Engine::stop`] does and starts its process again.
    async fn restart(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError>;

    /// Removes a replica; one that runs only with `force`, which kills it. One that is gone is no error.
    async fn remove(&self, id: &ContainerId, force: bool) -> Result<(), EngineError>;

    /// Runs a command in a replica and gives what it prints to its standard output, at most 64 KiB. One that ends with
    /// another status than 0 is [`EngineError::Refused`], with what it complained of. It is waited for as long as it
    /// runs: the caller limits that. A caller that stops waiting leaves the command running: the engine has no way to
    /// end it.
    async fn exec(&self, id: &ContainerId, command: &[String]) -> Result<String, EngineError>;

    /// What happens from now on. The stream never ends: it reconnects by itself.
    fn events(&self) -> BoxStream<'static, EngineEvent>;

    /// A replica's last resource use, sampled in the background; never waits for the engine.
    fn usage(&self, id: &ContainerId) -> Option<Usage>;

    /// Where a port inside a replica is reached from here; none when it is not.
    fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr>;
}

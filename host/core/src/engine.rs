//! The traits of container engines, in terms of workloads and replicas.
//!
//! Engines differ in what they leave to the host. A [`SlotEngine`] leaves each replica to it: a Docker engine. A
//! [`CountEngine`] places, restarts and heals replicas by itself, and the host sets their number: a Docker Swarm. The
//! Docker adapter and the simulated engine, each its own crate, implement the traits.

use crate::contract::Usage;
use crate::declaration::{Declaration, DeclaredService};
use crate::logs::{LogLine, LogQuery};
use crate::service::{CountChange, Leadership, ServiceState};
use crate::workload::Workload;
use crate::{ContainerId, ImageRef, Replica, Slot, Timestamp, WorkloadKey};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// Why an engine call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine or its container runtime does not respond, so nothing is known about the replicas.
    #[error("the engine is unavailable: {0}")]
    Unavailable(String),
    /// There was no response within the call's time limit. Whether the engine carried out the call is unknown.
    #[error("the engine did not answer within {} s: {operation}", limit.as_secs())]
    TimedOut {
        /// The call, for people.
        operation: String,
        /// The time limit.
        limit: Duration,
    },
    /// The engine's answer to one call is not what its API describes. Other calls may succeed.
    #[error("the engine's answer cannot be read: {0}")]
    Unreadable(String),
    /// The name of a slot belongs to a container that is not the slot's replica.
    #[error("{0}")]
    NameTaken(String),
    /// No container of this instance has this identifier.
    #[error("container `{0}` not found")]
    NotFound(String),
    /// The service changed after it was read. Read it again, and decide again.
    #[error("the service was changed meanwhile: {0}")]
    Stale(String),
    /// A command in a replica ended with another status than 0.
    #[error("{0}")]
    CommandFailed(String),
    /// The engine rejected the request: an invalid command, a taken port, limits it does not allow, an image it cannot
    /// pull.
    #[error("{0}")]
    Refused(String),
}

/// An event on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEvent {
    /// A replica of this workload changed; observe the workload.
    Changed(WorkloadKey),
    /// A signal was sent to a replica's process through the engine, possibly by the host itself. A stop begins so, and
    /// so does a request for a thread dump. The end of the process is another event, [`EngineEvent::Changed`].
    Signalled {
        /// The workload.
        workload: WorkloadKey,
        /// The replica.
        replica: ContainerId,
        /// Time by the engine's clock.
        at: Timestamp,
        /// The signal is SIGKILL. A stop begins so only if it is the container's stop signal.
        kills: bool,
    },
    /// A replica was stopped through the engine, as by `docker stop`. The host itself never stops a replica in this way,
    /// so somebody else meant it. The engine sends the event after the end of the process.
    Stopped {
        /// The workload.
        workload: WorkloadKey,
        /// The replica.
        replica: ContainerId,
        /// Time by the engine's clock.
        at: Timestamp,
    },
    /// The event stream was connected or reconnected; observe everything. Events that the engine still remembers from
    /// before precede it.
    Connected,
    /// The event stream was lost for this reason; it reconnects by itself, with backoff.
    Lost(String),
}

/// The lines of a replica. After an error, no more follow.
pub type LogLines = BoxStream<'static, Result<LogLine, EngineError>>;

/// A container engine that runs replicas.
///
/// Every call has a time limit. All calls except [`Engine::usage`] may wait for the engine. Only containers and services
/// are listed that this Windlass instance created, or that were declared to it by their labels.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Checks that the engine responds.
    async fn ping(&self) -> Result<(), EngineError>;

    /// Lists the replicas of one workload, oldest first. Replicas that disappear meanwhile are left out. A replica that the
    /// engine lists and does not describe has [`Phase::Unknown`](crate::Phase).
    async fn list(&self, workload: &WorkloadKey, declaration: &Declaration) -> Result<Vec<Replica>, EngineError>;

    /// Lists the replicas of all workloads that this instance created, in the order and form of [`Engine::list`].
    async fn list_all(&self) -> Result<Vec<Replica>, EngineError>;

    /// The longest time for which a listing is used again, so that a change may be reported that much later than it happened.
    /// Zero for an engine that is asked each time.
    fn listing_age(&self) -> Duration {
        Duration::ZERO
    }

    /// Lists the services whose labels ask Windlass to scale them, in the order of their keys. An engine that knows no
    /// services lists none.
    async fn declared(&self) -> Result<Vec<DeclaredService>, EngineError> {
        Ok(Vec::new())
    }

    /// Whether a service exists, whatever its labels are. An engine that cannot tell denies it.
    async fn has_service(&self, _declaration: &Declaration) -> Result<bool, EngineError> {
        Ok(false)
    }

    /// The number of CPUs that a container can use. `None` if the engine does not report it.
    async fn cpus(&self) -> Option<u32>;

    /// Runs a command in a replica and returns its standard output, at most 64 KiB.
    ///
    /// An exit status other than 0 is [`EngineError::CommandFailed`], with the command's standard error. The call waits as
    /// long as the command runs, so the caller sets the limit. If the caller stops waiting, the command keeps running:
    /// the engine cannot end it.
    async fn exec(&self, id: &ContainerId, command: &[String]) -> Result<String, EngineError>;

    /// The lines that a replica printed, oldest first. With [`LogQuery::follow`], the stream ends with the replica's process;
    /// if the caller drops it, the engine stops sending. Only the first answer has a time limit.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if no replica has this identifier, and [`EngineError::Refused`] if its lines are not kept.
    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogLines, EngineError>;

    /// The signals and stops that the engine remembers, then [`EngineEvent::Connected`], then events from now on. The
    /// stream never ends: it reconnects by itself.
    fn events(&self) -> BoxStream<'static, EngineEvent>;

    /// A replica's latest resource use, sampled in the background; never waits for the engine.
    fn usage(&self, id: &ContainerId) -> Option<Usage>;

    /// The address at which a port of a replica is reachable from here. `None` if it is not.
    fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr>;
}

/// An engine whose replicas the host creates, starts, stops and removes one by one.
#[async_trait]
pub trait SlotEngine: Engine {
    /// Creates a replica without starting it, and pulls the image if it is missing. A failed create leaves nothing
    /// behind.
    async fn create(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError>;

    /// Makes sure that a replica can be created: its networks exist, and its image is pulled if it is missing.
    async fn prepare(&self, workload: &Workload) -> Result<(), EngineError>;

    /// Pulls an image and returns the engine's identifier of it. If the registry does not provide an image that was built
    /// on the engine, the identifier is that of the engine's image.
    async fn pull(&self, image: &ImageRef) -> Result<String, EngineError>;

    /// Starts a replica's process. A running replica stays as it is.
    async fn start(&self, id: &ContainerId) -> Result<Replica, EngineError>;

    /// Stops a replica's process and kills it after `grace`. A stopped replica stays as it is.
    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError>;

    /// Stops a replica as [`SlotEngine::stop`] does, then starts its process again.
    async fn restart(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError>;

    /// Removes a replica. A running replica is only removed with `force`, which kills it. A missing replica is not an
    /// error.
    async fn remove(&self, id: &ContainerId, force: bool) -> Result<(), EngineError>;
}

/// An engine that keeps a number of replicas of a service by itself. The host sets the number.
#[async_trait]
pub trait CountEngine: Engine {
    /// The service of a workload. `None` if it does not exist.
    async fn service(&self, workload: &Workload) -> Result<Option<ServiceState>, EngineError>;

    /// The node on which a replica of the last listing runs; never waits for the engine. `None` if it has no node, or the
    /// engine does not say.
    fn node(&self, _replica: &ContainerId) -> Option<String> {
        None
    }

    /// Sets the number of replicas, and changes nothing else of the service.
    ///
    /// # Errors
    /// [`EngineError::Stale`] if the service has another version than the one that the decision was made for.
    /// [`EngineError::Refused`] during an update or a rollback, and while one of them is paused, unless the change is forced.
    async fn set_count(&self, workload: &Workload, change: CountChange) -> Result<(), EngineError>;

    /// Creates the service of a managed workload, or changes it to what the workload says, with this number of replicas.
    async fn deploy(&self, workload: &Workload, count: u32) -> Result<(), EngineError>;

    /// Returns the service to its latest specification that this Windlass did not write, with its present count.
    async fn roll_back(&self, workload: &Workload) -> Result<(), EngineError>;

    /// Whether this Windlass acts, if several of one instance share the engine. Never waits for the engine.
    fn leadership(&self) -> Leadership {
        Leadership::Leads
    }

    /// Removes the service of a managed workload. A missing service is not an error.
    async fn remove_service(&self, workload: &Workload) -> Result<(), EngineError>;
}

/// An engine, by what it leaves to the host.
#[derive(Clone)]
pub enum AnyEngine {
    /// The host creates, starts, stops and removes each replica.
    Slots(Arc<dyn SlotEngine>),
    /// The host sets the number of replicas.
    Counts(Arc<dyn CountEngine>),
}

impl AnyEngine {
    /// The engine as one whose replicas the host makes.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if the engine makes them by itself.
    pub fn slots(&self) -> Result<&dyn SlotEngine, EngineError> {
        match self {
            Self::Slots(engine) => Ok(engine.as_ref()),
            Self::Counts(_) => Err(EngineError::Refused(
                "the engine creates, restarts and removes the replicas of a service by itself; change their number \
                 instead"
                    .to_owned(),
            )),
        }
    }

    /// Whether this Windlass acts. Only an engine that keeps a number of replicas is shared.
    pub fn leadership(&self) -> Leadership {
        match self {
            Self::Slots(_) => Leadership::Leads,
            Self::Counts(engine) => engine.leadership(),
        }
    }
}

impl Deref for AnyEngine {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Slots(engine) => engine.as_ref(),
            Self::Counts(engine) => engine.as_ref(),
        }
    }
}

impl<T: SlotEngine> From<Arc<T>> for AnyEngine {
    fn from(engine: Arc<T>) -> Self {
        Self::Slots(engine)
    }
}

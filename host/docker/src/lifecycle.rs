//! Creating, starting, stopping and removing replicas, each decided by what an inspection shows afterwards.

use crate::connect::EngineClient;
use crate::failure::Failure;
use crate::image::Images;
use crate::usage::Table;
use crate::{container, labels};
use bollard::models::{ContainerInspectResponse, NetworkConnectRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use windlass_core::engine::EngineError;
use windlass_core::settings::EngineSettings;
use windlass_core::{ContainerId, Phase, ProbeTarget, Replica, Slot, Workload, WorkloadKey};

/// Inspections in flight at once, of one listing.
const CONCURRENT_INSPECTIONS: usize = 16;
/// Stops in flight for each start that may be: a stop is little work and much waiting for a process.
const STOPS_PER_START: usize = 4;
/// Wait between two looks at something that takes the engine a moment.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Changes the replicas of one instance on one engine. Clones share its limits.
#[derive(Clone)]
pub(crate) struct Lifecycle {
    engine: EngineClient,
    settings: Arc<EngineSettings>,
    images: Images,
    usage: Table,
    starts: Arc<Semaphore>,
    stops: Arc<Semaphore>,
}

impl Lifecycle {
    pub(crate) fn new(
        engine: EngineClient,
        settings: EngineSettings,
        usage: Table,
        config_folder: Option<PathBuf>,
    ) -> Self {
        let starts = usize::try_from(settings.concurrent_actions).unwrap_or(1).clamp(1, 1_000);
        Self {
            images: Images::new(engine.clone(), settings.pull_timeout, config_folder),
            engine,
            settings: Arc::new(settings),
            usage,
            starts: Arc::new(Semaphore::new(starts)),
            stops: Arc::new(Semaphore::new(starts * STOPS_PER_START)),
        }
    }

    pub(crate) fn engine(&self) -> &EngineClient {
        &self.engine
    }

    pub(crate) fn instance(&self) -> &str {
        &self.settings.instance
    }

    pub(crate) async fn list(&self, workload: Option<&WorkloadKey>) -> Result<Vec<Replica>, EngineError> {
        self.engine.facts().await?;
        let filter = labels::filter(self.instance(), workload);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filter).build();
        let summaries = self
            .engine
            .call("list containers", |docker| async move { docker.list_containers(Some(options)).await })
            .await?;
        let looks = stream::iter(summaries.into_iter().filter_map(|summary| summary.id)).map(|id| async move {
            match self.look(&id).await {
                Ok(replica) => Ok(Some(replica)),
                Err(EngineError::NotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let found: Vec<Option<Replica>> = looks.buffer_unordered(CONCURRENT_INSPECTIONS).try_collect().await?;
        let mut replicas: Vec<Replica> = found.into_iter().flatten().collect();
        replicas.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(replicas)
    }

    /// Creates in a task of its own: a caller that gives up half way must not leave half a container.
    pub(crate) async fn create(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        let (this, workload) = (self.clone(), workload.clone());
        match tokio::spawn(async move { this.create_whole(&workload, slot).await }).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(EngineError::Unavailable("windlass is ending".to_owned())),
        }
    }

    async fn create_whole(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        self.engine.facts().await?;
        for network in &workload.networks {
            self.require_network(network).await?;
        }
        let id = match self.create_bare(workload, slot).await {
            Err(failure) if failure.lacks_image() => {
                // Without a permit: a fetch can take minutes, and is no work for what the permits protect.
                self.images.fetch(&workload.image).await?;
                self.create_bare(workload, slot).await?
            }
            outcome => outcome?,
        };
        let finished = async {
            for network in workload.networks.iter().skip(1) {
                self.join(&id, network).await?;
            }
            if workload.probe.as_ref().is_some_and(|probe| probe.target == ProbeTarget::Docker)
                && !self.inspect(&id).await?.as_ref().is_some_and(container::has_health_check)
            {
                return Err(EngineError::Refused(format!(
                    "image `{}` has no HEALTHCHECK, which the probe `docker` is; choose another `probe`",
                    workload.image
                )));
            }
            self.look(&id).await
        };
        match finished.await {
            Ok(replica) => Ok(replica),
            Err(error) => {
                self.discard(&id).await;
                Err(error)
            }
        }
    }

    /// Sends the request that creates a container; answers its identifier.
    async fn create_bare(&self, workload: &Workload, slot: Slot) -> Result<String, Failure> {
        let _permit = permit(&self.starts).await?;
        let body = container::create_body(&self.settings, workload, slot);
        let operation = format!("create a container of `{}`", workload.key);
        let name = labels::container_name(&self.settings, workload, slot);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let outcome = self
            .engine
            .call(&operation, |docker| async move { docker.create_container(Some(options), body).await })
            .await;
        match outcome {
            Ok(created) => Ok(created.id),
            Err(failure) => {
                if !matches!(failure, Failure::Answered { .. }) {
                    // Whether it was created is unknown; if it was, it has this name.
                    self.discard(&name).await;
                }
                Err(failure)
            }
        }
    }

    /// An engine takes the name of a network that is not there, and fails at the start.
    async fn require_network(&self, network: &str) -> Result<(), EngineError> {
        let missing = || EngineError::Refused(format!("network `{}` not found", network.escape_debug()));
        if container::is_network_mode(network) {
            return Ok(());
        }
        if !labels::is_plain(network) {
            return Err(missing());
        }
        let asked = self
            .engine
            .call("inspect network", |docker| async move { docker.inspect_network(network, None).await })
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_missing() => Err(missing()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn join(&self, id: &str, network: &str) -> Result<(), EngineError> {
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: None };
        let joined = self
            .engine
            .call(&format!("join network `{network}`"), |docker| async move {
                docker.connect_network(network, request).await
            })
            .await;
        joined.map_err(EngineError::from)
    }

    /// Removes what a failed create left, as far as the engine lets.
    async fn discard(&self, name_or_id: &str) {
        match self.remove(&ContainerId(name_or_id.to_owned()), true).await {
            Ok(()) | Err(EngineError::NotFound(_)) => {}
            Err(error) => tracing::warn!(container = name_or_id, %error, "cannot remove what a failed create left"),
        }
    }

    pub(crate) async fn start(&self, id: &ContainerId) -> Result<Replica, EngineError> {
        let before = self.look(id.as_str()).await?;
        match before.phase {
            Phase::Running => return Ok(before),
            Phase::Stopping => {
                return Err(EngineError::Refused(format!("container `{}` is being removed", before.name)));
            }
            Phase::Starting | Phase::Exited | Phase::Held => {}
        }
        let _permit = permit(&self.starts).await?;
        let id = before.id.as_str();
        let outcome = self
            .engine
            .call(&format!("start container `{}`", before.name), |docker| async move {
                docker.start_container(id, None).await
            })
            .await;
        self.settle(id, outcome, |after| after.phase == Phase::Running).await
    }

    pub(crate) async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError> {
        let before = self.look(id.as_str()).await?;
        if !before.is_alive() {
            return Ok(before);
        }
        let _permit = permit(&self.stops).await?;
        let id = before.id.as_str();
        let seconds = grace.as_secs().saturating_add(u64::from(grace.subsec_nanos() > 0));
        let options = StopContainerOptionsBuilder::default().t(i32::try_from(seconds).unwrap_or(i32::MAX)).build();
        let limit = grace.saturating_add(self.engine.call_timeout());
        let asked = self
            .engine
            .call_within(limit, &format!("stop container `{}`", before.name), |docker| async move {
                docker.stop_container(id, Some(options)).await
            })
            .await;
        let after = self.look(id).await?;
        if !after.is_alive() {
            return Ok(after);
        }
        tracing::warn!(container = %before.id, failure = ?asked.err(), "still runs after a stop; killing it");
        let killed = self
            .engine
            .call(&format!("kill container `{}`", before.name), |docker| async move {
                docker.kill_container(id, Some(KillContainerOptionsBuilder::default().signal("KILL").build())).await
            })
            .await;
        // The engine answers before the process has ended.
        let deadline = Instant::now() + self.engine.call_timeout();
        while self.look(id).await?.is_alive() && killed.is_ok() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let timed_out = || Failure::TimedOut {
            operation: format!("kill container `{}`", before.name),
            limit: self.engine.call_timeout(),
        };
        self.settle(id, killed.and(Err(timed_out())), |after| !after.is_alive()).await
    }

    pub(crate) async fn remove(&self, id: &ContainerId, force: bool) -> Result<(), EngineError> {
        let before = match self.inspect(id.as_str()).await {
            Ok(Some(inspected)) => self.replica(&inspected).await?,
            Ok(None) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(before) = before else { return Err(EngineError::NotFound(id.to_string())) };
        if before.is_alive() && !force {
            let text = format!("container `{}` is running; stop it first, or remove it with force", before.name);
            return Err(EngineError::Refused(text));
        }
        let _permit = permit(&self.stops).await?;
        let id = before.id.as_str();
        // Volumes without a name go with it: nobody could tell whose they were.
        let options = RemoveContainerOptionsBuilder::default().force(force).v(true).build();
        let operation = format!("remove container `{}`", before.name);
        let outcome = self
            .engine
            .call(&operation, |docker| async move { docker.remove_container(id, Some(options)).await })
            .await;
        let failure = match outcome {
            Ok(()) => {
                self.usage.forget(&before.id);
                return Ok(());
            }
            Err(failure) => failure,
        };
        // Another removal may be under way: then this one is refused and the container is soon gone.
        let in_progress = |failure: &Failure| match failure {
            Failure::Answered { status: 409, message } => message.contains("already in progress"),
            _ => false,
        };
        let deadline = Instant::now() + self.engine.call_timeout();
        while self.inspect(id).await?.is_some() {
            if !in_progress(&failure) {
                return Err(failure.into());
            }
            if Instant::now() >= deadline {
                return Err(EngineError::TimedOut { operation, limit: self.engine.call_timeout() });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.usage.forget(&before.id);
        Ok(())
    }

    /// What came of a change: what an inspection shows, whatever the engine answered.
    async fn settle(
        &self,
        id: &str,
        outcome: Result<(), Failure>,
        is_done: impl FnOnce(&Replica) -> bool,
    ) -> Result<Replica, EngineError> {
        match (outcome, self.look(id).await) {
            (Ok(()), after) => after,
            (Err(_), Ok(after)) if is_done(&after) => Ok(after),
            // A start answers 404 for a missing network too: the container is there.
            (Err(failure), Ok(_)) => Err(failure.into()),
            (Err(_), Err(error)) => Err(error),
        }
    }

    /// One of our containers; any other, and none, is not found.
    async fn look(&self, id: &str) -> Result<Replica, EngineError> {
        let not_found = || EngineError::NotFound(id.to_owned());
        let inspected = self.inspect(id).await?.ok_or_else(not_found)?;
        self.replica(&inspected).await?.ok_or_else(not_found)
    }

    /// Any container; none: there is none of this name or identifier.
    async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        if !labels::is_plain(id) {
            return Ok(None);
        }
        self.engine.facts().await?;
        let inspected = self
            .engine
            .call("inspect container", |docker| async move { docker.inspect_container(id, None).await })
            .await;
        match inspected {
            Ok(inspected) => Ok(Some(inspected)),
            Err(failure) if failure.is_missing() => {
                self.usage.forget(&ContainerId(id.to_owned()));
                Ok(None)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// A container as a replica; none: it is not ours.
    async fn replica(&self, inspected: &ContainerInspectResponse) -> Result<Option<Replica>, EngineError> {
        let ours = inspected.config.as_ref().and_then(|config| config.labels.as_ref());
        if ours.and_then(|labels| labels::identify(labels, self.instance())).is_none() {
            return Ok(None);
        }
        let facts = self.engine.facts().await?;
        let seen = self.usage.observe(inspected);
        let replica = container::replica(inspected, self.instance(), facts, seen);
        Ok(replica.map(|replica| Replica { usage: self.usage.usage(&replica.id), ..replica }))
    }
}

async fn permit(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>, Failure> {
    semaphore.acquire().await.map_err(|_| Failure::Unavailable("windlass is ending".to_owned()))
}

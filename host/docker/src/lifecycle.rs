//! Creates, starts, stops and removes replicas. An inspection afterwards decides the outcome of each.

use crate::call_error::CallError;
use crate::client::EngineClient;
use crate::environment::Environment;
use crate::image::Images;
use crate::network::Networks;
use crate::usage::UsageTable;
use crate::{container, labels};
use bollard::models::{ContainerInspectResponse, ContainerSummary, NetworkConnectRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::stream::{self, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use windlass_core::engine::EngineError;
use windlass_core::settings::EngineSettings;
use windlass_core::{ContainerId, Phase, ProbeTarget, Replica, Slot, Workload, WorkloadKey};

/// Inspections in flight at once for one listing.
const CONCURRENT_INSPECTIONS: usize = 16;
/// The engine has this long to describe one container for a listing. One that hangs must not keep the others waiting.
const INSPECTED_WITHIN: Duration = Duration::from_secs(5);
/// Stops allowed in flight per allowed start: a stop mostly waits for a process.
const STOPS_PER_START: usize = 4;
/// Delay between two inspections while waiting for the engine.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Changes the replicas of one instance on one engine. Clones share the concurrency limits.
#[derive(Clone)]
pub(crate) struct Lifecycle {
    engine: EngineClient,
    settings: Arc<EngineSettings>,
    images: Images,
    networks: Networks,
    usage: UsageTable,
    starts: Arc<Semaphore>,
    stops: Arc<Semaphore>,
}

impl Lifecycle {
    pub(crate) fn new(
        engine: EngineClient,
        settings: EngineSettings,
        usage: UsageTable,
        environment: &Environment,
    ) -> Self {
        let starts = usize::try_from(settings.concurrent_actions).unwrap_or(1).clamp(1, 1_000);
        Self {
            images: Images::new(engine.clone(), settings.pull_timeout, environment.config_folder.clone()),
            networks: Networks::new(engine.clone(), environment.proc_folder.clone()),
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
        self.engine.info().await?;
        let filter = labels::filter(self.instance(), workload);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filter).build();
        let summaries = self
            .engine
            .call("list containers", |docker| async move { docker.list_containers(Some(options)).await })
            .await?;
        let limit = self.engine.call_timeout().min(INSPECTED_WITHIN);
        let inspections = stream::iter(summaries).map(|summary| async move {
            let id = summary.id.clone().unwrap_or_default();
            let inspected = tokio::time::timeout(limit, self.inspect_replica(&id)).await;
            let operation = "inspect container".to_owned();
            match inspected.unwrap_or(Err(EngineError::TimedOut { operation, limit })) {
                Ok(replica) => Ok(Some(replica)),
                Err(EngineError::NotFound(_)) => Ok(None),
                Err(error) => Err((summary, error)),
            }
        });
        let found: Vec<Result<Option<Replica>, (ContainerSummary, EngineError)>> =
            inspections.buffer_unordered(CONCURRENT_INSPECTIONS).collect().await;
        if found.iter().any(Result::is_err) {
            // One bad answer is not a lost engine, unless the engine does not answer at all.
            self.engine.call("ping", |docker| async move { docker.ping().await }).await?;
        }
        let replicas = found.into_iter().filter_map(|one| match one {
            Ok(replica) => replica,
            Err((summary, error)) => container::undescribed_replica(&summary, self.instance(), error.to_string()),
        });
        let mut replicas: Vec<Replica> = replicas.collect();
        replicas.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(replicas)
    }

    /// Creates a replica in its own task, so that a caller that gives up does not leave a half-created container.
    pub(crate) async fn create(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        let (this, workload) = (self.clone(), workload.clone());
        match tokio::spawn(async move { this.create_whole(&workload, slot).await }).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(EngineError::Unavailable("windlass is shutting down".to_owned())),
        }
    }

    async fn create_whole(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        self.require_networks(workload).await?;
        let image = self.images.to_use(workload).await?;
        let id = match self.create_bare(workload, slot, &image).await {
            Err(error) if error.lacks_image() => {
                // Without a permit: a pull can take minutes and does not load what the permits protect.
                self.images.pull_missing(&workload.image).await?;
                self.create_bare(workload, slot, workload.image.as_str()).await?
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
                    "image `{}` has no HEALTHCHECK, which the probe `docker` needs; add one or choose another `probe`",
                    workload.image
                )));
            }
            self.inspect_replica(&id).await
        };
        match finished.await {
            Ok(replica) => Ok(replica),
            Err(error) => {
                self.discard(&id).await;
                Err(error)
            }
        }
    }

    /// Makes sure that a replica can be created: its networks exist, and its image is pulled if it is missing.
    pub(crate) async fn prepare(&self, workload: &Workload) -> Result<(), EngineError> {
        self.require_networks(workload).await?;
        let image = self.images.to_use(workload).await?;
        if self.images.id_of(&image).await?.is_none() {
            self.images.pull_missing(&workload.image).await?;
        }
        Ok(())
    }

    /// The images of the engine.
    pub(crate) fn images(&self) -> &Images {
        &self.images
    }

    async fn require_networks(&self, workload: &Workload) -> Result<(), EngineError> {
        self.engine.info().await?;
        for network in &workload.networks {
            self.require_network(network).await?;
        }
        Ok(())
    }

    /// Sends the create request and returns the container's identifier.
    async fn create_bare(&self, workload: &Workload, slot: Slot, image: &str) -> Result<String, CallError> {
        let _permit = permit(&self.starts).await?;
        let body = container::create_body(&self.settings, workload, slot, image);
        let operation = format!("create a container of `{}`", workload.key);
        let name = labels::container_name(self.instance(), &workload.key, slot);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let outcome = self
            .engine
            .call(&operation, |docker| async move { docker.create_container(Some(options), body).await })
            .await;
        match outcome {
            Ok(created) => Ok(created.id),
            Err(CallError::Response { status: 409, .. }) => Err(self.name_taken(&name, slot).await),
            Err(error) => {
                if !matches!(error, CallError::Response { .. }) {
                    // The container may exist; if it does, it has this name.
                    self.discard(&name).await;
                }
                Err(error)
            }
        }
    }

    /// The error for a name that another container has.
    async fn name_taken(&self, name: &str, slot: Slot) -> CallError {
        let inspected = self
            .engine
            .call("inspect container", |docker| async move { docker.inspect_container(name, None).await })
            .await;
        let by = match inspected {
            Ok(ContainerInspectResponse { id: Some(id), config, .. }) => {
                let image = config.and_then(|config| config.image).unwrap_or_default();
                format!("container {} of image `{image}`", &id[..id.len().min(12)])
            }
            Ok(_) | Err(_) => "another container".to_owned(),
        };
        CallError::NameTaken(format!(
            "the name `{name}` of slot {slot} belongs to {by}, which is not a replica of this workload; rename or remove \
             that container"
        ))
    }

    /// Checks that a network exists. An engine accepts a missing network at creation and then fails at the start.
    async fn require_network(&self, network: &str) -> Result<(), EngineError> {
        let missing = || {
            EngineError::Refused(format!(
                "network `{}` not found; create it or correct `networks`",
                network.escape_debug()
            ))
        };
        if container::is_network_mode(network) {
            return Ok(());
        }
        if !labels::is_plain(network) {
            return Err(missing());
        }
        let inspected = self
            .engine
            .call("inspect network", |docker| async move { docker.inspect_network(network, None).await })
            .await;
        match inspected {
            Ok(_) => Ok(()),
            Err(error) if error.is_missing() => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }

    async fn join(&self, id: &str, network: &str) -> Result<(), EngineError> {
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: None };
        let joined = self
            .engine
            .call(&format!("connect to network `{network}`"), |docker| async move {
                docker.connect_network(network, request).await
            })
            .await;
        joined.map_err(EngineError::from)
    }

    /// Removes the remains of a failed create, as far as the engine allows.
    async fn discard(&self, name_or_id: &str) {
        match self.remove(&ContainerId(name_or_id.to_owned()), true).await {
            Ok(()) | Err(EngineError::NotFound(_)) => {}
            Err(error) => {
                tracing::warn!(
                    container = name_or_id,
                    %error,
                    "cannot remove the container of a failed create; remove it by hand"
                );
            }
        }
    }

    pub(crate) async fn start(&self, id: &ContainerId) -> Result<Replica, EngineError> {
        let before = self.inspect_replica(id.as_str()).await?;
        match before.phase {
            Phase::Running | Phase::Restarting => return Ok(before),
            Phase::Paused => {
                return Err(EngineError::Refused(format!(
                    "container `{0}` is paused; continue it with `docker unpause {0}`",
                    before.name
                )));
            }
            Phase::Stopping | Phase::Dead => {
                return Err(EngineError::Refused(format!(
                    "container `{}` is being removed and cannot be started",
                    before.name
                )));
            }
            Phase::Starting | Phase::Exited | Phase::Held | Phase::Unknown => {}
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

    /// Stops a replica by its stop signal, and kills it after `grace`.
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
        // Anonymous volumes are removed too, because nothing else refers to them.
        let options = RemoveContainerOptionsBuilder::default().force(force).v(true).build();
        let operation = format!("remove container `{}`", before.name);
        let outcome = self
            .engine
            .call(&operation, |docker| async move { docker.remove_container(id, Some(options)).await })
            .await;
        let error = match outcome {
            Ok(()) => {
                self.usage.forget(&before.id);
                return Ok(());
            }
            Err(error) => error,
        };
        // If another removal is in progress, the engine rejects this one and the container is soon gone.
        let in_progress = |error: &CallError| match error {
            CallError::Response { status: 409, message } => message.contains("already in progress"),
            _ => false,
        };
        let deadline = Instant::now() + self.engine.call_timeout();
        while self.inspect(id).await?.is_some() {
            if !in_progress(&error) {
                return Err(error.into());
            }
            if Instant::now() >= deadline {
                return Err(EngineError::TimedOut { operation, limit: self.engine.call_timeout() });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        self.usage.forget(&before.id);
        Ok(())
    }

    /// The outcome of a change according to an inspection, whatever the engine responded.
    async fn settle(
        &self,
        id: &str,
        outcome: Result<(), CallError>,
        is_done: impl FnOnce(&Replica) -> bool,
    ) -> Result<Replica, EngineError> {
        match (outcome, self.inspect_replica(id).await) {
            (Ok(()), after) => after,
            (Err(_), Ok(after)) if is_done(&after) => Ok(after),
            // A start also returns 404 for a missing network; the container exists.
            (Err(error), Ok(_)) => Err(error.into()),
            (Err(_), Err(error)) => Err(error),
        }
    }

    /// Inspects one of our containers. Any other container is reported as not found.
    async fn inspect_replica(&self, id: &str) -> Result<Replica, EngineError> {
        let not_found = || EngineError::NotFound(id.to_owned());
        let inspected = self.inspect(id).await?.ok_or_else(not_found)?;
        self.replica(&inspected).await?.ok_or_else(not_found)
    }

    /// Inspects any container. `None` if none has this name or identifier.
    async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        if !labels::is_plain(id) {
            return Ok(None);
        }
        self.engine.info().await?;
        let inspected = self
            .engine
            .call("inspect container", |docker| async move { docker.inspect_container(id, None).await })
            .await;
        match inspected {
            Ok(inspected) => Ok(Some(inspected)),
            Err(error) if error.is_missing() => {
                self.usage.forget(&ContainerId(id.to_owned()));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Converts an inspection to a replica. `None` if the container is not ours.
    async fn replica(&self, inspected: &ContainerInspectResponse) -> Result<Option<Replica>, EngineError> {
        let labels = inspected.config.as_ref().and_then(|config| config.labels.as_ref());
        if labels.and_then(|labels| labels::identify(labels, self.instance())).is_none() {
            return Ok(None);
        }
        let info = self.engine.info().await?;
        let is_local = self.usage.track(inspected);
        let runs = inspected.state.as_ref().is_some_and(container::runs);
        let address = if runs { self.networks.address(inspected, info, is_local).await } else { None };
        let replica = container::replica(inspected, self.instance(), address);
        Ok(replica.map(|replica| Replica { usage: self.usage.usage(&replica.id), ..replica }))
    }
}

async fn permit(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>, CallError> {
    semaphore.acquire().await.map_err(|_| CallError::Unavailable("windlass is shutting down".to_owned()))
}

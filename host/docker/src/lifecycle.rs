//! Lists, starts and removes replicas; creation and stops are files of their own. An inspection afterwards decides the
//! outcome of each change.

mod create;
mod stop;

use crate::call_error::CallError;
use crate::client::EngineClient;
use crate::compose::copied_files::CopiedFiles;
use crate::environment::Environment;
use crate::image::Images;
use crate::network::Networks;
use crate::usage::UsageTable;
use crate::{container, identity, labels, logs};
use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use futures_util::stream::{self, StreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use windlass_core::engine::{EngineError, LogLines};
use windlass_core::logs::LogQuery;
use windlass_core::settings::EngineSettings;
use windlass_core::{ContainerId, Phase, Replica};

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
    copied_files: CopiedFiles,
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
            copied_files: CopiedFiles::default(),
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

    /// The files that Compose copied into containers.
    pub(crate) fn copied_files(&self) -> &CopiedFiles {
        &self.copied_files
    }

    /// Waits until another container may be created or started.
    pub(crate) async fn start_permit(&self) -> Result<SemaphorePermit<'_>, CallError> {
        permit(&self.starts).await
    }

    /// Lists containers in any state.
    pub(crate) async fn summaries(
        &self,
        filter: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        self.engine.info().await?;
        let options = ListContainersOptionsBuilder::default().all(true).filters(filter).build();
        let listed =
            self.engine.call("list containers", |docker| async move { docker.list_containers(Some(options)).await });
        Ok(listed.await?)
    }

    /// Lists the replicas that pass a filter, oldest first.
    pub(crate) async fn list(&self, filter: &HashMap<String, Vec<String>>) -> Result<Vec<Replica>, EngineError> {
        let summaries = self.summaries(filter).await?;
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
        // Anonymous volumes are removed too, because nothing else refers to them. Compose keeps those of its containers.
        let options = RemoveContainerOptionsBuilder::default().force(force).v(!before.is_of_compose()).build();
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
    pub(crate) async fn inspect_replica(&self, id: &str) -> Result<Replica, EngineError> {
        let not_found = || EngineError::NotFound(id.to_owned());
        let inspected = self.inspect(id).await?.ok_or_else(not_found)?;
        self.replica(&inspected).await?.ok_or_else(not_found)
    }

    /// The lines of a replica.
    pub(crate) async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogLines, EngineError> {
        let not_found = || EngineError::NotFound(id.to_string());
        let inspected = self.inspect(id.as_str()).await?.ok_or_else(not_found)?;
        // A container of others is not found.
        self.replica(&inspected).await?.ok_or_else(not_found)?;
        let has_terminal = inspected.config.and_then(|config| config.tty).unwrap_or_default();
        let path = format!("/containers/{}/logs", id.as_str());
        logs::lines(&self.engine, &path, query, has_terminal).await.map_err(|error| match error {
            error if error.is_missing() => not_found(),
            error => error.into(),
        })
    }

    /// Inspects any container. `None` if none has this name or identifier.
    pub(crate) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
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
        if labels.and_then(|labels| identity::identify(labels, self.instance())).is_none() {
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

//! The background tasks that sample resource use: one reads kernel files, one reads the engine's stats, one finds the
//! running containers.

use crate::call_error::CallError;
use crate::cgroup::{self, Files};
use crate::client::EngineClient;
use crate::compose::labels as compose;
use crate::identity::identify;
use crate::labels;
use crate::usage::stats;
use crate::usage::table::{CounterSample, Source, UsageTable};
use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::stream::{self, StreamExt};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};
use windlass_core::settings::EngineSettings;
use windlass_core::{ContainerId, Timestamp, time};

/// The label of each container of a task.
const OF_TASK: &str = "com.docker.swarm.task.id";
/// Samples between two listings of the running containers. Every inspection elsewhere also updates the table.
const SAMPLES_PER_REFRESH: u32 = 6;
/// Stats requests in flight at once.
const CONCURRENT_STATS: usize = 32;
/// Inspections in flight at once.
const CONCURRENT_INSPECTIONS: usize = 8;

/// The containers that are sampled.
#[derive(Debug, Clone)]
pub(crate) enum Sampled {
    /// Replicas of this instance, and of services that labels declare.
    Of(String),
    /// Tasks of a Swarm on this engine.
    Tasks,
}

impl Sampled {
    /// The filters of the engine's lists that contain them.
    fn filters(&self) -> Vec<HashMap<String, Vec<String>>> {
        match self {
            Self::Of(instance) => vec![labels::filter(instance, None), compose::filter(None)],
            Self::Tasks => vec![HashMap::from([("label".to_owned(), vec![OF_TASK.to_owned()])])],
        }
    }

    fn includes(&self, summary: &ContainerSummary) -> bool {
        match self {
            Self::Of(instance) => summary.labels.as_ref().is_some_and(|labels| identify(labels, instance).is_some()),
            Self::Tasks => true,
        }
    }
}

/// The sampling tasks; dropping it ends them.
pub(crate) struct Sampler(Vec<AbortHandle>);

impl Sampler {
    /// Starts sampling.
    pub(crate) fn start(
        table: &UsageTable,
        engine: &EngineClient,
        settings: &EngineSettings,
        sampled: Sampled,
    ) -> Self {
        // Tests may set an interval of 0, which the configuration rejects.
        let interval = settings.sample_interval.max(Duration::from_millis(1));
        let ticker = move |period: Duration| {
            let mut ticker = tokio::time::interval(period);
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticker
        };
        let files = {
            let table = table.clone();
            tokio::spawn(async move {
                let origin = Instant::now();
                let mut ticker = ticker(interval);
                loop {
                    let first_only = tokio::select! {
                        _ = ticker.tick() => false,
                        () = table.inner.added.notified() => true,
                    };
                    table.sample_files(origin, first_only).await;
                }
            })
        };
        let stats = {
            let (table, engine) = (table.clone(), engine.clone());
            tokio::spawn(async move {
                let mut ticker = ticker(interval);
                loop {
                    ticker.tick().await;
                    table.sample_engine(&engine).await;
                }
            })
        };
        let refresh = {
            let (table, engine) = (table.clone(), engine.clone());
            tokio::spawn(async move {
                let mut ticker = ticker(interval.saturating_mul(SAMPLES_PER_REFRESH));
                loop {
                    ticker.tick().await;
                    if let Err(error) = table.refresh(&engine, &sampled).await {
                        tracing::debug!(
                            ?error,
                            "cannot list the running containers; resource use of new ones is not sampled yet"
                        );
                    }
                }
            })
        };
        Self([files, stats, refresh].iter().map(tokio::task::JoinHandle::abort_handle).collect())
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl UsageTable {
    /// Reads the files of all containers that have them here. With `first_only`, only those without a first sample.
    async fn sample_files(&self, origin: Instant, first_only: bool) {
        let chosen: Vec<(ContainerId, u32, Arc<Files>)> = self
            .targets()
            .iter()
            .filter(|(_, target)| !first_only || target.previous.is_none())
            .filter_map(|(id, target)| match &target.source {
                Source::Files(files) => Some((id.clone(), target.pid, Arc::clone(files))),
                Source::Engine => None,
            })
            .collect();
        if chosen.is_empty() {
            return;
        }
        let pass = tokio::task::spawn_blocking(move || {
            let results = cgroup::sample(chosen.iter().map(|(_, _, files)| files.as_ref()));
            chosen.into_iter().zip(results).collect::<Vec<_>>()
        });
        let Ok(results) = pass.await else { return };
        let at = now();
        let mut targets = self.targets();
        for ((id, pid, _), (read_at, result)) in results {
            // The container was restarted meanwhile, so this sample belongs to the previous process.
            let Some(target) = targets.get_mut(&id).filter(|target| target.pid == pid) else { continue };
            match result {
                Ok(counters) => {
                    let sample = CounterSample { clock: read_at.saturating_duration_since(origin), counters };
                    target.record(sample, at, self.inner.shortest_gap);
                }
                Err(error) if is_gone(&error) => {
                    targets.remove(&id);
                }
                Err(error) => {
                    tracing::debug!(container = %id, %error, "cannot read kernel files; using the engine's stats");
                    target.source = Source::Engine;
                    target.previous = None;
                }
            }
        }
    }

    /// Fetches the engine's stats of all containers without files here.
    async fn sample_engine(&self, engine: &EngineClient) {
        let chosen: Vec<(ContainerId, u32)> = self
            .targets()
            .iter()
            .filter(|(_, target)| matches!(target.source, Source::Engine))
            .map(|(id, target)| (id.clone(), target.pid))
            .collect();
        let responses = stream::iter(chosen).map(|(id, pid)| async move {
            let sample = stats::fetch(engine, &id).await;
            (id, pid, sample)
        });
        let mut responses = std::pin::pin!(responses.buffer_unordered(CONCURRENT_STATS));
        while let Some((id, pid, sample)) = responses.next().await {
            let mut targets = self.targets();
            match sample {
                Ok(Some(sample)) => {
                    if let Some(target) = targets.get_mut(&id).filter(|target| target.pid == pid) {
                        target.record(sample, now(), self.inner.shortest_gap);
                    }
                }
                Ok(None) => {
                    targets.remove(&id);
                }
                Err(error) if error.is_missing() => {
                    targets.remove(&id);
                }
                Err(error) => {
                    tracing::debug!(container = %id, ?error, "cannot read the container's stats from the engine");
                }
            }
        }
    }

    /// Finds running containers that no inspection has added yet.
    async fn refresh(&self, engine: &EngineClient, sampled: &Sampled) -> Result<(), CallError> {
        let known_before: HashSet<ContainerId> = self.targets().keys().cloned().collect();
        let mut running: HashSet<ContainerId> = HashSet::new();
        for filter in sampled.filters() {
            let options = ListContainersOptionsBuilder::default().filters(&filter).build();
            let listed = engine
                .call("list running containers", |docker| async move { docker.list_containers(Some(options)).await })
                .await?;
            let listed = listed.into_iter().filter(|summary| sampled.includes(summary));
            running.extend(listed.filter_map(|summary| summary.id.map(ContainerId)));
        }
        self.targets().retain(|id, _| running.contains(id) || !known_before.contains(id));
        let unknown: Vec<_> = running.difference(&known_before).cloned().collect();
        let inspections = stream::iter(unknown).map(|id| async move {
            engine
                .call("inspect container", |docker| async move { docker.inspect_container(id.as_str(), None).await })
                .await
        });
        let mut inspections = std::pin::pin!(inspections.buffer_unordered(CONCURRENT_INSPECTIONS));
        while let Some(inspected) = inspections.next().await {
            match inspected {
                Ok(inspected) => {
                    self.track(&inspected);
                }
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether the error is that of reading files of a process or control group that has ended.
fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::NotFound
        || [Errno::SRCH, Errno::NODEV].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, time::millis))
}

//! What each running replica uses, sampled in the background; reading it never waits.
//!
//! Where the kernel's files of a container are here they are read, all within one pass; else the engine is
//! asked, which takes it a second each. Both give counters, and a rate is the difference to our own previous
//! sample, so that a figure is there from the second sample on.

use crate::cgroup::{Counters, Files, Roots};
use crate::connect::EngineClient;
use crate::failure::Failure;
use crate::{cgroup, container, labels};
use bollard::models::{ContainerInspectResponse, ContainerStatsResponse};
use bollard::query_parameters::{ListContainersOptionsBuilder, StatsOptionsBuilder};
use futures_util::stream::{self, StreamExt};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};
use windlass_core::contract::Usage;
use windlass_core::settings::EngineSettings;
use windlass_core::{ContainerId, Timestamp, time};

/// Samples from one look at which containers run to the next; every look of the runtime's tells too.
const SAMPLES_PER_REFRESH: u32 = 6;
/// Calls to the engine in flight at once.
const CONCURRENT_STATS: usize = 32;
/// Inspections in flight at once.
const CONCURRENT_INSPECTIONS: usize = 8;

/// What the containers of this instance use. Clones share it.
#[derive(Clone)]
pub(crate) struct Table {
    shared: Arc<Shared>,
}

struct Shared {
    /// None: this machine does not show such files.
    roots: Option<Roots>,
    /// Two samples nearer to each other than this say little; the later one is left out.
    shortest_gap: Duration,
    targets: Mutex<HashMap<ContainerId, Target>>,
    /// A container was added that has no first sample yet.
    added: Notify,
    /// A container's process was seen on this machine.
    seen: AtomicBool,
}

/// One running container.
struct Target {
    pid: u32,
    source: Source,
    /// Its process was seen on this machine.
    seen: bool,
    previous: Option<Reading>,
    usage: Option<Usage>,
}

#[derive(Clone)]
enum Source {
    Files(Arc<Files>),
    Engine,
}

/// Counters, and when they were read by the clock of their source.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    clock: Duration,
    counters: Counters,
}

impl Target {
    /// Takes a reading in: a rate from the one before. A counter that went down is of a new process.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    fn take(&mut self, reading: Reading, at: Timestamp, shortest_gap: Duration) {
        let before = match self.previous {
            Some(before) if reading.counters.cpu_nanoseconds >= before.counters.cpu_nanoseconds => before,
            _ => {
                self.previous = Some(reading);
                self.usage = None;
                return;
            }
        };
        let gap = reading.clock.saturating_sub(before.clock);
        if gap.is_zero() || gap < shortest_gap {
            return;
        }
        let (new, old) = (reading.counters, before.counters);
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / gap.as_secs_f64();
        self.previous = Some(reading);
        self.usage = Some(Usage {
            at,
            cpu_cores: rate(new.cpu_nanoseconds, old.cpu_nanoseconds) / 1e9,
            memory_bytes: new.memory_bytes,
            network_receive_rate: rate(new.received_bytes, old.received_bytes),
            network_transmit_rate: rate(new.transmitted_bytes, old.transmitted_bytes),
        });
    }
}

impl Table {
    /// An empty table. `roots`: where the kernel's files are, if they can be read at all.
    pub(crate) fn new(roots: Option<Roots>, interval: Duration) -> Self {
        let shared = Shared {
            roots,
            shortest_gap: interval / 4,
            targets: Mutex::default(),
            added: Notify::new(),
            seen: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The last known use of a container; none before its second sample and when it does not run.
    pub(crate) fn usage(&self, id: &ContainerId) -> Option<Usage> {
        self.targets().get(id)?.usage
    }

    /// The process of some container was seen on this machine.
    pub(crate) fn has_seen_any(&self) -> bool {
        self.shared.seen.load(Ordering::Relaxed)
    }

    /// Takes note of a container of ours as an inspection showed it: samples it from now on, or no longer.
    /// Says whether its process was seen on this machine.
    pub(crate) fn observe(&self, inspected: &ContainerInspectResponse) -> bool {
        let Some(id) = inspected.id.clone().map(ContainerId) else { return false };
        let state = inspected.state.as_ref().filter(|state| container::runs(state));
        let pid = state.and_then(|state| u32::try_from(state.pid?).ok()).filter(|pid| *pid > 0);
        let Some(pid) = pid else {
            self.targets().remove(&id);
            return false;
        };
        if let Some(known) = self.targets().get(&id).filter(|known| known.pid == pid) {
            return known.seen;
        }
        let network = !container::uses_host_network(inspected);
        let files = self.shared.roots.as_ref().and_then(|roots| roots.locate(id.as_str(), pid, network));
        let seen = files.is_some();
        let source = files.map_or(Source::Engine, |files| Source::Files(Arc::new(files)));
        self.targets().insert(id, Target { pid, source, seen, previous: None, usage: None });
        if seen {
            self.shared.seen.store(true, Ordering::Relaxed);
            self.shared.added.notify_one();
        }
        seen
    }

    /// Drops a container that is gone.
    pub(crate) fn forget(&self, id: &ContainerId) {
        self.targets().remove(id);
    }

    fn targets(&self) -> MutexGuard<'_, HashMap<ContainerId, Target>> {
        self.shared.targets.lock()
    }

    /// Reads the files of all containers that have any; `first_only`: of those without a first sample.
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
            // Started again meanwhile: this reading is of the process before.
            let Some(target) = targets.get_mut(&id).filter(|target| target.pid == pid) else { continue };
            match result {
                Ok(counters) => {
                    let reading = Reading { clock: read_at.saturating_duration_since(origin), counters };
                    target.take(reading, at, self.shared.shortest_gap);
                }
                Err(error) if is_gone(&error) => {
                    targets.remove(&id);
                }
                Err(error) => {
                    tracing::debug!(container = %id, %error, "cannot read what it uses; asking the engine instead");
                    target.source = Source::Engine;
                    target.previous = None;
                }
            }
        }
    }

    /// Asks the engine about all containers that have no files here.
    async fn sample_engine(&self, engine: &EngineClient) {
        let chosen: Vec<(ContainerId, u32)> = self
            .targets()
            .iter()
            .filter(|(_, target)| matches!(target.source, Source::Engine))
            .map(|(id, target)| (id.clone(), target.pid))
            .collect();
        let answers = stream::iter(chosen).map(|(id, pid)| async move {
            let reading = ask_engine(engine, &id).await;
            (id, pid, reading)
        });
        let mut answers = std::pin::pin!(answers.buffer_unordered(CONCURRENT_STATS));
        while let Some((id, pid, reading)) = answers.next().await {
            let mut targets = self.targets();
            match reading {
                Ok(Some(reading)) => {
                    if let Some(target) = targets.get_mut(&id).filter(|target| target.pid == pid) {
                        target.take(reading, now(), self.shared.shortest_gap);
                    }
                }
                Ok(None) => {
                    targets.remove(&id);
                }
                Err(failure) if failure.is_missing() => {
                    targets.remove(&id);
                }
                Err(failure) => tracing::debug!(container = %id, ?failure, "no figures from the engine"),
            }
        }
    }

    /// Looks at which containers run, for those that nobody looked at.
    async fn refresh(&self, engine: &EngineClient, instance: &str) -> Result<(), Failure> {
        let known_before: HashSet<ContainerId> = self.targets().keys().cloned().collect();
        let options = ListContainersOptionsBuilder::default().filters(&labels::filter(instance, None)).build();
        let running = engine
            .call("list running containers", |docker| async move { docker.list_containers(Some(options)).await })
            .await?;
        let running: HashSet<ContainerId> =
            running.into_iter().filter_map(|summary| summary.id.map(ContainerId)).collect();
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
                    self.observe(&inspected);
                }
                Err(failure) if failure.is_missing() => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}

/// The tasks that sample; they end when this is dropped.
pub(crate) struct Sampler(Vec<AbortHandle>);

impl Sampler {
    /// Begins to sample.
    pub(crate) fn start(table: &Table, engine: &EngineClient, settings: &EngineSettings) -> Self {
        // Tests may set what no configuration allows.
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
                        () = table.shared.added.notified() => true,
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
            let (table, engine, instance) = (table.clone(), engine.clone(), settings.instance.clone());
            tokio::spawn(async move {
                let mut ticker = ticker(interval.saturating_mul(SAMPLES_PER_REFRESH));
                loop {
                    ticker.tick().await;
                    if let Err(failure) = table.refresh(&engine, &instance).await {
                        tracing::debug!(?failure, "cannot see which containers run");
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

/// The engine's own figures: none when the container does not run, which it shows as zeroes.
async fn ask_engine(engine: &EngineClient, id: &ContainerId) -> Result<Option<Reading>, Failure> {
    // Without `one_shot` the engine takes two samples itself, a second apart.
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let stats = engine
        .call("ask what a container uses", |docker| async move {
            docker.stats(id.as_str(), Some(options)).next().await.transpose()
        })
        .await?;
    Ok(stats.as_ref().and_then(reading))
}

fn reading(stats: &ContainerStatsResponse) -> Option<Reading> {
    let memory = stats.memory_stats.as_ref()?;
    let used = memory.usage?;
    let inactive = memory.stats.as_ref().map_or(0, |stats| {
        let of_v1 = stats.get("total_inactive_file");
        of_v1.or_else(|| stats.get("inactive_file")).copied().unwrap_or_default()
    });
    let traffic = |of: fn(&bollard::models::ContainerNetworkStats) -> Option<u64>| {
        stats.networks.iter().flatten().filter_map(|(_, network)| of(network)).fold(0, u64::saturating_add)
    };
    let read_at: jiff::Timestamp = stats.read.as_deref()?.parse().ok()?;
    Some(Reading {
        clock: Duration::try_from(read_at.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()?,
        counters: Counters {
            cpu_nanoseconds: stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?,
            memory_bytes: used.saturating_sub(inactive),
            received_bytes: traffic(|network| network.rx_bytes),
            transmitted_bytes: traffic(|network| network.tx_bytes),
        },
    })
}

/// What the kernel says of the files of a process or group that has ended.
fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::NotFound
        || [Errno::SRCH, Errno::NODEV].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, time::millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_millis(100);

    fn target() -> Target {
        Target { pid: 7, source: Source::Engine, seen: false, previous: None, usage: None }
    }

    fn read(seconds: f64, cpu_seconds: f64, received: u64) -> Reading {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive figures")]
        let cpu_nanoseconds = (cpu_seconds * 1e9) as u64;
        let counters = Counters { cpu_nanoseconds, memory_bytes: 5, received_bytes: received, transmitted_bytes: 0 };
        Reading { clock: Duration::from_secs_f64(seconds), counters }
    }

    #[test]
    fn a_rate_is_the_difference_of_two_samples() {
        let mut target = target();
        target.take(read(10.0, 1.0, 100), Timestamp(1), GAP);
        assert_eq!(target.usage, None);
        target.take(read(12.0, 2.0, 300), Timestamp(2), GAP);
        let usage = target.usage.unwrap();
        assert_eq!((usage.at, usage.memory_bytes), (Timestamp(2), 5));
        assert!((usage.cpu_cores - 0.5).abs() < 1e-9 && (usage.network_receive_rate - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_counter_that_went_down_begins_anew() {
        let mut target = target();
        target.take(read(10.0, 5.0, 0), Timestamp(1), GAP);
        target.take(read(12.0, 6.0, 0), Timestamp(2), GAP);
        target.take(read(14.0, 0.1, 0), Timestamp(3), GAP);
        assert_eq!(target.usage, None);
        target.take(read(16.0, 0.3, 0), Timestamp(4), GAP);
        assert!((target.usage.unwrap().cpu_cores - 0.1).abs() < 1e-9);
    }

    #[test]
    fn samples_too_near_to_each_other_say_nothing() {
        let mut target = target();
        target.take(read(10.0, 1.0, 0), Timestamp(1), GAP);
        target.take(read(10.001, 1.1, 0), Timestamp(2), GAP);
        assert_eq!(target.usage, None);
        target.take(read(11.0, 2.0, 0), Timestamp(3), GAP);
        assert!((target.usage.unwrap().cpu_cores - 1.0).abs() < 1e-9);
    }

    fn stats(json: serde_json::Value) -> Option<Reading> {
        reading(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn the_engines_figures_are_read_for_both_kinds_of_groups() {
        for inactive in ["total_inactive_file", "inactive_file"] {
            let reading = stats(serde_json::json!({
                "read": "1970-01-01T00:00:02.5Z",
                "cpu_stats": {"cpu_usage": {"total_usage": 77}},
                "memory_stats": {"usage": 1000, "stats": {inactive: 300}},
                "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}}
            }))
            .unwrap();
            let expected =
                Counters { cpu_nanoseconds: 77, memory_bytes: 700, received_bytes: 11, transmitted_bytes: 22 };
            assert_eq!(reading, Reading { clock: Duration::from_millis(2500), counters: expected });
        }
    }

    #[test]
    fn figures_of_a_stopped_container_are_none_rather_than_zero() {
        let stopped = serde_json::json!({"read": "0001-01-01T00:00:00Z", "memory_stats": {},
            "cpu_stats": {"cpu_usage": {"total_usage": 0}}});
        assert_eq!(stats(stopped), None);
    }

    #[test]
    fn a_container_is_watched_while_it_runs() {
        let table = Table::new(None, Duration::from_secs(1));
        let id = ContainerId("ab".to_owned());
        let inspected = |status: &str, pid: i64| {
            let json = serde_json::json!({"Id": "ab", "State": {"Status": status, "Pid": pid}});
            serde_json::from_value::<ContainerInspectResponse>(json).unwrap()
        };
        assert!(!table.observe(&inspected("running", 7)));
        table.targets().get_mut(&id).unwrap().take(read(1.0, 1.0, 0), Timestamp(1), GAP);
        table.targets().get_mut(&id).unwrap().take(read(2.0, 1.5, 0), Timestamp(2), GAP);
        table.observe(&inspected("running", 7));
        assert!(table.usage(&id).is_some());
        table.observe(&inspected("running", 8));
        assert_eq!(table.usage(&id), None, "a new process has no figures yet");
        table.observe(&inspected("exited", 0));
        assert!(table.targets().is_empty());
    }
}

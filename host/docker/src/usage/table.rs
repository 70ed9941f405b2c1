//! The last counters of each running container and the resource use computed from them.

use crate::cgroup::{Counters, Files, Roots};
use crate::container;
use bollard::models::ContainerInspectResponse;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use windlass_core::contract::Usage;
use windlass_core::{ContainerId, Timestamp};

/// Resource use of this instance's containers. Clones share it.
#[derive(Clone)]
pub(crate) struct UsageTable {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// `None` if this machine has no readable control group files.
    roots: Option<Roots>,
    /// A sample this soon after the previous one is dropped: its rate would be noise.
    pub(super) shortest_gap: Duration,
    targets: Mutex<HashMap<ContainerId, Target>>,
    /// Notified when a container without a first sample is added.
    pub(super) added: Notify,
    /// A container process was found on this machine.
    is_local: AtomicBool,
}

/// One running container.
pub(super) struct Target {
    pub(super) pid: u32,
    pub(super) source: Source,
    /// Its process was found on this machine.
    is_local: bool,
    pub(super) previous: Option<CounterSample>,
    usage: Option<Usage>,
}

#[derive(Clone)]
pub(super) enum Source {
    Files(Arc<Files>),
    Engine,
}

/// Counters and their reading time, by the clock of their source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CounterSample {
    pub(super) clock: Duration,
    pub(super) counters: Counters,
}

impl Target {
    /// Records a sample and computes rates from the previous one. A CPU counter that went down belongs to a new
    /// process, so the rates start over.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    pub(super) fn record(&mut self, sample: CounterSample, at: Timestamp, shortest_gap: Duration) {
        let before = match self.previous {
            Some(before) if sample.counters.cpu_nanoseconds >= before.counters.cpu_nanoseconds => before,
            _ => {
                self.previous = Some(sample);
                self.usage = None;
                return;
            }
        };
        let gap = sample.clock.saturating_sub(before.clock);
        if gap.is_zero() || gap < shortest_gap {
            return;
        }
        let (new, old) = (sample.counters, before.counters);
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / gap.as_secs_f64();
        self.previous = Some(sample);
        self.usage = Some(Usage {
            at,
            cpu_cores: rate(new.cpu_nanoseconds, old.cpu_nanoseconds) / 1e9,
            memory_bytes: new.memory_bytes,
            network_receive_rate: rate(new.received_bytes, old.received_bytes),
            network_transmit_rate: rate(new.transmitted_bytes, old.transmitted_bytes),
            network_is_unknown: false,
        });
    }
}

impl UsageTable {
    /// An empty table. `roots` is `None` if this machine has no readable control group files.
    pub(crate) fn new(roots: Option<Roots>, interval: Duration) -> Self {
        let inner = Inner {
            roots,
            shortest_gap: interval / 4,
            targets: Mutex::default(),
            added: Notify::new(),
            is_local: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The last known resource use of a container. `None` before its second sample and if it does not run.
    pub(crate) fn usage(&self, id: &ContainerId) -> Option<Usage> {
        self.targets().get(id)?.usage
    }

    /// Whether the process of any container was found on this machine.
    pub(crate) fn any_is_local(&self) -> bool {
        self.inner.is_local.load(Ordering::Relaxed)
    }

    /// Starts or stops sampling a container according to its inspection. Returns whether its process was found on this
    /// machine.
    pub(crate) fn track(&self, inspected: &ContainerInspectResponse) -> bool {
        let Some(id) = inspected.id.clone().map(ContainerId) else { return false };
        let state = inspected.state.as_ref().filter(|state| container::runs(state));
        let pid = state.and_then(|state| u32::try_from(state.pid?).ok()).filter(|pid| *pid > 0);
        let Some(pid) = pid else {
            self.targets().remove(&id);
            return false;
        };
        if let Some(known) = self.targets().get(&id).filter(|known| known.pid == pid) {
            return known.is_local;
        }
        let network = !container::uses_host_network(inspected);
        let files = self.inner.roots.as_ref().and_then(|roots| roots.locate(id.as_str(), pid, network));
        let is_local = files.is_some();
        let source = files.map_or(Source::Engine, |files| Source::Files(Arc::new(files)));
        self.targets().insert(id, Target { pid, source, is_local, previous: None, usage: None });
        if is_local {
            self.inner.is_local.store(true, Ordering::Relaxed);
            self.inner.added.notify_one();
        }
        is_local
    }

    /// Drops a removed container.
    pub(crate) fn forget(&self, id: &ContainerId) {
        self.targets().remove(id);
    }

    pub(super) fn targets(&self) -> MutexGuard<'_, HashMap<ContainerId, Target>> {
        self.inner.targets.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_millis(100);

    fn target() -> Target {
        Target { pid: 7, source: Source::Engine, is_local: false, previous: None, usage: None }
    }

    fn read(seconds: f64, cpu_seconds: f64, received: u64) -> CounterSample {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive figures")]
        let cpu_nanoseconds = (cpu_seconds * 1e9) as u64;
        let counters = Counters { cpu_nanoseconds, memory_bytes: 5, received_bytes: received, transmitted_bytes: 0 };
        CounterSample { clock: Duration::from_secs_f64(seconds), counters }
    }

    #[test]
    fn a_rate_is_the_difference_of_two_samples() {
        let mut target = target();
        target.record(read(10.0, 1.0, 100), Timestamp(1), GAP);
        assert_eq!(target.usage, None);
        target.record(read(12.0, 2.0, 300), Timestamp(2), GAP);
        let usage = target.usage.unwrap();
        assert_eq!((usage.at, usage.memory_bytes), (Timestamp(2), 5));
        assert!((usage.cpu_cores - 0.5).abs() < 1e-9 && (usage.network_receive_rate - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_counter_that_went_down_begins_anew() {
        let mut target = target();
        target.record(read(10.0, 5.0, 0), Timestamp(1), GAP);
        target.record(read(12.0, 6.0, 0), Timestamp(2), GAP);
        target.record(read(14.0, 0.1, 0), Timestamp(3), GAP);
        assert_eq!(target.usage, None);
        target.record(read(16.0, 0.3, 0), Timestamp(4), GAP);
        assert!((target.usage.unwrap().cpu_cores - 0.1).abs() < 1e-9);
    }

    #[test]
    fn samples_too_near_to_each_other_say_nothing() {
        let mut target = target();
        target.record(read(10.0, 1.0, 0), Timestamp(1), GAP);
        target.record(read(10.001, 1.1, 0), Timestamp(2), GAP);
        assert_eq!(target.usage, None);
        target.record(read(11.0, 2.0, 0), Timestamp(3), GAP);
        assert!((target.usage.unwrap().cpu_cores - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_container_is_watched_while_it_runs() {
        let table = UsageTable::new(None, Duration::from_secs(1));
        let id = ContainerId("ab".to_owned());
        let inspected = |status: &str, pid: i64| {
            let json = serde_json::json!({"Id": "ab", "State": {"Status": status, "Pid": pid}});
            serde_json::from_value::<ContainerInspectResponse>(json).unwrap()
        };
        assert!(!table.track(&inspected("running", 7)));
        table.targets().get_mut(&id).unwrap().record(read(1.0, 1.0, 0), Timestamp(1), GAP);
        table.targets().get_mut(&id).unwrap().record(read(2.0, 1.5, 0), Timestamp(2), GAP);
        table.track(&inspected("running", 7));
        assert!(table.usage(&id).is_some());
        table.track(&inspected("running", 8));
        assert_eq!(table.usage(&id), None, "a new process has no figures yet");
        table.track(&inspected("exited", 0));
        assert!(table.targets().is_empty());
    }
}

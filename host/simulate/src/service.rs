//! A model of a service: replicas with a fixed capacity and start-up time that share a queue.

use crate::replica::simulated;
use std::time::Duration;
use windlass_core::contract::{HealthStatus, Usage};
use windlass_core::{ContainerId, Phase, Replica, Slot, Snapshot, Step, Timestamp, Workload};

/// Name of the metric of queued load.
pub const QUEUE: &str = "queue-length";

/// Parameters of the service model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServiceModel {
    /// Load units that one ready replica serves per second; above 0.
    pub capacity: f64,
    /// Time from a replica's creation to its readiness.
    pub start_up: Duration,
    /// Load units that may be queued in total; more are dropped.
    pub queue: f64,
}

/// The load served in a time step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Stretch {
    pub(crate) offered: f64,
    pub(crate) dropped: f64,
    /// Utilization of all ready replicas: 0 to 1.
    pub(crate) utilization: f64,
}

/// The service in a simulation.
pub(crate) struct Service {
    model: ServiceModel,
    replicas: Vec<Replica>,
    created: u64,
    queue: f64,
    /// Recent utilization: 0 to 1.
    utilization: f64,
}

impl Service {
    /// A service with this many replicas, ready for an hour.
    pub(crate) fn new(model: ServiceModel, workload: &Workload, replicas: u32, now: Timestamp) -> Self {
        let mut service = Self { model, replicas: Vec::new(), created: 0, queue: 0.0, utilization: 0.0 };
        let long_ago = Timestamp(now.0.saturating_sub(3_600_000));
        for slot in 1..=replicas {
            service.create(workload, Slot(slot), long_ago);
        }
        service
    }

    fn create(&mut self, workload: &Workload, slot: Slot, now: Timestamp) {
        self.created += 1;
        self.replicas.push(simulated(workload, ContainerId(format!("{:012}", self.created)), slot, now));
    }

    fn is_ready(&self, replica: &Replica, now: Timestamp) -> bool {
        let is_up = replica.started_at.is_some_and(|started| now.since(started) >= self.model.start_up);
        replica.phase == Phase::Running && is_up
    }

    /// Number of replicas whose process runs.
    pub(crate) fn running(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.phase == Phase::Running).count()
    }

    /// Number of replicas that serve load now.
    pub(crate) fn ready(&self, now: Timestamp) -> usize {
        self.replicas.iter().filter(|replica| self.is_ready(replica, now)).count()
    }

    /// Load units in the queue.
    pub(crate) fn queue(&self) -> f64 {
        self.queue
    }

    /// The snapshot that the host would observe.
    pub(crate) fn snapshot(&self, workload: &Workload, now: Timestamp) -> Snapshot {
        let cores = workload.resources.cpu.cores();
        let replicas = self.replicas.iter().map(|replica| {
            let cpu_cores = if self.is_ready(replica, now) { self.utilization * cores } else { 0.0 };
            let usage = Usage {
                at: now,
                cpu_cores,
                memory_bytes: 0,
                network_receive_rate: 0.0,
                network_transmit_rate: 0.0,
                network_is_unknown: false,
            };
            Replica { usage: (replica.phase == Phase::Running).then_some(usage), ..replica.clone() }
        });
        let health = self.replicas.iter().map(|replica| {
            let health = if self.is_ready(replica, now) { HealthStatus::Healthy } else { HealthStatus::Starting };
            (replica.id.clone(), health)
        });
        Snapshot { at: now, replicas: replicas.collect(), health: health.collect(), ..Snapshot::default() }
    }

    /// Carries out the steps of a plan.
    pub(crate) fn act(&mut self, workload: &Workload, steps: &[Step], now: Timestamp) {
        for step in steps {
            match step {
                Step::Create { slot, .. } => self.create(workload, *slot, now),
                Step::Remove { replica, .. } => self.replicas.retain(|known| known.id != *replica),
                Step::Replace { replica, slot, .. }
                | Step::Supersede { replica, slot, .. }
                | Step::Renew { replica, slot, .. } => {
                    self.replicas.retain(|known| known.id != *replica);
                    self.create(workload, *slot, now);
                }
                Step::Start { replica, .. } | Step::Restart { replica, .. } => {
                    if let Some(known) = self.replicas.iter_mut().find(|known| known.id == *replica) {
                        (known.started_at, known.phase) = (Some(now), Phase::Running);
                    }
                }
                Step::SetCount { to, .. } | Step::Deploy { count: to, .. } => {
                    let to = usize::try_from(*to).unwrap_or(usize::MAX);
                    // The highest slots go first.
                    self.replicas.sort_by_key(|replica| replica.slot);
                    self.replicas.truncate(to);
                    while self.replicas.len() < to {
                        let free = (1..).map(Slot).find(|slot| !self.replicas.iter().any(|known| known.slot == *slot));
                        self.create(workload, free.unwrap_or(Slot(1)), now);
                    }
                }
            }
        }
    }

    /// Ends the processes that became ready between the two times.
    pub(crate) fn crash(&mut self, since: Timestamp, now: Timestamp) {
        let start_up = self.model.start_up;
        for replica in self.replicas.iter_mut().filter(|replica| replica.phase == Phase::Running) {
            let comes_up = replica.started_at.map(|started| started.plus(start_up));
            if comes_up.is_some_and(|up| up > since && up <= now) {
                (replica.phase, replica.exit_code, replica.finished_at) = (Phase::Exited, Some(1), Some(now));
            }
        }
    }

    /// Serves a constant load for a time step.
    pub(crate) fn serve(&mut self, load: f64, now: Timestamp, time: Duration) -> Stretch {
        let seconds = time.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "replicas are at most a thousand")]
        let capacity = self.ready(now) as f64 * self.model.capacity * seconds;
        let offered = load * seconds;
        let waiting = self.queue + offered;
        let served = waiting.min(capacity);
        let left = waiting - served;
        self.queue = left.min(self.model.queue);
        self.utilization = if capacity > 0.0 { served / capacity } else { 0.0 };
        Stretch { offered, dropped: left - self.queue, utilization: self.utilization }
    }

    /// Sets the mean utilization since the last pass, which the next snapshot reports.
    pub(crate) fn note_utilization(&mut self, mean: f64) {
        self.utilization = mean;
    }
}

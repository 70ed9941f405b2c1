//! The handle of one workload: its state, its pass lock, and its requests for passes.

use crate::bands::Bands;
use crate::clock_skew::ClockSkew;
use crate::jitter::jitter;
use crate::metrics::MetricLog;
use crate::probe::log::ProbeLog;
use crate::replica_call::Commands;
use crate::report::PassReport;
use crate::workload::state::WorkloadState;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use windlass_core::store::StoredWorkload;
use windlass_core::{Timestamp, WorkloadKey};

/// Receives the report of a requested pass.
pub(crate) type PassRequest = oneshot::Receiver<PassReport>;

/// The callers that wait for a pass, or the end of all passes.
#[derive(Debug, Default)]
struct Waiters {
    waiting: Vec<(u64, oneshot::Sender<PassReport>)>,
    closed: bool,
}

/// One workload of the loop.
#[derive(Debug)]
pub(crate) struct WorkloadHandle {
    pub(crate) key: WorkloadKey,
    /// The time at which the loop started to manage it.
    pub(crate) since: Timestamp,
    /// Held during a pass and during an operator's request about a replica: at most one of them changes the workload.
    pub(crate) pass_lock: tokio::sync::Mutex<()>,
    /// Held while the set of held replicas is changed and stored.
    pub(crate) held_lock: tokio::sync::Mutex<()>,
    /// True if the newest decision could not be stored. The next pass stores it, even if it repeats it.
    pub(crate) lacks_record: AtomicBool,
    /// Held during the calls of the shadows of one pass.
    pub(crate) shadow_lock: Arc<tokio::sync::Mutex<()>>,
    pub(crate) clock_skew: ClockSkew,
    pub(crate) probes: ProbeLog,
    /// Starts the probes of new replicas at once.
    pub(crate) probe_now: Notify,
    pub(crate) metrics: MetricLog,
    /// The commands that run in its replicas.
    pub(crate) commands: Commands,
    /// Its offset among the workloads that are woken together.
    pub(crate) jitter: Duration,
    /// The longest time between two passes.
    pub(crate) period: Duration,
    state: Mutex<WorkloadState>,
    requested: AtomicU64,
    wake: Notify,
    waiters: Mutex<Waiters>,
}

impl WorkloadHandle {
    pub(crate) fn new(stored: StoredWorkload, probes_kept: usize, interval: Duration, now: Timestamp) -> Self {
        let jitter = jitter(interval, &stored.workload.key);
        let period = interval - jitter;
        let StoredWorkload { workload, history, held, shadows, samples, bands } = stored;
        Self {
            jitter,
            period,
            key: workload.key.clone(),
            since: now,
            pass_lock: tokio::sync::Mutex::default(),
            held_lock: tokio::sync::Mutex::default(),
            lacks_record: AtomicBool::new(false),
            shadow_lock: Arc::default(),
            clock_skew: ClockSkew::default(),
            probes: ProbeLog::new(probes_kept),
            probe_now: Notify::new(),
            metrics: MetricLog::stored(samples, &workload, now),
            commands: Commands::default(),
            state: Mutex::new(WorkloadState {
                bands: Bands::stored(bands),
                ..WorkloadState::new(workload, history, held, shadows, period)
            }),
            requested: AtomicU64::new(0),
            wake: Notify::new(),
            waiters: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, WorkloadState> {
        self.state.lock()
    }

    /// Requests a pass. A request is never lost and never queued twice: ten wakes before the next pass are one pass.
    pub(crate) fn wake(&self) {
        self.requested.fetch_add(1, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Requests a pass and returns the receiver of its report: the first pass that begins after this call. The receiver
    /// fails if there will be no pass.
    ///
    /// A caller that changed something holds the pass lock, so that no other pass acts on the change first.
    pub(crate) fn request(&self) -> PassRequest {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiters = self.waiters();
            if !waiters.closed {
                // Callers that left wait for nothing.
                waiters.waiting.retain(|(_, sender)| !sender.is_closed());
                let ticket = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
                waiters.waiting.push((ticket, sender));
            }
        }
        self.wake.notify_one();
        receiver
    }

    /// Returns when a pass has been requested since the last return.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The number of requests that a pass which begins now answers. The caller holds the pass lock.
    pub(crate) fn covers(&self) -> u64 {
        self.requested.load(Ordering::SeqCst)
    }

    /// Publishes the report of a pass and answers the requests that it covers.
    pub(crate) fn finish(&self, covers: u64, report: &Arc<PassReport>) {
        let waiting = std::mem::take(&mut self.waiters().waiting);
        let (answered, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(ticket, _)| *ticket <= covers);
        self.waiters().waiting.extend(later);
        self.state().last_pass = Some(Arc::clone(report));
        for (_, sender) in answered {
            // A caller that has gone needs no answer.
            let _ = sender.send(PassReport::clone(report));
        }
    }

    /// Ends the loop of this workload after the current pass.
    pub(crate) fn close(&self) {
        self.waiters().closed = true;
        self.wake.notify_one();
        self.probe_now.notify_one();
    }

    /// Answers the remaining requests: there will be no pass. Called when the loop of this workload has ended.
    pub(crate) fn abandon(&self) {
        self.waiters().waiting.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waiters().closed
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock()
    }
}

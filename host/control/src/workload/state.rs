//! What the loop keeps of one workload, and how it is woken and waited for.

use crate::clock_skew::Ahead;
use crate::counters::WorkloadCounters;
use crate::jitter::splay;
use crate::metrics::MetricLog;
use crate::probe::ProbeLog;
use crate::reconcile::observe::Known;
use crate::report::{PassReport, WorkloadView};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use windlass_core::store::StoredWorkload;
use windlass_core::{
    Alert, ContainerId, History, Phase, Replica, ShadowComparison, Snapshot, Timestamp, Workload, WorkloadKey,
};

/// Everything known of a workload between two passes.
#[derive(Debug)]
pub(crate) struct CellState {
    pub(crate) workload: Workload,
    pub(crate) history: History,
    pub(crate) held: BTreeSet<ContainerId>,
    /// Those that were asked to end through the engine, by whomever, and when.
    pub(crate) asked_to_end: BTreeMap<ContainerId, Timestamp>,
    /// As last seen; its phases already tell held replicas.
    pub(crate) snapshot: Snapshot,
    /// When it was last seen not to serve any more.
    pub(crate) fell: Option<Timestamp>,
    pub(crate) health_reasons: BTreeMap<ContainerId, String>,
    pub(crate) last_pass: Option<Arc<PassReport>>,
    /// What a person should look into, as the last pass that saw the replicas said.
    pub(crate) alerts: Vec<Alert>,
    /// What the newest recorded decision came to, so that a repetition is not recorded again.
    pub(crate) last_recorded: Option<String>,
    /// What its shadows would have said.
    pub(crate) shadows: Vec<ShadowComparison>,
    /// Replicas that are about to be stopped.
    pub(crate) leaving: BTreeSet<ContainerId>,
    /// Replicas that the last pass created or started: the next one is the first that can say how they are.
    pub(crate) begun: BTreeSet<ContainerId>,
    pub(crate) tally: WorkloadCounters,
    /// When the loop looks again by itself.
    pub(crate) look_again: Duration,
}

impl CellState {
    /// Puts what the engine just answered about one replica into the view, so that the next read shows it.
    pub(crate) fn show(&mut self, mut replica: Replica) {
        if self.held.contains(&replica.id) && !replica.is_alive() {
            replica.phase = Phase::Held;
        }
        // What was said of it was said of what it did before.
        self.snapshot.health.remove(&replica.id);
        self.health_reasons.remove(&replica.id);
        match self.snapshot.replicas.iter_mut().find(|shown| shown.id == replica.id) {
            Some(shown) => *shown = replica,
            None => self.snapshot.replicas.push(replica),
        }
    }

    /// What was stopped outside is not left so any more: the next pass heals it.
    pub(crate) fn forget_stopped(&mut self) {
        self.asked_to_end.clear();
        self.history.stopped_outside.clear();
    }

    /// Who starts a workload again wants to see whether it goes now: what was stopped outside or given up is healed again.
    pub(crate) fn begin_anew(&mut self) {
        self.forget_stopped();
        self.history.slots.retain(|_, slot| slot.given_up.is_none());
    }

    /// How many replicas count towards the target, as last seen.
    pub(crate) fn counted(&self) -> u32 {
        u32::try_from(self.snapshot.counted().count()).unwrap_or(u32::MAX)
    }
}

/// Receives the report of a pass that was asked for.
pub(crate) type PassRequest = oneshot::Receiver<PassReport>;

/// Those who wait for a pass, or the end of all passes.
#[derive(Debug, Default)]
struct Waiters {
    waiting: Vec<(u64, oneshot::Sender<PassReport>)>,
    closed: bool,
}

/// One workload under the loop's care.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) key: WorkloadKey,
    /// When it came under the loop's care.
    pub(crate) since: Timestamp,
    /// Held for a pass, and for an operator's act on a replica: at most one hand at a workload.
    pub(crate) gate: tokio::sync::Mutex<()>,
    /// Held while shadows are asked about a pass.
    pub(crate) shadowing: Arc<tokio::sync::Mutex<()>>,
    pub(crate) ahead: Ahead,
    pub(crate) probes: ProbeLog,
    pub(crate) probe_now: Notify,
    pub(crate) metrics: MetricLog,
    /// How far it is from those the loop looks at in the same round.
    pub(crate) splay: Duration,
    /// How long it may be quiet before the loop looks by itself.
    pub(crate) period: Duration,
    state: Mutex<CellState>,
    requested: AtomicU64,
    wake: Notify,
    waiters: Mutex<Waiters>,
}

impl Cell {
    pub(crate) fn new(stored: StoredWorkload, probes_kept: usize, interval: Duration, now: Timestamp) -> Self {
        let splay = splay(interval, &stored.workload.key);
        let period = interval - splay;
        Self {
            splay,
            period,
            key: stored.workload.key.clone(),
            since: now,
            gate: tokio::sync::Mutex::default(),
            shadowing: Arc::default(),
            ahead: Ahead::default(),
            probes: ProbeLog::new(probes_kept),
            probe_now: Notify::new(),
            metrics: MetricLog::stored(stored.samples, &stored.workload, now),
            state: Mutex::new(CellState {
                workload: stored.workload,
                history: stored.history,
                held: stored.held.into_iter().collect(),
                asked_to_end: BTreeMap::new(),
                snapshot: Snapshot::default(),
                fell: None,
                health_reasons: BTreeMap::new(),
                last_pass: None,
                alerts: Vec::new(),
                last_recorded: None,
                shadows: stored.shadows,
                leaving: BTreeSet::new(),
                begun: BTreeSet::new(),
                tally: WorkloadCounters::default(),
                look_again: period,
            }),
            requested: AtomicU64::new(0),
            wake: Notify::new(),
            waiters: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, CellState> {
        self.state.lock()
    }

    /// Asks for a pass. Never lost, never queued twice: ten wakes before the next pass are one pass.
    pub(crate) fn wake(&self) {
        self.requested.fetch_add(1, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Asks for a pass; what is returned receives the report of the first that begins after this call, or
    /// an error where there will be none. Called with the gate held by who changed something before, so
    /// that no other pass acts on the change and leaves this one nothing to tell of.
    pub(crate) fn request(&self) -> PassRequest {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiters = self.waiters();
            if !waiters.closed {
                let ticket = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
                waiters.waiting.push((ticket, sender));
            }
        }
        self.wake.notify_one();
        receiver
    }

    /// Returns when somebody has asked for a pass since the last return.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Which wakes a pass that begins now answers. Called with the gate held.
    pub(crate) fn covers(&self) -> u64 {
        self.requested.load(Ordering::SeqCst)
    }

    /// Publishes a pass and answers those whose wake it covers.
    pub(crate) fn finish(&self, covers: u64, report: &PassReport) {
        let waiting = std::mem::take(&mut self.waiters().waiting);
        let (answered, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(ticket, _)| *ticket <= covers);
        self.waiters().waiting.extend(later);
        self.state().last_pass = Some(Arc::new(report.clone()));
        for (_, sender) in answered {
            // One who went away meanwhile needs no answer.
            let _ = sender.send(report.clone());
        }
    }

    /// No pass will begin any more; the loop ends after the one in hand.
    pub(crate) fn close(&self) {
        self.waiters().closed = true;
        self.wake.notify_one();
        self.probe_now.notify_one();
    }

    /// Tells those who still wait that there will be no pass. Called when the loop has ended.
    pub(crate) fn abandon(&self) {
        self.waiters().waiting.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waiters().closed
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock()
    }

    pub(crate) fn known(&self) -> Known {
        let state = self.state();
        Known {
            held: state.held.clone(),
            health: state.snapshot.health.clone(),
            asked_to_end: state.asked_to_end.clone(),
            probe: state.workload.probe.clone(),
        }
    }

    pub(crate) fn view(&self) -> WorkloadView {
        let state = self.state();
        WorkloadView {
            workload: state.workload.clone(),
            replicas: state.snapshot.replicas.clone(),
            health: state.snapshot.health.clone(),
            health_reasons: state.health_reasons.clone(),
            held: state.held.clone(),
            stopped_outside: state.history.stopped_outside.keys().cloned().collect(),
            protected: state.history.protected.clone(),
            seen: Some(state.snapshot.at).filter(|at| *at != Timestamp::default()),
            last_pass: state.last_pass.as_deref().cloned(),
            shadows: state.shadows.clone(),
            alerts: state.alerts.clone(),
            leaving: state.leaving.clone(),
            begun: state.begun.clone(),
            tally: state.tally.clone(),
        }
    }
}

//! The state of one workload between two passes.

use crate::bands::Bands;
use crate::counters::WorkloadCounters;
use crate::reconcile::result::DecisionSummary;
use crate::report::{PassReport, ReplicaState, WorkloadBrief, WorkloadView, is_ready};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use windlass_core::contract::HealthStatus;
use windlass_core::{
    Alert, ContainerId, Declaration, History, Overrides, Phase, Probe, Replica, ShadowComparison, Snapshot, Timestamp,
    Workload, WorkloadKey,
};
use windlass_decide::EarlyPasses;

/// Everything known about a workload between two passes.
#[derive(Debug)]
pub(crate) struct WorkloadState {
    /// The desired state.
    pub(crate) workload: Workload,
    pub(crate) history: History,
    /// Replicas that an operator stopped.
    pub(crate) held: BTreeSet<ContainerId>,
    /// The latest signals and stops through the engine.
    pub(crate) stops: BTreeMap<ContainerId, EngineStop>,
    /// The last observation. Held replicas have their phase already.
    pub(crate) snapshot: Snapshot,
    /// The end of the last pass that observed the engine.
    pub(crate) observed_at: Option<Timestamp>,
    /// When the workload was last observed to go down.
    pub(crate) fell: Option<Timestamp>,
    /// The reasons of the health policy's last assessments.
    pub(crate) health_reasons: BTreeMap<ContainerId, String>,
    pub(crate) last_pass: Option<Arc<PassReport>>,
    /// The alerts of the last pass that observed the engine.
    pub(crate) alerts: Vec<Alert>,
    /// Its rollouts, overrides, outages and blindness over time.
    pub(crate) bands: Bands,
    /// The overrides in force when they were last an event.
    pub(crate) published_overrides: Overrides,
    /// The newest recorded decision, so that a repetition is not recorded again.
    pub(crate) last_recorded: Option<DecisionSummary>,
    /// The comparisons with its shadow policies.
    pub(crate) shadows: Vec<ShadowComparison>,
    /// Replicas that are about to stop.
    pub(crate) leaving: BTreeSet<ContainerId>,
    /// Replicas that the last pass created or started. Only the next pass can know their health.
    pub(crate) begun: BTreeSet<ContainerId>,
    pub(crate) counters: WorkloadCounters,
    /// The time until the next pass, unless something wakes the workload earlier.
    pub(crate) next_pass: Duration,
    /// The passes that its scaling policy caused.
    pub(crate) early_passes: EarlyPasses,
    /// The passes in a row that acted on a service which was changed meanwhile.
    pub(crate) stale_passes: u32,
    /// The service is not made from the desired state yet, because the engine refused it.
    pub(crate) is_undeployed: bool,
    /// Why its passes do nothing: it is adopted, and its labels are not in force. `None` if its passes act.
    pub(crate) suspended: Option<Suspension>,
}

/// An adopted workload whose service does not declare it for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspension {
    /// When its service was first missing. `None` if that is not known yet.
    pub(crate) missing_since: Option<Timestamp>,
    /// One sentence.
    pub(crate) reason: String,
}

impl Suspension {
    /// A suspension until the next search.
    fn until_confirmed(reason: &str) -> Self {
        Self { missing_since: None, reason: reason.to_owned() }
    }
}

/// The latest events by which a process is ended through the engine. The times are those of the engine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EngineStop {
    /// The latest signal to the process that is no SIGKILL.
    pub(crate) signalled: Option<Timestamp>,
    /// The latest SIGKILL.
    pub(crate) killed: Option<Timestamp>,
    /// The latest stop by somebody else.
    pub(crate) stopped: Option<Timestamp>,
}

/// The host's records about the replicas of a workload, as an observation needs them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Replicas that an operator stopped.
    pub(crate) held: BTreeSet<ContainerId>,
    /// The last assessments of the health policy.
    pub(crate) health: BTreeMap<ContainerId, HealthStatus>,
    /// The containers that are replicas even under another name. `None` if every labelled container is one.
    pub(crate) containers: Option<BTreeSet<ContainerId>>,
    /// The replicas that the engine failed to remove.
    pub(crate) unremovable: BTreeSet<ContainerId>,
    /// The probe of the replicas. `None` means the image's own HEALTHCHECK, if it has one.
    pub(crate) probe: Option<Probe>,
    /// The workloads that this one depends on.
    pub(crate) depends_on: BTreeSet<WorkloadKey>,
    /// The place where the workload is declared.
    pub(crate) declaration: Declaration,
}

impl WorkloadState {
    pub(crate) fn new(
        mut workload: Workload,
        history: History,
        held: Vec<ContainerId>,
        shadows: Vec<ShadowComparison>,
        next_pass: Duration,
    ) -> Self {
        // The containers of an earlier version have no label: they are of the generation that was wished for then.
        let generation = workload.generation();
        workload.unlabelled.get_or_insert(generation);
        let until_read = || Suspension::until_confirmed("the labels of its service have not been read yet");
        let suspended = workload.declaration.is_adopted().then(until_read);
        Self {
            bands: Bands::default(),
            published_overrides: workload.overrides,
            workload,
            history,
            held: held.into_iter().collect(),
            stops: BTreeMap::new(),
            snapshot: Snapshot::default(),
            observed_at: None,
            fell: None,
            health_reasons: BTreeMap::new(),
            last_pass: None,
            alerts: Vec::new(),
            last_recorded: None,
            shadows,
            leaving: BTreeSet::new(),
            begun: BTreeSet::new(),
            counters: WorkloadCounters::default(),
            next_pass,
            early_passes: EarlyPasses::default(),
            stale_passes: 0,
            is_undeployed: false,
            suspended,
        }
    }

    /// Suspends an adopted workload all of whose replicas went away since the last observation: its service may have gone
    /// with them, and the event about that requests a search.
    pub(crate) fn suspend_if_gone(&mut self, snapshot: &Snapshot) {
        let is_gone = snapshot.replicas.is_empty() && !self.snapshot.replicas.is_empty();
        if is_gone && self.workload.declaration.is_adopted() {
            self.suspended
                .get_or_insert(Suspension::until_confirmed("its containers are gone; its labels are read again"));
        }
    }

    /// The replica count that the host steers to.
    pub(crate) fn target(&self) -> u32 {
        self.history.target_or_initial(self.workload.bounds)
    }

    /// Sets the replica count that the host steers to, within the bounds.
    pub(crate) fn set_target(&mut self, target: u32) {
        self.history.target = Some(self.workload.bounds.clamp(target));
    }

    pub(crate) fn desired_and_history(&self) -> (Workload, History) {
        (self.workload.clone(), self.history.clone())
    }

    pub(crate) fn known(&self) -> Known {
        Known {
            held: self.held.clone(),
            health: self.snapshot.health.clone(),
            containers: self.history.containers.clone(),
            unremovable: self.history.unremovable.keys().cloned().collect(),
            probe: self.workload.probe.clone(),
            depends_on: self.workload.depends_on.clone(),
            declaration: self.workload.declaration.clone(),
        }
    }

    /// Updates one replica with the engine's answer to a request, so that the next read returns it.
    pub(crate) fn update(&mut self, mut replica: Replica) {
        if self.held.contains(&replica.id) && !replica.is_alive() {
            replica.phase = Phase::Held;
        }
        // The last assessment was about its earlier process.
        self.snapshot.health.remove(&replica.id);
        self.health_reasons.remove(&replica.id);
        match self.snapshot.replicas.iter_mut().find(|known| known.id == replica.id) {
            Some(known) => *known = replica,
            None => self.snapshot.replicas.push(replica),
        }
    }

    /// Forgets the stops through the engine: the next pass repairs those replicas.
    pub(crate) fn forget_stopped(&mut self) {
        self.stops.clear();
        self.history.stopped_outside.clear();
    }

    /// Forgets the stops through the engine and the slots that were given up: a repeated start retries them.
    pub(crate) fn retry_everything(&mut self) {
        self.forget_stopped();
        self.history.slots.retain(|_, slot| slot.given_up.is_none());
        self.history.rollout = None;
        self.history.blocked.clear();
        self.history.service.refused = None;
    }

    /// The number of observed replicas that count towards the target.
    pub(crate) fn counted(&self) -> u32 {
        u32::try_from(self.snapshot.counted().count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn brief(&self, now: Timestamp) -> WorkloadBrief {
        let state = |replica: &Replica| {
            let (id, health) = (&replica.id, self.snapshot.health_of(&replica.id));
            let is_between =
                self.leaving.contains(id) || self.begun.contains(id) || self.history.unremovable.contains_key(id);
            ReplicaState {
                phase: replica.phase,
                health,
                is_held: self.held.contains(id),
                is_stopped_outside: self.history.stopped_outside.contains_key(id),
                is_ready: is_ready(replica, health, is_between),
            }
        };
        let states = self.snapshot.replicas.iter().map(state).collect();
        let overrides = self.workload.overrides.in_force(now);
        WorkloadBrief {
            counted: self.counted(),
            observed_at: self.observed_at,
            last_pass: self.last_pass.clone(),
            alerts: self.alerts.clone(),
            ..WorkloadBrief::of(&self.workload, overrides, self.target(), states)
        }
    }

    pub(crate) fn view(&self) -> WorkloadView {
        WorkloadView {
            workload: self.workload.clone(),
            target: self.target(),
            replicas: self.snapshot.replicas.clone(),
            counted: self.counted(),
            unremovable: self.history.unremovable.keys().cloned().collect(),
            strangers: self.snapshot.strangers.clone(),
            health: self.snapshot.health.clone(),
            health_reasons: self.health_reasons.clone(),
            held: self.held.clone(),
            stopped_outside: self.history.stopped_outside.keys().cloned().collect(),
            outdated: self.workload.outdated(&self.snapshot.replicas),
            rollout: self.history.rollout.clone(),
            protected: self.history.protected.clone(),
            observed_at: self.observed_at,
            seen: Some(self.snapshot.at).filter(|at| *at != Timestamp::default()),
            last_pass: self.last_pass.clone(),
            shadows: self.shadows.clone(),
            alerts: self.alerts.clone(),
            leaving: self.leaving.clone(),
            begun: self.begun.clone(),
            counters: self.counters.clone(),
        }
    }
}

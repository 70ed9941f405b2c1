//! What every workload's loop uses: the engine, the store, the policies, the clock.

use crate::alerts::Alarm;
use crate::callbacks::Callbacks;
use crate::clock::Clock;
use crate::counters::PolicyCounters;
use crate::drain::Notifier;
use crate::error::ControlError;
use crate::stop::Stopper;
use crate::workload::state::Cell;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use windlass_core::engine::{Engine, EngineError};
use windlass_core::error_chain;
use windlass_core::net::Net;
use windlass_core::policy::PolicySource;
use windlass_core::settings::ControlSettings;
use windlass_core::store::{Store, StoreError};
use windlass_core::{DependencySeen, Replica, Timestamp, Workload, WorkloadKey};

pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) policies: Arc<dyn PolicySource>,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) callbacks: Callbacks,
    pub(crate) alarm: Alarm,
    pub(crate) settings: ControlSettings,
    pub(crate) clock: Clock,
    pub(crate) cells: RwLock<BTreeMap<WorkloadKey, Arc<Cell>>>,
    /// Held while a new workload joins `cells`.
    pub(crate) starting: tokio::sync::Mutex<()>,
    /// Replicas of this instance whose workload is unknown, as last seen.
    pub(crate) orphans: Mutex<Vec<Replica>>,
    /// Why the engine cannot be used, as last seen; none: it can.
    engine_error: Mutex<Option<String>>,
    /// When it last could not be used; at first when the host began.
    engine_lost: Mutex<Timestamp>,
    /// Of each policy, by its name.
    pub(crate) policy_counters: Mutex<PolicyCounters>,
    /// The place of the one shadow that is asked at a time, so that they take no places from those that act.
    pub(crate) shadows: Semaphore,
    /// Who is told before a replica is stopped.
    pub(crate) audience: Notifier,
    pub(crate) shutdown: watch::Sender<bool>,
    pub(crate) tasks: Mutex<tokio::task::JoinSet<()>>,
}

impl Shared {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        store: Arc<dyn Store>,
        policies: Arc<dyn PolicySource>,
        net: Arc<dyn Net>,
        host_name: String,
        settings: ControlSettings,
        clock: Clock,
    ) -> Self {
        Self {
            callbacks: Callbacks::new(Arc::clone(&net), host_name.clone()),
            alarm: Alarm::new(Arc::clone(&net), settings.alert_url.clone(), host_name),
            engine,
            store,
            policies,
            net,
            settings,
            clock,
            cells: RwLock::default(),
            starting: tokio::sync::Mutex::default(),
            orphans: Mutex::default(),
            engine_error: Mutex::new(Some("the engine was not asked yet".to_owned())),
            engine_lost: Mutex::new(clock.now()),
            policy_counters: Mutex::default(),
            shadows: Semaphore::new(1),
            audience: Notifier::default(),
            shutdown: watch::Sender::new(false),
            tasks: Mutex::default(),
        }
    }

    /// Runs a task that is finished before Windlass ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        // Those of deleted workloads have ended: let go of what is left of them.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(crate) fn cells(&self) -> Vec<Arc<Cell>> {
        self.cells.read().values().cloned().collect()
    }

    pub(crate) fn cell(&self, key: &WorkloadKey) -> Option<Arc<Cell>> {
        self.cells.read().get(key).cloned()
    }

    /// How the workloads that one depends on are.
    pub(crate) fn dependencies(&self, workload: &Workload) -> BTreeMap<WorkloadKey, DependencySeen> {
        let seen = |key: &WorkloadKey| {
            // One that is gone is down.
            let Some(cell) = self.cell(key) else { return DependencySeen::Down };
            let state = cell.state();
            match state.last_pass {
                None => DependencySeen::Unknown,
                Some(_) if state.snapshot.is_up() => DependencySeen::Up { fell: state.fell },
                Some(_) => DependencySeen::Down,
            }
        };
        workload.depends_on.iter().map(|key| (key.clone(), seen(key))).collect()
    }

    /// What stops replicas of a workload.
    pub(crate) fn stopper<'a>(&'a self, workload: &'a Workload) -> Stopper<'a> {
        let grace = self.settings.stop_grace;
        Stopper { workload, engine: self.engine.as_ref(), net: self.net.as_ref(), grace }
    }

    /// What a workload depends on is there, and does not depend on it.
    pub(crate) fn check_dependencies(&self, workload: &Workload) -> Result<(), ControlError> {
        let of = |key: &WorkloadKey| self.cell(key).map(|cell| cell.state().workload.depends_on.clone());
        for wanted in &workload.depends_on {
            let mut reached = vec![wanted.clone()];
            let mut seen = BTreeSet::new();
            while let Some(key) = reached.pop() {
                if key == workload.key {
                    let circle =
                        if *wanted == key { "itself".to_owned() } else { format!("`{wanted}`, which depends on it") };
                    return Err(ControlError::Dependency(format!("`{key}` cannot depend on {circle}")));
                }
                if seen.insert(key.clone()) {
                    let missing = || ControlError::Dependency(format!("`{key}` was never started; start it first"));
                    reached.extend(of(&key).ok_or_else(missing)?);
                }
            }
        }
        Ok(())
    }

    /// Why a workload cannot go away; none: no other depends on it.
    pub(crate) fn check_dependents(&self, key: &WorkloadKey) -> Result<(), ControlError> {
        let Some(dependent) = self.cells().into_iter().find(|it| it.state().workload.depends_on.contains(key)) else {
            return Ok(());
        };
        let dependent = &dependent.key;
        Err(ControlError::Conflict(format!(
            "`{dependent}` depends on `{key}`; delete it first, or start it without that"
        )))
    }

    /// A workload came up, or went down: those that depend on it look again.
    pub(crate) fn wake_dependents(&self, key: &WorkloadKey) {
        for cell in self.cells() {
            if cell.state().workload.depends_on.contains(key) {
                cell.wake();
            }
        }
    }

    pub(crate) fn orphans(&self) -> MutexGuard<'_, Vec<Replica>> {
        self.orphans.lock()
    }

    /// Notes whether the engine answered; other failures say nothing about that. True when it is back.
    pub(crate) fn note_engine(&self, error: Option<&EngineError>) -> bool {
        let mut engine = self.engine_error.lock();
        match error {
            None => return engine.take().is_some(),
            Some(error @ (EngineError::Unavailable(_) | EngineError::TimedOut { .. })) => {
                *engine = Some(error.to_string());
                self.note_lost();
            }
            Some(_) => {}
        }
        false
    }

    /// Notes that the engine, or what it tells of events, is gone for now.
    pub(crate) fn note_lost(&self) {
        *self.engine_lost.lock() = self.clock.now();
    }

    /// When the engine was last lost; at first when the host began.
    pub(crate) fn engine_lost(&self) -> Timestamp {
        *self.engine_lost.lock()
    }

    pub(crate) fn policy_counters(&self) -> MutexGuard<'_, PolicyCounters> {
        self.policy_counters.lock()
    }

    pub(crate) fn engine_trouble(&self) -> Option<String> {
        self.engine_error.lock().clone()
    }

    /// Runs a blocking call of the store off the event loop.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || call(store.as_ref())).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(ControlError::Store(error_chain(&error))),
            Err(_) => Err(ControlError::Store("the call of the store panicked".to_owned())),
        }
    }

    /// As [`Shared::store`], for calls whose failure must not keep a pass from its work.
    pub(crate) async fn store_or_log<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        match self.store(call).await {
            Ok(value) => Some(value),
            Err(error) => {
                let ControlError::Store(cause) = &error else { return None };
                tracing::error!(operation, cause, "the store failed");
                None
            }
        }
    }
}

//! What every workload's loop uses: the engine, the store, the policies, the clock.

use super::alarm::Alarm;
use super::callback::Callbacks;
use super::cell::Cell;
use super::clock::Clock;
use super::error::ControlError;
use super::leave::Audience;
use super::stop::Stopper;
use super::tally::PolicyTallies;
use crate::model::settings::ControlSettings;
use crate::model::{DependencySeen, Replica, Timestamp, Workload, WorkloadKey};
use crate::net::Net;
use crate::policy::PolicySource;
use crate::runtime::{Runtime, RuntimeError};
use crate::store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{Semaphore, watch};

pub(super) struct Shared {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) store: Arc<dyn Store>,
    pub(super) policies: Arc<dyn PolicySource>,
    pub(super) net: Arc<dyn Net>,
    pub(super) callbacks: Callbacks,
    pub(super) alarm: Alarm,
    pub(super) settings: ControlSettings,
    pub(super) clock: Clock,
    pub(super) cells: RwLock<BTreeMap<WorkloadKey, Arc<Cell>>>,
    /// Held while a new workload joins `cells`.
    pub(super) starting: tokio::sync::Mutex<()>,
    /// Replicas of this instance whose workload is unknown, as last seen.
    pub(super) orphans: Mutex<Vec<Replica>>,
    /// Why the engine cannot be used, as last seen; none: it can.
    engine: Mutex<Option<String>>,
    /// When it last could not be used; at first when the host began.
    engine_lost: Mutex<Timestamp>,
    /// Of each policy, by its name.
    pub(super) policy_tallies: Mutex<PolicyTallies>,
    /// The place of the one shadow that is asked at a time, so that they take no places from those that act.
    pub(super) shadows: Semaphore,
    /// Who is told before a replica is stopped.
    pub(super) audience: Audience,
    pub(super) shutdown: watch::Sender<bool>,
    pub(super) tasks: Mutex<tokio::task::JoinSet<()>>,
}

impl Shared {
    pub(super) fn new(
        runtime: Arc<dyn Runtime>,
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
            runtime,
            store,
            policies,
            net,
            settings,
            clock,
            cells: RwLock::default(),
            starting: tokio::sync::Mutex::default(),
            orphans: Mutex::default(),
            engine: Mutex::new(Some("the engine was not asked yet".to_owned())),
            engine_lost: Mutex::new(clock.now()),
            policy_tallies: Mutex::default(),
            shadows: Semaphore::new(1),
            audience: Audience::default(),
            shutdown: watch::Sender::new(false),
            tasks: Mutex::default(),
        }
    }

    /// Runs a task that is finished before Windlass ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of deleted workloads have ended: let go of what is left of them.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(super) fn cells(&self) -> Vec<Arc<Cell>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn cell(&self, key: &WorkloadKey) -> Option<Arc<Cell>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// How the workloads that one depends on are.
    pub(super) fn dependencies(&self, workload: &Workload) -> BTreeMap<WorkloadKey, DependencySeen> {
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
    pub(super) fn stopper<'a>(&'a self, workload: &'a Workload) -> Stopper<'a> {
        let grace = self.settings.stop_grace;
        Stopper { workload, runtime: self.runtime.as_ref(), net: self.net.as_ref(), grace }
    }

    /// What a workload depends on is there, and does not depend on it.
    pub(super) fn check_dependencies(&self, workload: &Workload) -> Result<(), ControlError> {
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
    pub(super) fn check_dependents(&self, key: &WorkloadKey) -> Result<(), ControlError> {
        let Some(dependent) = self.cells().into_iter().find(|it| it.state().workload.depends_on.contains(key)) else {
            return Ok(());
        };
        let dependent = &dependent.key;
        Err(ControlError::Conflict(format!(
            "`{dependent}` depends on `{key}`; delete it first, or start it without that"
        )))
    }

    /// A workload came up, or went down: those that depend on it look again.
    pub(super) fn wake_dependents(&self, key: &WorkloadKey) {
        for cell in self.cells() {
            if cell.state().workload.depends_on.contains(key) {
                cell.wake();
            }
        }
    }

    pub(super) fn orphans(&self) -> MutexGuard<'_, Vec<Replica>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the engine answered; other failures say nothing about that. True when it is back.
    pub(super) fn note_engine(&self, error: Option<&RuntimeError>) -> bool {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            None => return engine.take().is_some(),
            Some(error @ (RuntimeError::Unavailable(_) | RuntimeError::TimedOut { .. })) => {
                *engine = Some(error.to_string());
                self.note_lost();
            }
            Some(_) => {}
        }
        false
    }

    /// Notes that the engine, or what it tells of events, is gone for now.
    pub(super) fn note_lost(&self) {
        *self.engine_lost.lock().unwrap_or_else(PoisonError::into_inner) = self.clock.now();
    }

    /// When the engine was last lost; at first when the host began.
    pub(super) fn engine_lost(&self) -> Timestamp {
        *self.engine_lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn policy_tallies(&self) -> MutexGuard<'_, PolicyTallies> {
        self.policy_tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn engine_trouble(&self) -> Option<String> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a blocking call of the store off the event loop.
    pub(super) async fn store<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || call(store.as_ref())).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(ControlError::Store(with_causes(&error))),
            Err(_) => Err(ControlError::Store("the call of the store panicked".to_owned())),
        }
    }

    /// As [`Shared::store`], for calls whose failure must not keep a pass from its work.
    pub(super) async fn store_or_log<T: Send + 'static>(
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

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

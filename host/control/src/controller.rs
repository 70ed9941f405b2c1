//! The control loop: one pass at a time for each workload, many workloads in parallel.

use crate::adoption::watch::watch;
use crate::alerts::Alerts;
use crate::background;
use crate::callbacks::Callbacks;
use crate::caller::while_present;
use crate::clock::Clock;
use crate::context::Context;
use crate::drain::notifier::Notifier;
use crate::engine_health::EngineHealth;
use crate::engine_return::wake_all;
use crate::error::ControlError;
use crate::events::Events;
use crate::report::PassReport;
use crate::store_access::StoreAccess;
use crate::tasks::Tasks;
use crate::workload::handle::{PassRequest, WorkloadHandle};
use crate::workload::registry::Workloads;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{MutexGuard, Semaphore};
use windlass_core::engine::{AnyEngine, EngineError};
use windlass_core::net::Net;
use windlass_core::policy::PolicySource;
use windlass_core::settings::ControlSettings;
use windlass_core::store::{Store, StoreError, StoredWorkload};
use windlass_core::{Leadership, WorkloadKey};

/// The parts from which the loop is built.
pub struct Parts {
    /// The container engine.
    pub engine: AnyEngine,
    /// The storage that survives a restart.
    pub store: Arc<dyn Store>,
    /// The policies.
    pub policies: Arc<dyn PolicySource>,
    /// The network, for probes and callbacks.
    pub net: Arc<dyn Net>,
    /// The name of this machine, sent with callbacks and alerts.
    pub host_name: String,
    /// Guardrails and intervals.
    pub settings: ControlSettings,
    /// The clock.
    pub clock: Clock,
}

/// The control loop, as the API uses it. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    pub(crate) context: Arc<Context>,
}

impl Controller {
    /// Loads every stored workload and starts its loop. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn begin(parts: Parts) -> Result<Self, StoreError> {
        let stored = parts.store.load()?;
        let runs = parts.store.count_run()?;
        let Parts { engine, store, policies, net, host_name, settings, clock } = parts;
        let context = Arc::new(Context {
            callbacks: Callbacks::new(Arc::clone(&net), host_name.clone()),
            alerts: Alerts::new(Arc::clone(&net), settings.alert_url.clone(), host_name),
            events: Events::after_runs(runs, clock),
            engine,
            skew_warning: Default::default(),
            engine_health: EngineHealth::new(clock),
            store: StoreAccess::new(store),
            policies,
            policy_counters: Mutex::default(),
            net,
            drain: Notifier::default(),
            workloads: Workloads::default(),
            adoption: Default::default(),
            settings,
            clock,
            shadow_permit: Semaphore::new(1),
            tasks: Tasks::default(),
        });
        let controller = Self { context };
        background::start(&controller.context);
        for workload in stored {
            controller.manage(workload);
        }
        wake_all(&controller.context);
        controller.context.tasks.spawn(watch(Arc::clone(&controller.context)));
        Ok(controller)
    }

    /// Finishes the passes in progress, leaves every container as it is, and answers the waiting callers.
    pub async fn shut_down(&self) {
        self.context.tasks.begin_shutdown();
        self.context.events.end();
        for handle in self.context.workloads.all() {
            handle.close();
        }
        self.context.tasks.join_all().await;
    }

    /// The events of the loop.
    pub fn events(&self) -> &Events {
        &self.context.events
    }

    /// Adds a workload and starts its loop.
    pub(crate) fn manage(&self, stored: StoredWorkload) -> Arc<WorkloadHandle> {
        background::manage(&self.context, stored)
    }

    pub(crate) fn handle(&self, key: &WorkloadKey) -> Result<Arc<WorkloadHandle>, ControlError> {
        self.context.workloads.find(key).ok_or_else(|| ControlError::NoSuchWorkload(key.to_string()))
    }

    /// Refuses a change if another Windlass of the instance acts.
    pub(crate) fn check_leads(&self) -> Result<(), ControlError> {
        match self.context.engine.leadership() {
            Leadership::Leads => Ok(()),
            follows => Err(ControlError::Conflict(format!("{follows}; send the request to the one that acts"))),
        }
    }

    /// Waits until no pass and no other request changes the workload, and keeps both away while the guard lives. Fails if the
    /// caller of the request leaves meanwhile, or if another Windlass of the instance acts.
    pub(crate) async fn lock<'a>(&self, handle: &'a WorkloadHandle) -> Result<MutexGuard<'a, ()>, ControlError> {
        self.check_leads()?;
        let lock = while_present(handle.pass_lock.lock()).await?;
        if handle.is_closed() { Err(self.no_more_passes(handle)) } else { Ok(lock) }
    }

    /// Waits for the report of a requested pass. Fails if the caller of the request leaves meanwhile; the pass is made all the
    /// same.
    pub(crate) async fn report(
        &self,
        handle: &WorkloadHandle,
        request: PassRequest,
    ) -> Result<PassReport, ControlError> {
        while_present(request).await?.map_err(|_| self.no_more_passes(handle))
    }

    /// Stores the desired state and the target of a workload as they are now.
    pub(crate) async fn save(&self, handle: &WorkloadHandle) -> Result<(), ControlError> {
        let (workload, target) = {
            let state = handle.state();
            (state.workload.clone(), state.target())
        };
        self.context.store.call(move |store| store.save_workload(&workload, target)).await
    }

    /// The error that a caller receives for an error of the engine.
    pub(crate) fn refusal(&self, error: EngineError) -> ControlError {
        self.context.engine_health.refusal(error)
    }

    /// The reason why a workload has no more passes.
    fn no_more_passes(&self, handle: &WorkloadHandle) -> ControlError {
        if self.context.tasks.is_shutting_down() {
            ControlError::ShuttingDown
        } else {
            ControlError::NoSuchWorkload(handle.key.to_string())
        }
    }
}

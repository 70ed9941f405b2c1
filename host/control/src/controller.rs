//! Wakes workloads, one pass at a time for each, many side by side.

use crate::clock::Clock;
use crate::containers::change_probe;
use crate::context::Shared;
use crate::error::ControlError;
use crate::report::{ActionKind, PassReport};
use crate::workload::state::{Cell, PassRequest};
use crate::{background, drain, metrics};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::MutexGuard;
use windlass_core::contract::Sample;
use windlass_core::engine::{Engine, EngineError};
use windlass_core::net::Net;
use windlass_core::policy::PolicySource;
use windlass_core::settings::ControlSettings;
use windlass_core::store::{Store, StoredWorkload};
use windlass_core::workload::{Bounds, DesiredStatus};
use windlass_core::{Guardrails, Metric, Overrides, PolicyChoices, Replica, Workload, WorkloadKey};

/// What became of a start.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Whether a replica was created; else one was there.
    pub created: bool,
    /// The replica to show: the newest created, or the oldest kept; none: nothing was to be done yet, as the pass says: it
    /// waits for what it depends on, is paused, or is only to be recommended.
    pub replica: Option<Replica>,
    /// The pass that answered it.
    pub pass: PassReport,
}

/// What the loop works with.
pub struct Parts {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// What outlives the process.
    pub store: Arc<dyn Store>,
    /// Who decides.
    pub policies: Arc<dyn PolicySource>,
    /// For probes and callbacks.
    pub net: Arc<dyn Net>,
    /// Name of this machine, told to callbacks.
    pub host_name: String,
    /// Guardrails and pace.
    pub settings: ControlSettings,
    /// What time it is.
    pub clock: Clock,
}

/// Keeps the policies, metrics and guardrails that a workload does not name.
fn keep_unnamed(workload: &mut Workload, current: &Workload) {
    if workload.metrics.is_empty() {
        workload.metrics.clone_from(&current.metrics);
    }
    workload.guardrails = workload.guardrails.take().or(current.guardrails.clone());
    let assigned = current.policies.clone();
    let named = std::mem::take(&mut workload.policies);
    workload.policies = PolicyChoices {
        scaling: if named.scaling.is_empty() { assigned.scaling } else { named.scaling },
        health: named.health.or(assigned.health),
        shadows: if named.shadows.is_empty() { assigned.shadows } else { named.shadows },
        mode: named.mode.or(assigned.mode),
    };
}

/// The control loop, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    pub(crate) shared: Arc<Shared>,
}

impl Controller {
    /// Takes up every stored workload and begins to look after them. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn begin(parts: Parts) -> Result<Self, windlass_core::store::StoreError> {
        let stored = parts.store.load()?;
        let shared = Arc::new(Shared::new(
            parts.engine,
            parts.store,
            parts.policies,
            parts.net,
            parts.host_name,
            parts.settings,
            parts.clock,
        ));
        let controller = Self { shared };
        background::begin(&controller.shared);
        for workload in stored {
            controller.take_up(workload);
        }
        background::wake_everything(&controller.shared);
        Ok(controller)
    }

    /// Finishes the passes in hand, leaves every container as it is, and answers those who wait.
    pub async fn shut_down(&self) {
        self.shared.shutdown.send_replace(true);
        for cell in self.shared.cells() {
            cell.close();
        }
        // What the last tasks began themselves is waited for too: the store is let go of when this returns.
        loop {
            let mut tasks = std::mem::take(&mut *self.shared.tasks.lock());
            if tasks.is_empty() {
                return;
            }
            while tasks.join_next().await.is_some() {}
        }
    }

    /// Stores the desired state and answers after the pass it woke. Of an existing workload everything is
    /// replaced but its target, which the pass moves into the new bounds, and policies, metrics and guardrails that are not named.
    ///
    /// A container that is there is kept: where none runs and the workload is to run, the oldest is started.
    pub async fn start(&self, workload: Workload) -> Result<Started, ControlError> {
        self.start_keeping(workload, &keep_unnamed).await
    }

    /// As [`Self::start`]; for an existing workload, `keep` copies the parts that stay as they are.
    pub async fn start_keeping(
        &self,
        workload: Workload,
        keep: &(dyn Fn(&mut Workload, &Workload) + Send + Sync),
    ) -> Result<Started, ControlError> {
        let (cell, request) = self.wish(workload, keep).await?;
        let pass = self.report(&cell, request).await?;
        let created = pass.actions.iter().find(|action| action.kind == ActionKind::Create && action.error.is_none());
        let view = cell.view();
        let shown = match created.and_then(|action| action.container.as_ref()) {
            Some(id) => view.replicas.iter().find(|replica| replica.id == *id),
            None => view.replicas.iter().find(|replica| replica.is_alive()).or(view.replicas.first()),
        };
        if let Some(replica) = shown {
            return Ok(Started { created: created.is_some(), replica: Some(replica.clone()), pass });
        }
        if let Some(error) = &pass.error {
            return Err(ControlError::EngineUnavailable(error.clone()));
        }
        if let Some(error) = pass.actions.iter().find_map(|action| action.error.clone()) {
            return Err(ControlError::StartFailed(error));
        }
        // Nothing went wrong: nothing was to be done yet.
        Ok(Started { created: false, replica: None, pass })
    }

    /// Stores what is wanted and asks for a pass of it.
    async fn wish(
        &self,
        workload: Workload,
        keep: &(dyn Fn(&mut Workload, &Workload) + Send + Sync),
    ) -> Result<(Arc<Cell>, PassRequest), ControlError> {
        self.shared.check_dependencies(&workload)?;
        loop {
            if *self.shared.shutdown.borrow() {
                return Err(ControlError::ShuttingDown);
            }
            if let Some(cell) = self.shared.cell(&workload.key) {
                match self.start_again(&cell, workload.clone(), keep).await {
                    // Deleted while this waited for it: it is a new one now.
                    Err(ControlError::NoSuchWorkload(_)) => continue,
                    request => return Ok((cell, request?)),
                }
            }
            // One at a time, so that of two starts of one new workload the second finds the first.
            let _starting = self.shared.starting.lock().await;
            if self.shared.cell(&workload.key).is_some() {
                continue;
            }
            self.save(&workload).await?;
            let cell = self.take_up(StoredWorkload::new(workload));
            let request = cell.request();
            return Ok((cell, request));
        }
    }

    async fn start_again(
        &self,
        cell: &Arc<Cell>,
        mut workload: Workload,
        keep: &(dyn Fn(&mut Workload, &Workload) + Send + Sync),
    ) -> Result<PassRequest, ControlError> {
        let _gate = self.gate(cell).await?;
        {
            let state = cell.state();
            if state.workload.image != workload.image {
                return Err(ControlError::Conflict(format!(
                    "workload `{}` runs image `{}`; give this one another `name`, or delete that one first",
                    workload.key, state.workload.image
                )));
            }
            keep(&mut workload, &state.workload);
            change_probe(cell, &state, &workload)?;
            workload.target = state.workload.target;
            workload.overrides = state.workload.overrides;
        }
        self.save(&workload).await?;
        let wanted = workload.resources.status;
        {
            let mut state = cell.state();
            state.workload = workload;
            state.begin_anew();
        }
        match wanted {
            DesiredStatus::Running => self.wake_stopped(cell).await?,
            DesiredStatus::Stopped => self.hold_all(cell).await?,
        }
        Ok(cell.request())
    }

    /// Changes the bounds and answers with the pass that acted on them.
    pub async fn scale(&self, key: &WorkloadKey, bounds: Bounds) -> Result<PassReport, ControlError> {
        self.change(key, |workload| workload.bounds = bounds).await
    }

    /// Changes who decides about a workload and answers with the pass they decided first.
    pub async fn assign(&self, key: &WorkloadKey, policies: PolicyChoices) -> Result<PassReport, ControlError> {
        self.change(key, |workload| workload.policies = policies).await
    }

    /// Changes what an operator says over the policy and answers with the pass after it. Where it resumes scaling, that
    /// is said of what was stopped outside, too.
    pub async fn override_policy(
        &self,
        key: &WorkloadKey,
        resumes: bool,
        change: impl FnOnce(&mut Overrides),
    ) -> Result<PassReport, ControlError> {
        let cell = self.cell(key)?;
        self.change(key, |workload| {
            change(&mut workload.overrides);
            if resumes {
                cell.state().forget_stopped();
            }
        })
        .await
    }

    /// Changes how fast the count may follow what is proposed and answers with the pass after it.
    pub async fn guard(&self, key: &WorkloadKey, guardrails: Guardrails) -> Result<PassReport, ControlError> {
        self.change(key, |workload| workload.guardrails = Some(guardrails)).await
    }

    /// Changes what is measured of a workload and answers with the pass after it.
    pub async fn define_metrics(
        &self,
        key: &WorkloadKey,
        metrics: BTreeMap<String, Metric>,
    ) -> Result<PassReport, ControlError> {
        self.change(key, |workload| workload.metrics = metrics).await
    }

    /// Takes in values of metrics that are pushed and asks for a pass; the caller has looked whether they may be. They
    /// are stored when this returns.
    pub async fn push_samples(&self, key: &WorkloadKey, samples: &[(String, Sample)]) -> Result<(), ControlError> {
        let cell = self.cell(key)?;
        for (name, sample) in samples {
            cell.metrics.push(name, *sample);
        }
        metrics::save(&self.shared, &[Arc::clone(&cell)]).await;
        cell.wake();
        Ok(())
    }

    async fn change(&self, key: &WorkloadKey, change: impl FnOnce(&mut Workload)) -> Result<PassReport, ControlError> {
        let cell = self.cell(key)?;
        let request = {
            let _gate = self.gate(&cell).await?;
            let mut workload = cell.state().workload.clone();
            change(&mut workload);
            self.save(&workload).await?;
            {
                let mut state = cell.state();
                state.workload = workload;
                // At once: the next pass shows what is measured now.
                cell.metrics.keep_only(&state.workload, &state.snapshot);
            }
            cell.request()
        };
        self.report(&cell, request).await
    }

    /// Answers with the pass it woke.
    pub async fn reconcile(&self, key: &WorkloadKey) -> Result<PassReport, ControlError> {
        let cell = self.cell(key)?;
        let request = cell.request();
        self.report(&cell, request).await
    }

    /// Stops and removes every replica of the workload, then forgets it. Returns what was removed. Where
    /// a replica could not be removed, the workload stays and is looked after as before.
    pub async fn delete(&self, key: &WorkloadKey) -> Result<Vec<Replica>, ControlError> {
        let cell = self.cell(key)?;
        let _gate = self.gate(&cell).await?;
        self.shared.check_dependents(key)?;
        let engine = &self.shared.engine;
        let replicas = engine.list(Some(key)).await.map_err(|error| self.refusal(error))?;
        let workload = cell.state().workload.clone();
        drain::told(&self.shared, &cell, replicas.iter().map(|replica| &replica.id)).await;
        let removals = replicas.iter().map(|replica| async {
            if replica.is_alive() {
                let stopped = self.shared.stopper(&workload).stop(replica, "the workload is deleted").await?;
                self.shared.callbacks.notify(&workload, &stopped.replica, "stop");
            }
            engine.remove(&replica.id, true).await
        });
        for result in futures_util::future::join_all(removals).await {
            match result {
                Ok(()) | Err(EngineError::NotFound(_)) => {}
                Err(error) => {
                    cell.wake();
                    return Err(self.refusal(error));
                }
            }
        }
        let stored = key.clone();
        self.shared.store(move |store| store.delete_workload(&stored)).await?;
        self.shared.cells.write().remove(key);
        cell.close();
        self.shared.audience.look_again();
        Ok(replicas)
    }

    fn take_up(&self, stored: StoredWorkload) -> Arc<Cell> {
        let settings = &self.shared.settings;
        let now = self.shared.clock.now();
        let cell = Arc::new(Cell::new(stored, settings.probes_kept, settings.interval, now));
        self.shared.cells.write().insert(cell.key.clone(), Arc::clone(&cell));
        background::look_after(&self.shared, &cell);
        cell
    }

    pub(crate) fn cell(&self, key: &WorkloadKey) -> Result<Arc<Cell>, ControlError> {
        self.shared.cell(key).ok_or_else(|| ControlError::NoSuchWorkload(key.to_string()))
    }

    async fn save(&self, workload: &Workload) -> Result<(), ControlError> {
        let workload = workload.clone();
        self.shared.store(move |store| store.save_workload(&workload)).await
    }

    async fn report(&self, cell: &Cell, request: PassRequest) -> Result<PassReport, ControlError> {
        request.await.map_err(|_| self.gone(cell))
    }

    /// Waits until no pass and nobody else has a hand at the workload. While what is returned lives, none will.
    pub(crate) async fn gate<'a>(&self, cell: &'a Cell) -> Result<MutexGuard<'a, ()>, ControlError> {
        let gate = cell.gate.lock().await;
        if cell.is_closed() { Err(self.gone(cell)) } else { Ok(gate) }
    }

    /// Why a workload has no more passes.
    fn gone(&self, cell: &Cell) -> ControlError {
        if *self.shared.shutdown.borrow() {
            ControlError::ShuttingDown
        } else {
            ControlError::NoSuchWorkload(cell.key.to_string())
        }
    }

    /// What a caller is told of an engine's error; notes whether the engine is there at all.
    pub(crate) fn refusal(&self, error: EngineError) -> ControlError {
        self.shared.note_engine(Some(&error));
        match error {
            EngineError::NotFound(id) => ControlError::NoSuchContainer(id),
            EngineError::Refused(why) => ControlError::Refused(why),
            unavailable => ControlError::EngineUnavailable(unavailable.to_string()),
        }
    }
}

//! Changes and deletes a workload. Each request returns after the pass that acted on it.

use crate::controller::Controller;
use crate::error::ControlError;
use crate::metrics::gather;
use crate::override_events::publish_overrides;
use crate::report::PassReport;
use crate::stop::Stopper;
use crate::workload::handle::WorkloadHandle;
use crate::workload::state::WorkloadState;
use crate::workload_events::publish_change;
use crate::{dependencies, drain};
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_core::contract::Sample;
use windlass_core::engine::{AnyEngine, EngineError};
use windlass_core::{Bounds, Guardrails, Metric, Overrides, PolicyChoices, Replica, Workload, WorkloadKey};

impl Controller {
    /// Changes the bounds.
    pub async fn scale(&self, key: &WorkloadKey, bounds: Bounds) -> Result<PassReport, ControlError> {
        let what = format!("its bounds are {} to {}", bounds.min(), bounds.max());
        self.change(key, &what, |workload| workload.bounds = bounds).await
    }

    /// Changes the policies.
    pub async fn assign(&self, key: &WorkloadKey, policies: PolicyChoices) -> Result<PassReport, ControlError> {
        self.change(key, "its policies are chosen", |workload| workload.policies = policies).await
    }

    /// Changes an operator's overrides. `resumes` also ends the pause that follows a stop outside Windlass.
    pub async fn override_policy(
        &self,
        key: &WorkloadKey,
        resumes: bool,
        change: impl FnOnce(&mut Overrides),
    ) -> Result<PassReport, ControlError> {
        // The event if the overrides stay the same. Otherwise, the event describes them.
        let what = if resumes {
            "replicas that were stopped outside of Windlass count again"
        } else {
            "its overrides stay as they are"
        };
        let change = |workload: &mut Workload| change(&mut workload.overrides);
        let resume = |state: &mut WorkloadState| {
            if resumes {
                state.forget_stopped();
            }
        };
        self.change_with(key, what, change, resume).await
    }

    /// Changes the guardrails.
    pub async fn guard(&self, key: &WorkloadKey, guardrails: Guardrails) -> Result<PassReport, ControlError> {
        self.change(key, "its guardrails are set", |workload| workload.guardrails = Some(guardrails)).await
    }

    /// Changes the metrics.
    pub async fn define_metrics(
        &self,
        key: &WorkloadKey,
        metrics: BTreeMap<String, Metric>,
    ) -> Result<PassReport, ControlError> {
        self.change(key, "its metrics are defined", |workload| workload.metrics = metrics).await
    }

    /// Stores pushed values of metrics, which the caller has validated, and wakes the workload.
    pub async fn push_samples(&self, key: &WorkloadKey, samples: &[(String, Sample)]) -> Result<(), ControlError> {
        let handle = self.handle(key)?;
        for (name, sample) in samples {
            handle.metrics.push(name, *sample);
        }
        let saved = gather::save(&self.context, &[Arc::clone(&handle)]).await;
        handle.wake();
        saved
    }

    /// Changes a workload, unless labels set the part that would change. `what` is the change in words.
    async fn change(
        &self,
        key: &WorkloadKey,
        what: &str,
        change: impl FnOnce(&mut Workload),
    ) -> Result<PassReport, ControlError> {
        self.change_with(key, what, change, |_| {}).await
    }

    /// As [`Self::change`]. `effect` changes the state of the workload if the change is accepted and stored.
    async fn change_with(
        &self,
        key: &WorkloadKey,
        what: &str,
        change: impl FnOnce(&mut Workload),
        effect: impl FnOnce(&mut WorkloadState),
    ) -> Result<PassReport, ControlError> {
        let handle = self.handle(key)?;
        let request = {
            let _lock = self.lock(&handle).await?;
            let mut workload = handle.state().workload.clone();
            change(&mut workload);
            let conflict = handle.state().workload.label_conflict(&workload);
            if let Some(conflict) = conflict {
                return Err(ControlError::Conflict(conflict));
            }
            let (stored, target) = (workload.clone(), handle.state().target());
            self.context.store.call(move |store| store.save_workload(&stored, target)).await?;
            let is_override = {
                let mut state = handle.state();
                let is_override = state.workload.overrides != workload.overrides;
                state.workload = workload;
                effect(&mut state);
                // At once, so that the next pass already uses the new metrics.
                handle.metrics.keep_only(&state.workload, &state.snapshot);
                is_override
            };
            if is_override {
                publish_overrides(&self.context, &handle);
            } else {
                publish_change(&self.context, &handle.key, "changed", what);
            }
            handle.request()
        };
        self.report(&handle, request).await
    }

    /// Makes a pass.
    pub async fn reconcile(&self, key: &WorkloadKey) -> Result<PassReport, ControlError> {
        let handle = self.handle(key)?;
        let request = handle.request();
        self.report(&handle, request).await
    }

    /// Stops and removes every replica of a managed workload, then forgets the workload. Returns the removed replicas. If a
    /// replica cannot be removed, the workload stays. An adopted workload stays until its label is removed.
    pub async fn delete(&self, key: &WorkloadKey) -> Result<Vec<Replica>, ControlError> {
        let context = &self.context;
        let handle = self.handle(key)?;
        let _lock = self.lock(&handle).await?;
        let key = &handle.key;
        dependencies::check_no_dependents(&context.workloads, key)?;
        let workload = handle.state().workload.clone();
        if let Some(conflict) = workload.deletion_conflict() {
            return Err(ControlError::Conflict(conflict));
        }
        let replicas = self.list(&handle).await?;
        drain::before_stop(context, &handle, replicas.iter().map(|replica| &replica.id)).await;
        if let Err(error) = self.remove_all(&handle, &workload, &replicas).await {
            handle.wake();
            return Err(self.refusal(error));
        }
        // While the replicas stopped, a workload that depends on this one may have joined. None joins from here on.
        let _joining = context.workloads.joining.lock().await;
        if let Err(conflict) = dependencies::check_no_dependents(&context.workloads, key) {
            handle.wake();
            return Err(conflict);
        }
        let stored = key.clone();
        context.store.call(move |store| store.delete_workload(&stored)).await?;
        context.workloads.remove(key);
        handle.close();
        context.drain.notify();
        publish_change(context, key, "deleted", "it is deleted");
        Ok(replicas)
    }

    /// Stops and removes these replicas of a managed workload, which are all of its replicas.
    async fn remove_all(
        &self,
        handle: &Arc<WorkloadHandle>,
        workload: &Workload,
        replicas: &[Replica],
    ) -> Result<(), EngineError> {
        let context = &self.context;
        let stopper = Stopper::new(context, handle, workload);
        let engine = match &context.engine {
            AnyEngine::Slots(engine) => engine,
            AnyEngine::Counts(engine) => {
                let hooks = replicas.iter().map(|replica| stopper.call_hook(replica, "the workload is deleted"));
                futures_util::future::join_all(hooks).await;
                return engine.remove_service(workload).await;
            }
        };
        let removals = replicas.iter().map(|replica| async {
            if replica.is_alive() {
                let stopped = stopper.stop(replica, "the workload is deleted").await?;
                context.callbacks.notify(workload, &stopped.replica, "stop");
            }
            engine.remove(&replica.id, true).await
        });
        let results = futures_util::future::join_all(removals).await;
        let failed = results.into_iter().find(|result| !matches!(result, Ok(()) | Err(EngineError::NotFound(_))));
        failed.unwrap_or(Ok(()))
    }
}

//! Changes and deletes a workload. Each request returns after the pass that acted on it.

use crate::controller::Controller;
use crate::error::ControlError;
use crate::metrics::gather;
use crate::report::PassReport;
use crate::stop::Stopper;
use crate::{dependencies, drain};
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_core::contract::Sample;
use windlass_core::engine::{AnyEngine, EngineError};
use windlass_core::{Bounds, Guardrails, Metric, Overrides, PolicyChoices, Replica, Workload, WorkloadKey};

impl Controller {
    /// Changes the bounds.
    pub async fn scale(&self, key: &WorkloadKey, bounds: Bounds) -> Result<PassReport, ControlError> {
        self.change(key, |workload| workload.bounds = bounds).await
    }

    /// Changes the policies.
    pub async fn assign(&self, key: &WorkloadKey, policies: PolicyChoices) -> Result<PassReport, ControlError> {
        self.change(key, |workload| workload.policies = policies).await
    }

    /// Changes an operator's overrides. `resumes` also ends the pause that follows a stop outside Windlass.
    pub async fn override_policy(
        &self,
        key: &WorkloadKey,
        resumes: bool,
        change: impl FnOnce(&mut Overrides),
    ) -> Result<PassReport, ControlError> {
        let handle = self.handle(key)?;
        self.change(key, |workload| {
            change(&mut workload.overrides);
            if resumes {
                handle.state().forget_stopped();
            }
        })
        .await
    }

    /// Changes the guardrails.
    pub async fn guard(&self, key: &WorkloadKey, guardrails: Guardrails) -> Result<PassReport, ControlError> {
        self.change(key, |workload| workload.guardrails = Some(guardrails)).await
    }

    /// Changes the metrics.
    pub async fn define_metrics(
        &self,
        key: &WorkloadKey,
        metrics: BTreeMap<String, Metric>,
    ) -> Result<PassReport, ControlError> {
        self.change(key, |workload| workload.metrics = metrics).await
    }

    /// Stores pushed values of metrics, which the caller has validated, and wakes the workload.
    pub async fn push_samples(&self, key: &WorkloadKey, samples: &[(String, Sample)]) -> Result<(), ControlError> {
        let handle = self.handle(key)?;
        for (name, sample) in samples {
            handle.metrics.push(name, *sample);
        }
        gather::save(&self.context, &[Arc::clone(&handle)]).await;
        handle.wake();
        Ok(())
    }

    async fn change(&self, key: &WorkloadKey, change: impl FnOnce(&mut Workload)) -> Result<PassReport, ControlError> {
        let handle = self.handle(key)?;
        let request = {
            let _lock = self.lock(&handle).await?;
            let mut workload = handle.state().workload.clone();
            change(&mut workload);
            let (stored, target) = (workload.clone(), handle.state().target());
            self.context.store.call(move |store| store.save_workload(&stored, target)).await?;
            {
                let mut state = handle.state();
                state.workload = workload;
                // At once, so that the next pass already uses the new metrics.
                handle.metrics.keep_only(&state.workload, &state.snapshot);
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

    /// Stops and removes every replica of the workload, then forgets the workload. Returns the removed replicas. If a
    /// replica cannot be removed, the workload stays.
    pub async fn delete(&self, key: &WorkloadKey) -> Result<Vec<Replica>, ControlError> {
        let context = &self.context;
        let handle = self.handle(key)?;
        let _lock = self.lock(&handle).await?;
        let key = &handle.key;
        dependencies::check_no_dependents(&context.workloads, key)?;
        let replicas = self.list(&handle).await?;
        let workload = handle.state().workload.clone();
        drain::before_stop(context, &handle, replicas.iter().map(|replica| &replica.id)).await;
        let stopper = Stopper::new(context, &handle, &workload);
        let removals = replicas.iter().map(|replica| async {
            if replica.is_alive() {
                let stopped = stopper.stop(replica, "the workload is deleted").await?;
                context.callbacks.notify(&workload, &stopped.replica, "stop");
            }
            context.engine.slots()?.remove(&replica.id, true).await
        });
        let removed = match &context.engine {
            AnyEngine::Slots(_) => futures_util::future::join_all(removals).await,
            // The service of an adopted workload is its owner's.
            AnyEngine::Counts(_) if workload.declaration.is_adopted() => Vec::new(),
            AnyEngine::Counts(engine) => {
                let hooks = replicas.iter().map(|replica| stopper.call_hook(replica, "the workload is deleted"));
                futures_util::future::join_all(hooks).await;
                vec![engine.remove_service(&workload).await]
            }
        };
        for result in removed {
            match result {
                Ok(()) | Err(EngineError::NotFound(_)) => {}
                Err(error) => {
                    handle.wake();
                    return Err(self.refusal(error));
                }
            }
        }
        let stored = key.clone();
        context.store.call(move |store| store.delete_workload(&stored)).await?;
        context.workloads.remove(key);
        handle.close();
        context.drain.notify();
        Ok(replicas)
    }
}

//! Starts a workload, for the first time or again.

use crate::action::ActionKind;
use crate::controller::Controller;
use crate::dependencies;
use crate::error::ControlError;
use crate::report::PassReport;
use crate::workload::handle::{PassRequest, WorkloadHandle};
use crate::workload::state::WorkloadState;
use std::sync::Arc;
use windlass_core::store::StoredWorkload;
use windlass_core::workload::DesiredStatus;
use windlass_core::{Phase, ProbeTarget, Replica, Workload};

/// Copies the parts of an existing workload (second argument) that a repeated start keeps into the new one.
pub type Keep = dyn Fn(&mut Workload, &Workload) + Send + Sync;

/// The result of a start.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Whether a replica was created. Otherwise one existed already.
    pub created: bool,
    /// The replica to return: the newest created one, or the oldest existing one. `None` if nothing was to be done yet: the
    /// workload waits for a dependency, is paused, or is only recommended about. The pass contains the reason.
    pub replica: Option<Replica>,
    /// The pass that answered the start.
    pub pass: PassReport,
}

impl Controller {
    /// Stores the desired state and returns after the pass that acted on it. For an existing workload, everything is
    /// replaced except its overrides and its target, which the pass moves into the new bounds.
    ///
    /// Existing containers are kept: if none runs and the workload shall run, the oldest one is started.
    pub async fn start(&self, workload: Workload) -> Result<Started, ControlError> {
        self.start_keeping(workload, &|_, _| {}).await
    }

    /// Starts like [`Self::start`]. For an existing workload, `keep` copies the parts that stay as they are.
    pub async fn start_keeping(&self, workload: Workload, keep: &Keep) -> Result<Started, ControlError> {
        let (handle, request) = self.request_start(workload, keep).await?;
        let pass = self.report(&handle, request).await?;
        let created = pass.actions.iter().find(|action| action.kind == ActionKind::Create && action.error.is_none());
        let replica = {
            let state = handle.state();
            let replicas = &state.snapshot.replicas;
            let replica = match created.and_then(|action| action.container.as_ref()) {
                Some(id) => replicas.iter().find(|replica| replica.id == *id),
                None => replicas.iter().find(|replica| replica.is_alive()).or(replicas.first()),
            };
            replica.cloned()
        };
        if replica.is_some() {
            return Ok(Started { created: created.is_some(), replica, pass });
        }
        if let Some(error) = &pass.error {
            return Err(ControlError::EngineUnavailable(error.clone()));
        }
        if let Some(error) = pass.actions.iter().find_map(|action| action.error.clone()) {
            return Err(ControlError::StartFailed(error));
        }
        // No action failed: nothing was to be done yet.
        Ok(Started { created: false, replica: None, pass })
    }

    /// Stores the desired state and requests a pass.
    async fn request_start(
        &self,
        workload: Workload,
        keep: &Keep,
    ) -> Result<(Arc<WorkloadHandle>, PassRequest), ControlError> {
        let workloads = &self.context.workloads;
        dependencies::check(workloads, &workload)?;
        loop {
            if self.context.tasks.is_shutting_down() {
                return Err(ControlError::ShuttingDown);
            }
            if let Some(handle) = workloads.get(&workload.key) {
                match self.start_again(&handle, workload.clone(), keep).await {
                    // It was deleted while this start waited for it, so the next attempt starts a new workload.
                    Err(ControlError::NoSuchWorkload(_)) => continue,
                    request => return Ok((handle, request?)),
                }
            }
            let _joining = workloads.joining.lock().await;
            if workloads.get(&workload.key).is_some() {
                continue;
            }
            let (stored, target) = (workload.clone(), workload.bounds.initial());
            self.context.store.call(move |store| store.save_workload(&stored, target)).await?;
            let handle = self.manage(StoredWorkload::new(workload));
            let request = handle.request();
            return Ok((handle, request));
        }
    }

    async fn start_again(
        &self,
        handle: &Arc<WorkloadHandle>,
        mut workload: Workload,
        keep: &Keep,
    ) -> Result<PassRequest, ControlError> {
        let _lock = self.lock(handle).await?;
        let target = {
            let state = handle.state();
            if state.workload.image != workload.image {
                return Err(ControlError::Conflict(format!(
                    "workload `{}` runs image `{}`; give this one another `name`, or delete that one first",
                    workload.key, state.workload.image
                )));
            }
            keep(&mut workload, &state.workload);
            workload.overrides = state.workload.overrides;
            change_probe(handle, &state, &workload)?;
            state.target()
        };
        let stored = workload.clone();
        self.context.store.call(move |store| store.save_workload(&stored, target)).await?;
        let status = workload.resources.status;
        {
            let mut state = handle.state();
            state.workload = workload;
            state.retry_everything();
        }
        match status {
            DesiredStatus::Running => self.start_stopped(handle).await?,
            DesiredStatus::Stopped => self.hold_all(handle).await?,
        }
        Ok(handle.request())
    }
}

/// Checks a new probe and forgets the results of the old one. If the probe is the image's own HEALTHCHECK, all running
/// containers must have one. The caller holds the pass lock.
fn change_probe(handle: &WorkloadHandle, state: &WorkloadState, wanted: &Workload) -> Result<(), ControlError> {
    let uses_image = wanted.probe.as_ref().is_some_and(|probe| probe.target == ProbeTarget::Docker);
    let lacks_check = |replica: &Replica| replica.phase == Phase::Running && replica.health_check.is_none();
    if uses_image && state.snapshot.replicas.iter().any(lacks_check) {
        return Err(ControlError::Conflict(format!(
            "the running containers of `{}` have no HEALTHCHECK, which the probe `docker` needs; choose another `probe`",
            wanted.key
        )));
    }
    if wanted.probe != state.workload.probe {
        handle.probes.clear();
    }
    Ok(())
}

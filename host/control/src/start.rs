//! Starts a workload, for the first time or again.

use crate::action::{Action, ActionKind};
use crate::controller::Controller;
use crate::dependencies;
use crate::error::ControlError;
use crate::report::PassReport;
use crate::rollout::{Before, carry_over};
use crate::workload::handle::{PassRequest, WorkloadHandle};
use crate::workload::state::WorkloadState;
use crate::workload_events::publish_change;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::engine::AnyEngine;
use windlass_core::store::StoredWorkload;
use windlass_core::workload::DesiredStatus;
use windlass_core::{Phase, ProbeTarget, Replica, Workload, WorkloadKey};

/// Billionths of a CPU.
const NANO_PER_CPU: u64 = 1_000_000_000;

/// Time for which a start waits for the first task of a service, which a Swarm lists within about a second, and time between two
/// looks.
const FIRST_TASK_WITHIN: Duration = Duration::from_secs(4);
const FIRST_TASK_LOOK: Duration = Duration::from_millis(100);

/// Copies the parts of an existing workload (second argument) that a repeated start keeps into the new one.
pub type Keep = dyn Fn(&mut Workload, &Workload) + Send + Sync;

/// The result of a start.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// True if a replica was created. Otherwise one existed already.
    pub created: bool,
    /// The replica to return: the first one that was created, or the oldest existing one. `None` if nothing was to be
    /// done yet: the workload waits for a dependency, is paused, or is only recommended about. The pass has the reason.
    pub replica: Option<Replica>,
    /// The pass that answered the start.
    pub pass: PassReport,
}

impl Controller {
    /// Stores the desired state and returns after the pass that acted on it. For an existing workload, everything is
    /// replaced except its overrides and its target, which the pass moves into the new bounds.
    ///
    /// Existing containers are kept, and replaced in later passes if they are outdated. If none runs and the workload shall
    /// run, the oldest one is started.
    pub async fn start(&self, workload: Workload) -> Result<Started, ControlError> {
        self.start_keeping(workload, &|_, _| {}, None).await
    }

    /// Starts like [`Self::start`]. For an existing workload, `keep` copies the parts that stay as they are. `pulled` is the
    /// identifier of its image, if that was just pulled: replicas of another image are outdated then.
    pub async fn start_keeping(
        &self,
        workload: Workload,
        keep: &Keep,
        pulled: Option<String>,
    ) -> Result<Started, ControlError> {
        self.check_leads()?;
        self.check_limits(&workload).await?;
        self.check_status(&workload)?;
        let (handle, request) = self.request_start(workload, keep, pulled.as_deref()).await?;
        let pass = self.report(&handle, request).await?;
        let creates = |action: &&Action| matches!(action.kind, ActionKind::Create | ActionKind::Deploy);
        let created = pass.actions.iter().filter(creates).find(|action| action.error.is_none());
        let replica = {
            let state = handle.state();
            let replicas = &state.snapshot.replicas;
            let replica = match created.and_then(|action| action.container.as_ref()) {
                Some(id) => replicas.iter().find(|replica| replica.id == *id),
                None => replicas.iter().find(|replica| replica.is_alive()).or(replicas.first()),
            };
            replica.cloned()
        };
        let replica = match replica {
            None if created.is_some() => self.first_task(&handle).await,
            found => found,
        };
        let makes_replica = |action: &&Action| creates(action) || action.kind == ActionKind::Start;
        let refused = pass.actions.iter().filter(makes_replica).find_map(|action| action.error.as_ref());
        if let Some(error) = refused.filter(|_| created.is_none()) {
            let text = format!("{error}; {}", kept(replica.as_ref(), &handle.key));
            // An engine that went away refused nothing.
            let is_lost = self.context.engine.ping().await.is_err();
            return Err(if is_lost { ControlError::EngineUnavailable(text) } else { ControlError::StartFailed(text) });
        }
        if replica.is_some() {
            return Ok(Started { created: created.is_some(), replica, pass });
        }
        if let Some(error) = &pass.error {
            let kept = kept(None, &handle.key);
            return Err(ControlError::EngineUnavailable(format!("{error}; {kept}")));
        }
        // No action failed: nothing was to be done yet.
        Ok(Started { created: false, replica: None, pass })
    }

    /// The first task of a service that was just created: a Swarm makes tasks after it has answered. `None` if it makes none in
    /// time, or shall make none.
    async fn first_task(&self, handle: &WorkloadHandle) -> Option<Replica> {
        if !self.is_count_engine() || handle.state().target() == 0 {
            return None;
        }
        let look = async {
            loop {
                // Without an answer, the pass has the reason.
                if let Some(task) = self.list(handle).await.ok()?.into_iter().next() {
                    return Some(task);
                }
                tokio::time::sleep(FIRST_TASK_LOOK).await;
            }
        };
        tokio::time::timeout(FIRST_TASK_WITHIN, look).await.ok().flatten()
    }

    /// Refuses limits that the engine cannot grant.
    async fn check_limits(&self, workload: &Workload) -> Result<(), ControlError> {
        let cpu = &workload.resources.cpu;
        // Every engine has one CPU.
        if cpu.nano_cores() <= NANO_PER_CPU {
            return Ok(());
        }
        match self.context.engine.cpus().await {
            Some(cpus) if cpu.nano_cores() > u64::from(cpus) * NANO_PER_CPU => {
                let unit = if cpus == 1 { "CPU" } else { "CPUs" };
                Err(ControlError::Limits(format!(
                    "the engine has {cpus} {unit}, and each replica would need {cpu}; expected at most {cpus}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a stopped workload on an engine that starts every replica by itself.
    fn check_status(&self, workload: &Workload) -> Result<(), ControlError> {
        let is_stopped = workload.resources.status == DesiredStatus::Stopped;
        if is_stopped && matches!(self.context.engine, AnyEngine::Counts(_)) {
            let why = "`resources.status` is `stopped`, and a Swarm starts every replica of a service; set `min_replicas` to \
                       0 and force a count of 0 instead";
            return Err(ControlError::Conflict(why.to_owned()));
        }
        Ok(())
    }

    /// Refuses the network of the engine's host, unless the configuration allows it.
    pub(crate) fn check_networks(&self, workload: &Workload) -> Result<(), ControlError> {
        if workload.uses_host_network() && !self.context.settings.host_network {
            return Err(ControlError::Networks(Workload::HOST_NETWORK_REFUSED.to_owned()));
        }
        Ok(())
    }

    /// Stores the desired state and requests a pass.
    async fn request_start(
        &self,
        mut workload: Workload,
        keep: &Keep,
        pulled: Option<&str>,
    ) -> Result<(Arc<WorkloadHandle>, PassRequest), ControlError> {
        let workloads = &self.context.workloads;
        workload.depends_on = workload.depends_on.iter().map(|key| workloads.known_key(key)).collect();
        dependencies::check(workloads, &workload)?;
        loop {
            if self.context.tasks.is_shutting_down() {
                return Err(ControlError::ShuttingDown);
            }
            if let Some(handle) = workloads.find(&workload.key) {
                match self.start_again(&handle, workload.clone(), keep, pulled).await {
                    // It was deleted while this start waited for it, so the next attempt starts a new workload.
                    Err(ControlError::NoSuchWorkload(_)) => continue,
                    request => return Ok((handle, request?)),
                }
            }
            let _joining = workloads.joining.lock().await;
            if workloads.find(&workload.key).is_some() {
                continue;
            }
            // A dependency may have been deleted meanwhile.
            dependencies::check(workloads, &workload)?;
            self.check_networks(&workload)?;
            workload.unlabelled = Some(workload.generation());
            let (stored, target) = (workload.clone(), workload.bounds.initial());
            self.context.store.call(move |store| store.save_workload(&stored, target)).await?;
            let handle = self.manage(StoredWorkload::new(workload));
            publish_change(&self.context, &handle.key, "started", "a start request declares it");
            let request = handle.request();
            return Ok((handle, request));
        }
    }

    async fn start_again(
        &self,
        handle: &Arc<WorkloadHandle>,
        mut workload: Workload,
        keep: &Keep,
        pulled: Option<&str>,
    ) -> Result<PassRequest, ControlError> {
        let _lock = self.lock(handle).await?;
        let (target, before) = {
            let state = handle.state();
            let current = &state.workload;
            if let Some(service) = current.declaration.service() {
                return Err(ControlError::Conflict(format!(
                    "labels of {service} declare workload `{}`; give this one another `name`",
                    current.key
                )));
            }
            let may_change_image = current.is_named() && workload.is_named();
            if !may_change_image && !current.image.is_same(&workload.image) {
                return Err(ControlError::Conflict(format!(
                    "workload `{}` runs image `{}`; give this one another `name`, or delete that one first",
                    current.key, current.image
                )));
            }
            workload.key = current.key.clone();
            keep(&mut workload, current);
            self.check_networks(&workload)?;
            workload.overrides = current.overrides;
            let before = Before { workload: current, history: &state.history, replicas: &state.snapshot.replicas };
            carry_over(&mut workload, &before, pulled);
            change_probe(handle, &state, &workload)?;
            (state.target(), current.generation())
        };
        let is_changed = workload.generation() != before;
        let stored = workload.clone();
        self.context.store.call(move |store| store.save_workload(&stored, target)).await?;
        let status = workload.resources.status;
        let is_same = handle.state().workload == workload;
        {
            let mut state = handle.state();
            state.workload = workload;
            state.retry_everything();
            // At once, so that the next pass already uses the new metrics.
            handle.metrics.keep_only(&state.workload, &state.snapshot);
        }
        let what = if is_same { "it is started again" } else { "a start request changes it" };
        publish_change(&self.context, &handle.key, if is_same { "started" } else { "changed" }, what);
        match (&self.context.engine, status) {
            (AnyEngine::Counts(_), _) => self.deploy(handle, is_changed).await.map_err(|error| match error {
                ControlError::Refused(why) => {
                    let oldest = handle.state().snapshot.replicas.first().cloned();
                    ControlError::StartFailed(format!("{why}; {}", kept(oldest.as_ref(), &handle.key)))
                }
                other => other,
            })?,
            (AnyEngine::Slots(_), DesiredStatus::Running) => self.start_stopped(handle).await?,
            (AnyEngine::Slots(_), DesiredStatus::Stopped) => self.hold_all(handle).await?,
        }
        Ok(handle.request())
    }
}

/// Says that the desired state of a start that failed is kept, and how to change that.
fn kept(running: Option<&Replica>, key: &WorkloadKey) -> String {
    match running {
        Some(_) => format!(
            "the new desired state is kept and the existing replicas stay; start the workload again with a corrected one, \
             or return with `POST /images/{key}/rollback`"
        ),
        None => format!(
            "the desired state is kept, and Windlass tries again; start the workload again with a corrected one, or forget \
             it with `DELETE /images/{key}`"
        ),
    }
}

/// Checks a new probe and forgets the results of the old one. If the probe is the image's own HEALTHCHECK, all running
/// containers must have one. The caller holds the pass lock.
fn change_probe(handle: &WorkloadHandle, state: &WorkloadState, wanted: &Workload) -> Result<(), ControlError> {
    let uses_image = wanted.probe.as_ref().is_some_and(|probe| probe.target == ProbeTarget::Docker);
    let lacks_check = |replica: &Replica| replica.phase == Phase::Running && replica.health_check.is_none();
    // Replicas that are replaced anyway need none.
    let keeps_replicas = wanted.generation() == state.workload.generation();
    if uses_image && keeps_replicas && state.snapshot.replicas.iter().any(lacks_check) {
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

//! Manages, changes, suspends and forgets the workloads that labels declare.

use crate::background;
use crate::context::Context;
use crate::error::ControlError;
use crate::workload::handle::WorkloadHandle;
use crate::workload::state::Suspension;
use crate::workload_events::publish_change;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::engine::{AnyEngine, EngineError};
use windlass_core::store::StoredWorkload;
use windlass_core::{Replica, Workload};

/// Time for which the workload of a missing service is kept. A recreated service is gone for seconds, and one whose image is
/// built first for minutes; its history and its overrides must survive that.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Time for which a change waits for a pass. A pass may pull an image for minutes, and other services must not wait for it.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The outcome for one service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Its workload is managed, with its labels in force.
    Accepted,
    /// The reason why it is left alone.
    Refused(String),
    /// The next search tries again.
    Later,
}

/// Manages a declared workload, or changes the one that there is.
pub(crate) async fn admit(context: &Arc<Context>, workload: Workload) -> Admission {
    let existing = context.workloads.get(&workload.key);
    let has_known_policies =
        existing.as_ref().is_some_and(|handle| handle.state().workload.policies == workload.policies);
    if !has_known_policies && let Err(error) = context.policies.accept(&workload.policies, context.clock.now()).await {
        return Admission::Refused(error.to_string());
    }
    let key = workload.key.clone();
    let admitted = match existing {
        Some(handle) => change(context, &handle, workload).await,
        None => adopt(context, workload).await,
    };
    admitted.unwrap_or_else(|error| {
        let error = match error {
            ControlError::Store(cause) => cause,
            error => error.to_string(),
        };
        tracing::warn!(workload = %key, error, "the service cannot be adopted now; the next search tries again");
        Admission::Later
    })
}

async fn adopt(context: &Arc<Context>, workload: Workload) -> Result<Admission, ControlError> {
    let replicas =
        context.engine.list(&workload.key, &workload.declaration).await.map_err(|error| refused(context, error))?;
    let own = context.settings.own_container.as_ref();
    if own.is_some_and(|own| replicas.iter().any(|replica| replica.id.0.starts_with(&own.0))) {
        return Ok(Admission::Refused("this Windlass runs in it, and a Windlass does not scale itself".to_owned()));
    }
    let count = match &context.engine {
        AnyEngine::Slots(_) => alive(&replicas),
        AnyEngine::Counts(engine) => match engine.service(&workload).await.map_err(|error| refused(context, error))? {
            Some(service) => service.count,
            None => return Ok(Admission::Later),
        },
    };
    let _joining = context.workloads.joining.lock().await;
    if context.workloads.get(&workload.key).is_some() {
        // A start request came in between. The next search names both owners.
        return Ok(Admission::Later);
    }
    // Its first pass begins with the count there is.
    let target = workload.bounds.clamp(count);
    let stored = workload.clone();
    context.store.call(move |store| store.save_workload(&stored, target)).await?;
    let service = workload.declaration.to_string();
    tracing::info!(
        workload = %workload.key,
        service = %workload.declaration,
        mode = ?workload.policies.mode,
        replicas = count,
        "a service with labels is adopted"
    );
    let mut stored = StoredWorkload::new(workload);
    stored.history.target = Some(target);
    let handle = background::manage(context, stored);
    publish_change(context, &handle.key, "adopted", &format!("labels of {} declare it", service));
    handle.state().suspended = None;
    handle.wake();
    Ok(Admission::Accepted)
}

/// Changes the desired state of a workload to what its labels say, except its overrides, its history and, within the bounds, its
/// target.
async fn change(
    context: &Arc<Context>,
    handle: &Arc<WorkloadHandle>,
    mut wanted: Workload,
) -> Result<Admission, ControlError> {
    wanted.overrides = handle.state().workload.overrides;
    if handle.state().workload != wanted {
        let Ok(_lock) = tokio::time::timeout(LOCK_WAIT, handle.pass_lock.lock()).await else {
            context.adoption.request();
            return Ok(Admission::Accepted);
        };
        if handle.is_closed() {
            return Ok(Admission::Later);
        }
        let target = {
            let state = handle.state();
            wanted.overrides = state.workload.overrides;
            wanted.bounds.clamp(state.target())
        };
        let stored = wanted.clone();
        context.store.call(move |store| store.save_workload(&stored, target)).await?;
        let mut state = handle.state();
        if wanted.probe != state.workload.probe {
            handle.probes.clear();
        }
        // A deploy may have mended what made replicas fail.
        if wanted.image != state.workload.image {
            state.retry_everything();
        }
        state.workload = wanted;
        state.set_target(target);
        // At once, so that the next pass already uses the new metrics.
        handle.metrics.keep_only(&state.workload, &state.snapshot);
        drop(state);
        tracing::info!(workload = %handle.key, "the desired state follows the labels of the service");
        publish_change(context, &handle.key, "changed", "it follows the changed labels of its service");
        handle.wake();
    }
    resume(context, handle);
    Ok(Admission::Accepted)
}

/// Lets the passes of a workload act: its labels are in force.
fn resume(context: &Context, handle: &WorkloadHandle) {
    let suspension = handle.state().suspended.take();
    if let Some(suspension) = suspension {
        // One until the labels are read is none for a reader.
        if suspension.missing_since.is_some() {
            publish_change(context, &handle.key, "resumed", "the labels of its service are in force again");
        }
        handle.wake();
    }
}

/// Keeps the passes of a workload from acting, because no service declares it for now. Forgets it after [`FORGET_AFTER`].
pub(crate) async fn suspend(context: &Context, handle: &WorkloadHandle, reason: &str) {
    let now = context.clock.now();
    let (since, is_new) = {
        let mut state = handle.state();
        let before = state.suspended.take();
        let since = before.as_ref().and_then(|before| before.missing_since).unwrap_or(now);
        let is_new = before.is_none_or(|before| before.reason != reason);
        state.suspended = Some(Suspension { missing_since: Some(since), reason: reason.to_owned() });
        (since, is_new)
    };
    if is_new {
        tracing::warn!(workload = %handle.key, reason, "the workload is suspended");
        publish_change(context, &handle.key, "suspended", &format!("it is suspended: {reason}"));
        handle.wake();
    }
    if now.since(since) >= FORGET_AFTER {
        forget(context, handle, reason).await;
    }
}

/// Forgets a workload. Its containers stay as they are.
pub(crate) async fn forget(context: &Context, handle: &WorkloadHandle, reason: &str) {
    let Ok(_lock) = tokio::time::timeout(LOCK_WAIT, handle.pass_lock.lock()).await else {
        context.adoption.request();
        return;
    };
    let key = handle.key.clone();
    let deleted = context.store.call_or_log("forget a workload", move |store| store.delete_workload(&key)).await;
    if deleted.is_some() {
        tracing::info!(workload = %handle.key, reason, "the workload is forgotten; its containers stay as they are");
        context.workloads.remove(&handle.key);
        handle.close();
        context.drain.notify();
        publish_change(context, &handle.key, "forgotten", &format!("it is forgotten: {reason}"));
    }
}

/// Returns true if a service that is not declared exists: then only its label is gone.
pub(crate) async fn has_lost_its_label(context: &Context, handle: &WorkloadHandle) -> Result<bool, EngineError> {
    let declaration = handle.state().workload.declaration.clone();
    if !context.engine.has_service(&declaration).await? {
        return Ok(false);
    }
    // It may have come after the list of services. If it has the label, it is listed now.
    let services = context.engine.declared().await?;
    Ok(services.iter().all(|service| service.declaration != declaration))
}

fn alive(replicas: &[Replica]) -> u32 {
    u32::try_from(replicas.iter().filter(|replica| replica.is_alive()).count()).unwrap_or(u32::MAX)
}

fn refused(context: &Context, error: EngineError) -> ControlError {
    context.engine_health.refusal(error)
}

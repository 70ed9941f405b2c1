//! Observation: engine and host records → [`Snapshot`].

use crate::context::Context;
use crate::dependencies;
use crate::reconcile::result::Aftermath;
use crate::workload::handle::WorkloadHandle;
use crate::workload::state::Known;
use std::collections::BTreeSet;
use std::time::Duration;
use windlass_core::engine::{AnyEngine, EngineError};
use windlass_core::{ContainerId, Creator, Phase, Plan, Replica, ServiceSeen, Snapshot, Step, Timestamp};

/// The engine records a stop within this time after the end of the process.
const STOP_RECORDED_WITHIN: Duration = Duration::from_secs(2);

/// Observes one workload. Records about replicas that are gone are no part of the snapshot.
///
/// If the process of a held replica runs again, somebody started it through the engine, and its hold is over.
///
/// # Errors
/// The engine's error; nothing is known then.
pub(crate) async fn observe(
    context: &Context,
    handle: &WorkloadHandle,
    known: &Known,
    now: Timestamp,
) -> Result<Snapshot, EngineError> {
    // Before the replicas, so that a change of the service after this makes the decision stale.
    let service = observe_service(context, handle).await?;
    let listed = context.engine.list(&handle.key, &known.declaration).await?;
    // Read after the listing: a process that it shows as ended may have been stopped meanwhile.
    let stops = handle.state().stops.clone();
    let (mut replicas, strangers): (Vec<Replica>, _) =
        listed.into_iter().partition(|replica| is_ours(replica, known.containers.as_ref()));
    let mut snapshot = Snapshot {
        at: now,
        engine_lost: context.engine_health.lost_at(),
        dependencies: dependencies::states(&context.workloads, &known.depends_on),
        strangers,
        service,
        ..Snapshot::default()
    };
    for replica in &mut replicas {
        if known.held.contains(&replica.id) && !replica.is_alive() {
            replica.phase = Phase::Held;
            snapshot.held.insert(replica.id.clone());
        }
        if known.unremovable.contains(&replica.id) {
            snapshot.unremovable.insert(replica.id.clone());
        }
        let stop = stops.get(&replica.id).copied().unwrap_or_default();
        let since_start = |at: &Timestamp| replica.started_at.is_some_and(|started| started <= *at);
        let is_stopped = replica.phase == Phase::Exited && stop.stopped.as_ref().is_some_and(since_start);
        // The engine records a stop after the end of the process. Before its events are known, any end may be a stop.
        let killed = stop.killed.filter(|_| replica.stops_by_kill);
        let may_be_stopped = replica.phase == Phase::Exited
            && ([stop.signalled, killed].iter().flatten().any(since_start)
                || !context.engine_health.are_events_known());
        context.skew_warning.note(handle.clock_skew.correct(replica, now));
        if is_stopped {
            snapshot.stopped_outside.insert(replica.id.clone());
        } else if may_be_stopped {
            let ended = if context.engine_health.are_events_known() { replica.finished_at } else { Some(now) };
            let until = ended.unwrap_or(now).plus(STOP_RECORDED_WITHIN);
            if until > now {
                snapshot.stop_unclear.insert(replica.id.clone(), until);
            }
        }
        handle.probes.take_over(known.probe.as_ref(), replica, now);
        replica.usage = context.engine.usage(&replica.id);
        if let Some(status) = known.health.get(&replica.id) {
            snapshot.health.insert(replica.id.clone(), *status);
        }
    }
    if let AnyEngine::Counts(engine) = &context.engine {
        let node = |replica: &Replica| Some((replica.id.clone(), engine.node(&replica.id)?));
        snapshot.nodes = replicas.iter().filter_map(node).collect();
    }
    handle.clock_skew.observed(replicas.iter().map(|replica| &replica.id), now, context.engine.listing_age());
    handle.probes.none_later_than(now);
    snapshot.probes = handle.probes.of(replicas.iter().map(|replica| &replica.id));
    snapshot.replicas = replicas;
    Ok(snapshot)
}

/// The workload's service, if the engine keeps the replicas by itself.
async fn observe_service(context: &Context, handle: &WorkloadHandle) -> Result<ServiceSeen, EngineError> {
    let AnyEngine::Counts(engine) = &context.engine else { return Ok(ServiceSeen::NotUsed) };
    let workload = handle.state().workload.clone();
    Ok(engine.service(&workload).await?.map_or(ServiceSeen::Missing, ServiceSeen::Found))
}

/// Observes the workload again after the steps of a plan.
pub(crate) async fn observe_again(
    context: &Context,
    handle: &WorkloadHandle,
    before: &Snapshot,
    plan: &Plan,
) -> Aftermath {
    let mut fell = before.fell_since(&handle.state().snapshot);
    let mut begun = BTreeSet::new();
    if plan.steps.is_empty() {
        return Aftermath { snapshot: None, begun, fell };
    }
    let mut known = handle.state().known();
    // The assessments of this pass stay, except those of replicas that start again.
    known.health = before.health.clone();
    for step in &plan.steps {
        if let Step::Restart { replica, .. } | Step::Start { replica, .. } = step {
            known.health.remove(replica);
            begun.insert(replica.clone());
        }
    }
    let snapshot = match observe(context, handle, &known, context.clock.now()).await {
        Ok(after) => {
            let ids = after.replicas.iter().map(|replica| &replica.id);
            begun.extend(ids.filter(|id| before.replica(id).is_none()).cloned());
            fell |= after.fell_since(before);
            Some(after)
        }
        Err(error) => {
            tracing::warn!(workload = %handle.key, %error, "the workload could not be observed after the pass");
            None
        }
    };
    Aftermath { snapshot, begun, fell }
}

/// Returns true if a container with the workload's labels is its replica. Labels are copied by `docker commit`; the name of a
/// slot and the identifier of a container cannot be. A container that was a replica once stays one under any name.
///
/// `containers`: the replicas of the last observation. `None` before the first one. Then a container that Windlass created
/// is a replica: an earlier version gave other names.
pub(crate) fn is_ours(replica: &Replica, containers: Option<&BTreeSet<ContainerId>>) -> bool {
    let is_known = |containers: &BTreeSet<ContainerId>| containers.contains(&replica.id);
    replica.has_slot_name || containers.map_or(replica.creator == Creator::Windlass, is_known)
}

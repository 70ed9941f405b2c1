//! Observation: engine and host records → [`Snapshot`].

use crate::context::Context;
use crate::dependencies;
use crate::reconcile::result::Aftermath;
use crate::workload::handle::WorkloadHandle;
use crate::workload::state::Known;
use std::collections::BTreeSet;
use std::time::Duration;
use windlass_core::engine::EngineError;
use windlass_core::{Phase, Plan, Replica, Snapshot, Step, Timestamp};

/// A process that ends within this time after a stop request ended because of it: the engine's own grace period is 10 s,
/// and people may choose a longer one. A process that ignored the request and ends later has crashed.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

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
    let mut replicas = context.engine.list(Some(&handle.key)).await?;
    let mut snapshot = Snapshot {
        at: now,
        engine_lost: context.engine_health.lost_at(),
        dependencies: dependencies::states(&context.workloads, &known.depends_on),
        ..Snapshot::default()
    };
    for replica in &mut replicas {
        if known.held.contains(&replica.id) && !replica.is_alive() {
            replica.phase = Phase::Held;
            snapshot.held.insert(replica.id.clone());
        }
        if known.stop_requested.get(&replica.id).is_some_and(|requested| ended_as_requested(replica, *requested)) {
            snapshot.stopped_outside.insert(replica.id.clone());
        }
        handle.clock_skew.correct(replica, now);
        handle.probes.take_over(known.probe.as_ref(), replica, now);
        replica.usage = context.engine.usage(&replica.id);
        if let Some(status) = known.health.get(&replica.id) {
            snapshot.health.insert(replica.id.clone(), *status);
        }
    }
    handle.probes.none_later_than(now);
    snapshot.probes = handle.probes.of(replicas.iter().map(|replica| &replica.id));
    snapshot.replicas = replicas;
    Ok(snapshot)
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

/// Whether a replica ended because of a stop request.
fn ended_as_requested(replica: &Replica, requested: Timestamp) -> bool {
    let (Some(started), Some(finished)) = (replica.started_at, replica.finished_at) else { return false };
    replica.phase == Phase::Exited && started <= requested && finished.since(requested) <= ENDS_WITHIN
}

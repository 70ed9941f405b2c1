//! Removes a replica from the balancers before it stops.

pub(crate) mod notifier;

pub use crate::drain::notifier::Subscriber;

use crate::context::Context;
use crate::workload::handle::WorkloadHandle;
use windlass_core::contract::HealthStatus;
use windlass_core::{ContainerId, Phase, Step};

/// Announces the replicas that these steps stop; returns when the subscriber has drained them.
pub(crate) async fn before_acting(context: &Context, handle: &WorkloadHandle, steps: &[&Step]) {
    let stopped = steps.iter().flat_map(|step| match step {
        Step::Remove { replica, .. }
        | Step::Replace { replica, .. }
        | Step::Supersede { replica, .. }
        | Step::Renew { replica, .. }
        | Step::Restart { replica, .. } => std::slice::from_ref(replica),
        Step::SetCount { leaving, .. } => leaving.as_slice(),
        Step::Create { .. } | Step::Start { .. } | Step::Deploy { .. } => Default::default(),
    });
    before_stop(context, handle, stopped).await;
}

/// Announces replicas that are about to stop. Returns when the subscriber has drained them; at once if none of them
/// receives requests.
pub(crate) async fn before_stop<'a>(
    context: &Context,
    handle: &WorkloadHandle,
    leaving: impl IntoIterator<Item = &'a ContainerId>,
) {
    let receives_requests = {
        let mut state = handle.state();
        let leaving: Vec<ContainerId> = leaving.into_iter().cloned().collect();
        let receives_requests = leaving.iter().any(|id| {
            let running = state.snapshot.replica(id).is_some_and(|replica| replica.phase == Phase::Running);
            // A replica without a health status may receive requests since before Windlass started.
            running && !state.begun.contains(id) && state.snapshot.health_of(id) != HealthStatus::Unhealthy
        });
        state.leaving.extend(leaving);
        receives_requests
    };
    if receives_requests {
        context.drain.drained(context.drain.notify()).await;
    }
}

/// Withdraws the announcement: the replica was about to stop and did not.
pub(crate) fn cancel(context: &Context, handle: &WorkloadHandle, id: &ContainerId) {
    handle.state().leaving.remove(id);
    context.drain.notify();
}

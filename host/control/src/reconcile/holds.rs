//! Holds of replicas that begin or end with a pass.

use crate::context::Context;
use crate::reconcile::result::Outcome;
use crate::workload::handle::WorkloadHandle;
use windlass_core::{Plan, Snapshot, Step};

/// Holds a replica that was created for a stopped workload.
pub(crate) async fn hold_created_stopped(context: &Context, handle: &WorkloadHandle, plan: &Plan, outcome: &Outcome) {
    if !plan.steps.iter().any(|step| matches!(step, Step::Create { start: false, .. })) {
        return;
    }
    let succeeded = outcome.actions.iter().filter(|action| action.error.is_none());
    let held: Vec<_> = {
        let mut state = handle.state();
        state.held.extend(succeeded.filter_map(|action| action.container.clone()));
        state.held.iter().cloned().collect()
    };
    let key = handle.key.clone();
    context.store.call_or_log("hold a created replica", move |store| store.save_held(&key, &held)).await;
}

/// Ends the holds of replicas that are gone or that somebody started through the engine.
pub(crate) async fn end_holds(context: &Context, handle: &WorkloadHandle, snapshot: &Snapshot) {
    if handle.state().held == snapshot.held {
        return;
    }
    handle.state().held = snapshot.held.clone();
    let (key, held) = (handle.key.clone(), snapshot.held.iter().cloned().collect::<Vec<_>>());
    context.store.call_or_log("store the held replicas", move |store| store.save_held(&key, &held)).await;
}

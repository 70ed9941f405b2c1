//! The record of a pass in the store: the history, and the decision unless it repeats the one before.

use crate::context::Context;
use crate::reconcile::decision_record::decision;
use crate::reconcile::result::PassResult;
use crate::workload::handle::WorkloadHandle;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use windlass_core::{History, Phase, Snapshot};

/// The record of a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    /// The number of the record. `None` if the decision repeats a recorded one, or could not be stored.
    pub(crate) number: Option<i64>,
    /// False if the decision repeats the one before.
    pub(crate) is_new: bool,
}

/// Stores the result of a pass in one transaction, without its decision if that repeats the one before.
pub(crate) async fn record(context: &Context, handle: &WorkloadHandle, result: &PassResult) -> Recorded {
    let plan = &result.plan;
    let summary = result.summary();
    let (repeats, is_unchanged) = {
        let state = handle.state();
        (plan.steps.is_empty() && state.last_recorded.as_ref() == Some(&summary), state.history == plan.history)
    };
    if repeats && !handle.lacks_record.load(Ordering::Relaxed) {
        if !is_unchanged {
            save_history(context, handle, &plan.history).await;
        }
        return Recorded { number: None, is_new: false };
    }
    handle.state().last_recorded = Some(summary);
    let (key, history, now) = (handle.key.clone(), plan.history.clone(), context.clock.now());
    let (at, outcome) = (result.observed.at, outcome(result));
    let (evaluation, policies) = (Arc::clone(&result.evaluation), result.policies.clone());
    let saved = context
        .store
        .call_or_log("store a decision", move |store| {
            // On the thread of the store: an observation may be large.
            let decision = decision(at, &evaluation, &policies, outcome);
            store.save_pass(&key, &history, Some(&decision), now)
        })
        .await;
    // The later passes may only repeat the decision, which would never be recorded then.
    handle.lacks_record.store(saved.is_none(), Ordering::Relaxed);
    Recorded { number: saved.flatten(), is_new: !repeats }
}

/// Stores the history of a workload.
pub(crate) async fn save_history(context: &Context, handle: &WorkloadHandle, history: &History) {
    let (key, history, now) = (handle.key.clone(), history.clone(), context.clock.now());
    context.store.call_or_log("store a pass", move |store| store.save_pass(&key, &history, None, now)).await;
}

/// Stores the bands that began or ended.
pub(crate) async fn save_bands(context: &Context, handle: &WorkloadHandle) {
    let bands = handle.state().bands.take_unsaved();
    if !bands.is_empty() {
        let key = handle.key.clone();
        context.store.call_or_log("store bands", move |store| store.save_bands(&key, &bands)).await;
    }
}

/// The replicas after the actions, for charts.
fn replicas(snapshot: &Snapshot) -> Value {
    let running = || snapshot.replicas.iter().filter(|replica| replica.phase == Phase::Running);
    let ready = running().filter(|replica| snapshot.health_of(&replica.id).is_ready()).count();
    json!({"running": running().count(), "ready": ready})
}

/// The plan and its actions as JSON.
fn outcome(result: &PassResult) -> Value {
    let plan = &result.plan;
    let actions: Vec<_> = result
        .outcome
        .actions
        .iter()
        .map(|action| {
            json!({
                "action": action.kind,
                "container_id": action.container,
                "name": action.name,
                "reason": action.reason,
                "ok": action.error.is_none(),
                "error": action.error,
            })
        })
        .collect();
    json!({
        "target": plan.target,
        "reason": plan.reason,
        "stages": plan.stages,
        "held_by": plan.held_by,
        "overrides": result.overrides(),
        "steps": plan.steps,
        "deferred": plan.deferred,
        "alerts": plan.alerts,
        "recommended": plan.recommended,
        "replicas": replicas(result.latest()),
        "actions": actions,
    })
}

//! The record of a pass in the store: the history, and the decision unless it repeats the one before.

use crate::context::Context;
use crate::reconcile::result::PassResult;
use crate::workload::handle::WorkloadHandle;
use serde_json::{Value, json};
use windlass_core::History;
use windlass_core::store::DecisionRecord;

/// Stores the result of a pass in one transaction. Returns the number of its decision, or `None` if it repeats the one
/// before.
pub(crate) async fn record(context: &Context, handle: &WorkloadHandle, result: &PassResult) -> Option<i64> {
    let plan = &result.plan;
    let summary = result.summary();
    let (repeats, is_unchanged) = {
        let state = handle.state();
        (plan.steps.is_empty() && state.last_recorded.as_ref() == Some(&summary), state.history == plan.history)
    };
    if repeats {
        if !is_unchanged {
            save_history(context, handle, &plan.history, None).await;
        }
        return None;
    }
    let decision = DecisionRecord { id: 0, at: result.observed.at, body: body(result) };
    handle.state().last_recorded = Some(summary);
    save_history(context, handle, &plan.history, Some(decision)).await
}

/// Stores the history of a workload, and a decision.
pub(crate) async fn save_history(
    context: &Context,
    handle: &WorkloadHandle,
    history: &History,
    decision: Option<DecisionRecord>,
) -> Option<i64> {
    let (key, history) = (handle.key.clone(), history.clone());
    context
        .store
        .call_or_log("store a pass", move |store| store.save_pass(&key, &history, decision.as_ref()))
        .await
        .flatten()
}

/// The decision as JSON, complete enough to explain and to replay it.
fn body(result: &PassResult) -> Value {
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
    let mut body = result.evaluation.record(&result.policies);
    body["target"] = json!(plan.target);
    body["reason"] = json!(plan.reason);
    body["stages"] = json!(plan.stages);
    body["held_by"] = json!(plan.held_by);
    body["overrides"] = json!(result.overrides());
    body["steps"] = json!(plan.steps);
    body["deferred"] = json!(plan.deferred);
    body["alerts"] = json!(plan.alerts);
    body["recommended"] = json!(plan.recommended);
    body["actions"] = json!(actions);
    body
}

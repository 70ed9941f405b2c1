//! One pass: observe, evaluate, decide, act, record. The next pass is the retry.

mod act;
mod act_on_service;
mod announce;
mod decision_record;
pub mod evaluate;
mod holds;
pub(crate) mod observe;
mod publish;
mod record;
pub(crate) mod result;
mod rollout_failures;

use crate::context::Context;
use crate::engine_return::engine_is_back;
use crate::reconcile::act::act;
use crate::reconcile::evaluate::evaluate;
use crate::reconcile::holds::{end_holds, hold_created_stopped};
use crate::reconcile::observe::{observe, observe_again};
use crate::reconcile::publish::{publish, publish_blind, publish_first_observation, publish_suspended};
use crate::reconcile::record::{record, save_bands, save_history};
use crate::reconcile::result::PassResult;
use crate::reconcile::rollout_failures::remember_failed_rollout;
use crate::report::PassReport;
use crate::workload::handle::WorkloadHandle;
use std::sync::Arc;
use windlass_core::{Leadership, Snapshot};
use windlass_decide::{decide, remember_failures};

/// Makes one pass of a workload and publishes its report.
pub(crate) async fn pass(context: &Arc<Context>, handle: &Arc<WorkloadHandle>) {
    let _lock = handle.pass_lock.lock().await;
    if handle.is_closed() {
        return;
    }
    let covers = handle.covers();
    let (known, at) = (handle.state().known(), context.clock.now());
    let observed = observe(context, handle, &known, at).await;
    if context.engine_health.note(observed.as_ref().err()) {
        engine_is_back(context);
    }
    if let Ok(snapshot) = &observed {
        handle.state().suspend_if_gone(snapshot);
    }
    let suspended = standby(context, handle)
        .or_else(|| handle.state().suspended.as_ref().map(|suspension| suspension.reason.clone()));
    let report = match (observed, suspended) {
        // Boxed, so that the task of an idle workload stays small.
        (Ok(snapshot), None) => Box::pin(steer(context, handle, snapshot)).await,
        (Ok(snapshot), Some(reason)) => Arc::new(publish_suspended(context, handle, snapshot, &reason)),
        (Err(error), _) => Arc::new(publish_blind(context, handle, at, &error)),
    };
    save_bands(context, handle).await;
    handle.finish(covers, &report);
    context.drain.notify();
}

/// The reason why this Windlass leaves the workload to another one. `None` if it acts. Its windows then begin with the count
/// there is, because it does not know the proposals of the other one.
fn standby(context: &Context, handle: &WorkloadHandle) -> Option<String> {
    let leadership = context.engine.leadership();
    if leadership == Leadership::Leads {
        return None;
    }
    let mut state = handle.state();
    state.history.proposals.clear();
    state.history.changes.clear();
    if let Some(count) = state.snapshot.service.state().map(|service| service.count) {
        state.set_target(count);
    }
    Some(leadership.to_string())
}

/// The rest of a pass that observed the engine.
async fn steer(context: &Arc<Context>, handle: &Arc<WorkloadHandle>, snapshot: Snapshot) -> Arc<PassReport> {
    let now = snapshot.at;
    let (desired, before) = handle.state().desired_and_history();
    let policies = context.policies.of(&handle.key, &desired.policies, now);
    let (scaling, config) = (policies.scaling.as_ref(), &policies.scaling_config);
    let metrics = handle.metrics.requested_by(scaling, config, &desired, now).await;
    let (observed, evaluation) = evaluate(&desired, snapshot, &before, &policies, metrics, now).await;
    publish_first_observation(context, handle, &observed);

    let mut plan = decide(&desired, &observed, &evaluation.verdict, &before, &context.settings, now);
    if !plan.steps.is_empty() {
        // A host that dies during the actions must not forget the backoff.
        save_history(context, handle, &plan.history).await;
    }
    let outcome = act(context, handle, &desired, &observed, &plan).await;
    remember_failures(&mut plan.history, &outcome.failures, context.clock.now());
    remember_failed_rollout(&mut plan, &outcome, context.clock.now());
    hold_created_stopped(context, handle, &plan, &outcome).await;
    let aftermath = observe_again(context, handle, &observed, &plan).await;

    let evaluation = Arc::new(evaluation);
    let result = PassResult { desired, before, policies, observed, evaluation, plan, outcome, aftermath };
    end_holds(context, handle, result.latest()).await;
    let recorded = record(context, handle, &result).await;
    let report = Arc::new(PassReport::of(&result, recorded.number, context.clock.now()));
    publish(context, handle, result, recorded, &report);
    report
}

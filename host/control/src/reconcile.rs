//! One pass: observe, evaluate, decide, act, and write down what came of it.

pub mod act;
pub mod evaluate;
pub mod observe;

use crate::context::Shared;
use crate::reconcile::act::{Outcome, act};
use crate::reconcile::evaluate::{Evaluation, evaluate};
use crate::reconcile::observe::observe;
use crate::report::{PassReport, PolicyReport};
use crate::shadows::Round;
use crate::workload::state::Cell;
use crate::{drain, shadows};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use windlass_core::engine::EngineError;
use windlass_core::policy::Policies;
use windlass_core::store::DecisionRecord;
use windlass_core::{ContainerId, Overrides, Plan, PolicyOutcome, Snapshot, Step, Timestamp, Workload};
use windlass_decide::{decide, remember_failures};

/// Makes one pass of a workload and publishes its report. Retries nothing: the next pass is the retry.
pub(crate) async fn pass(shared: &Arc<Shared>, cell: &Arc<Cell>) {
    let _gate = cell.gate.lock().await;
    if cell.is_closed() {
        return;
    }
    let covers = cell.covers();
    let at = shared.clock.now();
    let snapshot = observe(shared.engine.as_ref(), &cell.key, &cell.known(), (&cell.probes, &cell.ahead), at).await;
    shared.note_engine(snapshot.as_ref().err());
    let report = match snapshot {
        Ok(snapshot) => Box::pin(steer(shared, cell, snapshot)).await,
        Err(error) => blind(shared, cell, at, &error),
    };
    cell.finish(covers, &report);
    shared.audience.look_again();
}

/// The engine could not be looked at: nothing is known, so nothing is done.
fn blind(shared: &Shared, cell: &Cell, at: Timestamp, error: &EngineError) -> PassReport {
    tracing::warn!(workload = %cell.key, %error, "the pass could not look at the engine");
    {
        let mut state = cell.state();
        state.look_again = cell.period;
        state.tally.count_blind_pass();
    }
    PassReport {
        at,
        finished_at: shared.clock.now(),
        decision: None,
        reason: "the replicas are left as they are".to_owned(),
        error: Some(error.to_string()),
        health_policy: None,
        scaling_policy: None,
        actions: Vec::new(),
        deferred: Vec::new(),
        alerts: Vec::new(),
        recommended: None,
    }
}

async fn steer(shared: &Arc<Shared>, cell: &Arc<Cell>, mut snapshot: Snapshot) -> PassReport {
    let now = snapshot.at;
    let (desired, history) = {
        let state = cell.state();
        (state.workload.clone(), state.history.clone())
    };
    snapshot.dependencies = shared.dependencies(&desired);
    snapshot.engine_lost = shared.engine_lost();
    let policies = shared.policies.of(&desired.policies);
    let (scaling, config) = (policies.scaling.as_ref(), &policies.scaling_config);
    let metrics = cell.metrics.shown_to(scaling, config, &desired, now).await;
    let evaluation = evaluate(&desired, &mut snapshot, &history, &policies, metrics, now).await;
    shared.policy_counters().count(&evaluation);
    warn_unavailable(&desired, &evaluation.verdict.health);
    warn_unavailable(&desired, &evaluation.verdict.scaling);
    let mut fell = snapshot.fell_since(&cell.state().snapshot);
    show_first(shared, cell, &snapshot);
    let mut plan = decide(&desired, &snapshot, &evaluation.verdict, &history, &shared.settings, now);
    if !plan.steps.is_empty() {
        // Before acting: a host that dies in the middle has not forgotten its backoff.
        save(shared, cell, &plan, None).await;
    }
    let engine = shared.engine.as_ref();
    drain::before_acting(shared, cell, &plan).await;
    let outcome =
        act(&plan, &desired, &snapshot, engine, shared.net.as_ref(), &shared.callbacks, shared.settings.stop_grace)
            .await;
    for action in &outcome.actions {
        let container = action.container.as_ref().map(tracing::field::display);
        let name = &action.name;
        match &action.error {
            None => tracing::info!(workload = %cell.key, container, name, reason = action.reason, "{:?}", action.kind),
            Some(error) => {
                tracing::warn!(workload = %cell.key, container, name, reason = action.reason, error, "{:?} failed", action.kind);
            }
        }
    }
    shared.alarm.sound(&desired, &snapshot, &history, &plan);
    remember_failures(&mut plan.history, &outcome.failed_slots, shared.clock.now());
    let created_stopped = hold_created_stopped(shared, cell, &plan, &outcome).await;
    let mut begun = BTreeSet::new();
    if !plan.steps.is_empty() || created_stopped {
        // What is shown from now on is what is there now.
        let mut known = cell.known();
        // What was said in this pass, but of those that begin anew.
        known.health = snapshot.health.clone();
        for step in &plan.steps {
            if let Step::Restart { replica, .. } | Step::Start { replica, .. } = step {
                known.health.remove(replica);
                begun.insert(replica.clone());
            }
        }
        match observe(shared.engine.as_ref(), &cell.key, &known, (&cell.probes, &cell.ahead), shared.clock.now()).await
        {
            Ok(after) => {
                let ids = after.replicas.iter().map(|replica| &replica.id);
                begun.extend(ids.filter(|id| snapshot.replica(id).is_none()).cloned());
                fell |= after.fell_since(&snapshot);
                snapshot = after;
            }
            Err(error) => tracing::warn!(workload = %cell.key, %error, "the look after the pass failed"),
        }
    }
    end_holds(shared, cell, &snapshot).await;
    let decision = record(shared, cell, desired.overrides.in_force(now), &plan, &evaluation, &policies, &outcome).await;
    cell.state().tally.count_pass(&plan, &evaluation, &outcome.actions, decision.is_some());
    if evaluation.verdict.health.answer.is_err() {
        // Where nobody says how replicas are, nobody keeps requests from them.
        begun.clear();
    }
    publish(shared, cell, &plan, (snapshot, begun, fell), &evaluation);
    let is_shadowed = !policies.shadows.is_empty();
    shadows::begin(shared, cell, is_shadowed, || Round {
        workload: desired.clone(),
        evaluation: evaluation.clone(),
        policies,
        decision,
    });
    PassReport {
        at: now,
        finished_at: shared.clock.now(),
        decision,
        reason: plan.reason,
        error: None,
        health_policy: Some(policy_report(evaluation.verdict.health)),
        scaling_policy: Some(policy_report(evaluation.verdict.scaling)),
        actions: outcome.actions,
        deferred: plan.deferred,
        alerts: plan.alerts,
        recommended: plan.recommended,
    }
}

/// The first look is shown before anything is done about it: an image may have to be fetched first, and who is about to be
/// stopped may be sent requests since before Windlass began.
fn show_first(shared: &Shared, cell: &Cell, snapshot: &Snapshot) {
    let mut state = cell.state();
    if state.snapshot.at != Timestamp::default() {
        return;
    }
    state.snapshot = snapshot.clone();
    drop(state);
    shared.audience.look_again();
}

/// A replica that was created for a stopped workload is held from the beginning.
async fn hold_created_stopped(shared: &Arc<Shared>, cell: &Arc<Cell>, plan: &Plan, outcome: &Outcome) -> bool {
    if !plan.steps.iter().any(|step| matches!(step, Step::Create { start: false, .. })) {
        return false;
    }
    let held: Vec<_> = {
        let mut state = cell.state();
        state.held.extend(
            outcome
                .actions
                .iter()
                .filter(|action| action.error.is_none())
                .filter_map(|action| action.container.clone()),
        );
        state.held.iter().cloned().collect()
    };
    let key = cell.key.clone();
    shared.store_or_log("hold a created replica", move |store| store.save_held(&key, &held)).await;
    true
}

/// Holds end with their replica, or when somebody started it from outside.
async fn end_holds(shared: &Arc<Shared>, cell: &Arc<Cell>, snapshot: &Snapshot) {
    if cell.state().held == snapshot.held {
        return;
    }
    cell.state().held = snapshot.held.clone();
    let (key, held) = (cell.key.clone(), snapshot.held.iter().cloned().collect::<Vec<_>>());
    shared.store_or_log("store the held replicas", move |store| store.save_held(&key, &held)).await;
}

/// Stores what the pass came to; writes the decision down unless it only repeats the one before.
async fn record(
    shared: &Arc<Shared>,
    cell: &Arc<Cell>,
    overrides: Overrides,
    plan: &Plan,
    evaluation: &Evaluation,
    policies: &Policies,
    outcome: &Outcome,
) -> Option<i64> {
    let unavailable =
        (evaluation.verdict.health.answer.as_ref().err(), evaluation.verdict.scaling.answer.as_ref().err());
    let deferred: Vec<_> = plan.deferred.iter().map(|deferral| (deferral.slot, &deferral.reason)).collect();
    // Their sentences may go on changing while nothing else does.
    let alerts: Vec<_> = plan.alerts.iter().map(|alert| (alert.kind, alert.slot)).collect();
    let asked = (&evaluation.verdict.health.policy, &evaluation.verdict.scaling.policy);
    let gist = format!(
        "{} {} {overrides:?} {unavailable:?} {deferred:?} {alerts:?} {asked:?} {:?}",
        plan.target, plan.reason, plan.recommended
    );
    let repeats = plan.steps.is_empty() && cell.state().last_recorded.as_ref() == Some(&gist);
    if repeats {
        if cell.state().history != plan.history || cell.state().workload.target != plan.target {
            save(shared, cell, plan, None).await;
        }
        return None;
    }
    let actions: Vec<_> = outcome
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
    let mut body = evaluation.record(policies);
    body["target"] = json!(plan.target);
    body["reason"] = json!(plan.reason);
    body["stages"] = json!(plan.stages);
    body["held_by"] = json!(plan.held_by);
    body["overrides"] = json!(overrides);
    body["steps"] = json!(plan.steps);
    body["deferred"] = json!(plan.deferred);
    body["alerts"] = json!(plan.alerts);
    body["recommended"] = json!(plan.recommended);
    body["actions"] = json!(actions);
    let decision = DecisionRecord { id: 0, at: evaluation.scaling_observation.now, body };
    cell.state().last_recorded = Some(gist);
    save(shared, cell, plan, Some(decision)).await
}

async fn save(shared: &Arc<Shared>, cell: &Arc<Cell>, plan: &Plan, decision: Option<DecisionRecord>) -> Option<i64> {
    let (key, target, history) = (cell.key.clone(), plan.target, plan.history.clone());
    shared
        .store_or_log("store a pass", move |store| store.save_pass(&key, target, &history, decision.as_ref()))
        .await
        .flatten()
}

fn publish(
    shared: &Shared,
    cell: &Cell,
    plan: &Plan,
    (snapshot, begun, fell): (Snapshot, BTreeSet<ContainerId>, bool),
    evaluation: &Evaluation,
) {
    cell.probes.keep_only(snapshot.replicas.iter().map(|replica| &replica.id));
    cell.ahead.keep_only(snapshot.replicas.iter().map(|replica| &replica.id));
    let mut state = cell.state();
    let changed = state.last_pass.is_none() || fell || state.snapshot.is_up() != snapshot.is_up();
    if fell {
        state.fell = Some(snapshot.at);
    }
    state.workload.target = plan.target;
    state.history = plan.history.clone();
    state.alerts.clone_from(&plan.alerts);
    if let Ok(report) = &evaluation.verdict.health.answer {
        for said in &report.assessments {
            state.health_reasons.insert(ContainerId(said.replica_id.clone()), said.reason.clone());
        }
    }
    state.health_reasons.retain(|id, _| snapshot.replica(id).is_some());
    state.asked_to_end.retain(|id, _| snapshot.replica(id).is_some());
    state.look_again = plan.look_again.map_or(cell.period, |soon| soon.min(cell.period));
    state.leaving.clear();
    state.begun = begun;
    state.snapshot = snapshot;
    drop(state);
    cell.probe_now.notify_one();
    if changed {
        shared.wake_dependents(&cell.key);
    }
}

fn policy_report<T>(outcome: PolicyOutcome<T>) -> PolicyReport {
    PolicyReport { policy: outcome.policy, unavailable: outcome.answer.err() }
}

fn warn_unavailable<T>(desired: &Workload, outcome: &PolicyOutcome<T>) {
    if let Err(failure) = &outcome.answer {
        tracing::warn!(
            workload = %desired.key,
            policy = outcome.policy.name,
            kind = %failure.kind,
            reason = failure.reason,
            "the policy is unavailable; the replicas stay as they are"
        );
    }
}

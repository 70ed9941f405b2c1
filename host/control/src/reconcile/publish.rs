//! Publication of a pass: the workload's state, counters, alerts and shadows.

use crate::bands::{note_blind, note_pass};
use crate::context::Context;
use crate::dependencies;
use crate::override_events::publish_overrides;
use crate::reconcile::announce;
use crate::reconcile::record::Recorded;
use crate::reconcile::result::{Aftermath, PassResult};
use crate::report::PassReport;
use crate::shadows::{self, Round};
use crate::workload::handle::WorkloadHandle;
use crate::workload::state::WorkloadState;
use std::collections::BTreeSet;
use std::sync::Arc;
use windlass_core::engine::EngineError;
use windlass_core::series::BandKind;
use windlass_core::{ContainerId, PolicyOutcome, Snapshot, Timestamp, Workload};

/// After so many passes in a row that acted on a changed service, the next pass waits for its time.
const MOST_STALE: u32 = 3;

/// Publishes a pass that could not observe the engine: nothing is known, so nothing is done.
pub(crate) fn publish_blind(
    context: &Context,
    handle: &WorkloadHandle,
    at: Timestamp,
    error: &EngineError,
) -> PassReport {
    tracing::warn!(workload = %handle.key, %error, "the pass could not observe the engine");
    let mut state = handle.state();
    note_blind(&mut state.bands, &error.to_string(), at);
    state.next_pass = handle.period;
    state.counters.count_blind_pass();
    PassReport::blind(at, context.clock.now(), error.to_string())
}

/// Publishes the observation of a workload whose labels are not in force: nothing is decided and nothing is done.
pub(crate) fn publish_suspended(
    context: &Context,
    handle: &WorkloadHandle,
    snapshot: Snapshot,
    reason: &str,
) -> PassReport {
    let (at, now) = (snapshot.at, context.clock.now());
    handle.probes.keep_only(snapshot.replicas.iter().map(|replica| &replica.id));
    let mut state = handle.state();
    announce::replicas(&context.events, &handle.key, &state.snapshot, &snapshot, &[]);
    let over = announce::Alerts { before: Some(state.alerts.as_slice()), now: &[], history: &state.history };
    announce::alerts(&context.events, &handle.key, &over);
    let is_changed = state.snapshot.is_up() != snapshot.is_up();
    state.bands.set(BandKind::Blind, None, at);
    state.next_pass = handle.period;
    state.observed_at = Some(now);
    state.begun.clear();
    state.alerts.clear();
    state.snapshot = snapshot;
    drop(state);
    if is_changed {
        dependencies::wake_dependents(&context.workloads, &handle.key);
    }
    PassReport::idle(at, now, format!("nothing is done: {reason}"))
}

/// Publishes the first observation before the pass acts: an image may have to be pulled first, and replicas that are
/// about to stop may receive requests since before Windlass started.
pub(crate) fn publish_first_observation(context: &Context, handle: &WorkloadHandle, snapshot: &Snapshot) {
    let mut state = handle.state();
    if state.snapshot.at != Timestamp::default() {
        return;
    }
    state.snapshot = snapshot.clone();
    drop(state);
    context.drain.notify();
}

/// Publishes a complete pass, then starts the calls of its shadows.
pub(crate) fn publish(
    context: &Arc<Context>,
    handle: &Arc<WorkloadHandle>,
    result: PassResult,
    recorded: Recorded,
    report: &Arc<PassReport>,
) {
    warn_unavailable(&result.desired, &result.evaluation.verdict.health);
    warn_unavailable(&result.desired, &result.evaluation.verdict.scaling);
    context.alerts.report(&result.desired, &result.observed, &result.before, &result.plan);
    context.policy_counters.lock().count(&result.evaluation);
    handle.state().counters.count_pass(&result, recorded.number.is_some());
    handle.probes.keep_only(result.latest().replicas.iter().map(|replica| &replica.id));
    publish_overrides(context, handle);
    // The events of the pass are published under this lock, so that their readers find the state after the pass.
    let mut state = handle.state();
    if recorded.is_new {
        announce::decision(&context.events, &result, recorded.number);
    }
    let PassResult { desired, before, policies, observed, evaluation, plan, outcome, aftermath, .. } = result;
    let Aftermath { snapshot, begun, fell } = aftermath;
    let snapshot = snapshot.unwrap_or(observed);
    announce::replicas(&context.events, &handle.key, &state.snapshot, &snapshot, &outcome.actions);
    let alerts = announce::Alerts {
        before: state.last_pass.as_ref().map(|_| state.alerts.as_slice()),
        now: &plan.alerts,
        history: &before,
    };
    announce::alerts(&context.events, &handle.key, &alerts);
    let WorkloadState { bands, snapshot: seen_before, .. } = &mut *state;
    note_pass(bands, desired.overrides.in_force(snapshot.at), &plan, seen_before, &snapshot);
    let is_changed = state.last_pass.is_none() || fell || state.snapshot.is_up() != snapshot.is_up();
    if fell {
        state.fell = Some(snapshot.at);
    }
    state.history = plan.history;
    state.alerts = plan.alerts;
    // Without a health policy that answers, nothing keeps requests from new replicas.
    state.begun = if evaluation.verdict.health.answer.is_ok() { begun } else { Default::default() };
    if let Ok(report) = &evaluation.verdict.health.answer {
        for assessment in &report.assessments {
            state.health_reasons.insert(ContainerId(assessment.replica_id.clone()), assessment.reason.clone());
        }
    }
    let exist: BTreeSet<&ContainerId> = snapshot.replicas.iter().map(|replica| &replica.id).collect();
    state.health_reasons.retain(|id, _| exist.contains(id));
    state.stops.retain(|id, _| exist.contains(id));
    let soon = plan.next_pass.map_or(handle.period, |soon| soon.min(handle.period));
    let (requested, per_hour) = (plan.evaluate_after, context.settings.early_passes);
    state.next_pass = state.early_passes.wait(requested, soon, per_hour, context.clock.now());
    state.stale_passes = if outcome.is_stale { state.stale_passes.saturating_add(1) } else { 0 };
    let decides_again = (1..=MOST_STALE).contains(&state.stale_passes);
    state.leaving.clear();
    state.observed_at = Some(context.clock.now());
    state.snapshot = snapshot;
    state.last_pass = Some(Arc::clone(report));
    drop(state);
    handle.probe_now.notify_one();
    if decides_again {
        handle.wake();
    }
    if is_changed {
        dependencies::wake_dependents(&context.workloads, &handle.key);
    }
    shadows::begin(context, handle, Round { workload: desired, evaluation, policies, decision: recorded.number });
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

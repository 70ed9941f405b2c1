//! Asks the shadows of a workload what its acting policies were asked in a pass, after the pass and beside
//! the loop: a shadow neither acts nor lets anybody wait.

use crate::context::Shared;
use crate::reconcile::evaluate::Evaluation;
use crate::workload::state::Cell;
use serde_json::{Value, json};
use std::sync::Arc;
use windlass_core::contract::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use windlass_core::policy::{Policies, ScalingPolicy, Shadow, ShadowPolicy};
use windlass_core::verdict::Part;
use windlass_core::{PolicyFailure, PolicyIdentity, PolicyKind, ShadowComparison, Workload};

/// What one pass leaves to its shadows.
pub(crate) struct Round {
    pub(crate) workload: Workload,
    pub(crate) evaluation: Evaluation,
    pub(crate) policies: Policies,
    /// Number of the pass's decision, where one was recorded.
    pub(crate) decision: Option<i64>,
}

/// One shadow's answer.
struct Answered {
    kind: PolicyKind,
    policy: PolicyIdentity,
    config: String,
    acting: Value,
    shadow: Value,
    /// What it wants to be handed next time; none: what it has.
    memory: Option<Vec<u8>>,
}

/// Begins a round, unless the one before is still at it. Called with the workload's gate held.
pub(crate) fn begin(shared: &Arc<Shared>, cell: &Arc<Cell>, is_shadowed: bool, round: impl FnOnce() -> Round) {
    if !is_shadowed && cell.state().shadows.is_empty() {
        return;
    }
    let Ok(turn) = Arc::clone(&cell.shadowing).try_lock_owned() else {
        for tally in &mut cell.state().shadows {
            tally.skipped += 1;
        }
        return;
    };
    let (round, cell, for_task) = (round(), Arc::clone(cell), Arc::clone(shared));
    shared.spawn(async move {
        let _turn = turn;
        ask_all(&for_task, &cell, &round).await;
    });
}

async fn ask_all(shared: &Arc<Shared>, cell: &Arc<Cell>, round: &Round) {
    // One shadow at a time in the whole host: they take at most one place among the calls in flight.
    let mut shutdown = shared.shutdown.subscribe();
    let _place = tokio::select! {
        place = shared.shadows.acquire() => place,
        _ = shutdown.wait_for(|down| *down) => return,
    };
    let before = cell.state().shadows.clone();
    let mut answers = Vec::new();
    for shadow in &round.policies.shadows {
        answers.push(ask(cell, shadow, round, &before).await);
    }
    let beside = answers.iter().map(|answered| {
        json!({
            "kind": answered.kind,
            "policy": answered.policy,
            "config": answered.config,
            "answer": answered.shadow,
        })
    });
    let beside: Value = beside.collect();
    let tallies = {
        let mut state = cell.state();
        tally(&mut state.shadows, answers, round);
        state.shadows.clone()
    };
    let (key, decision) = (cell.key.clone(), round.decision);
    shared
        .store_or_log("store what the shadows said", move |store| {
            store.save_shadows(&key, &tallies, decision.map(|id| (id, &beside)))
        })
        .await;
}

async fn ask(cell: &Cell, shadow: &Shadow, round: &Round, before: &[ShadowComparison]) -> Answered {
    let (evaluation, policies) = (&round.evaluation, &round.policies);
    let config = &shadow.config;
    match &shadow.policy {
        ShadowPolicy::Scaling(policy) => {
            let (kind, of) = (PolicyKind::Scaling, policy.identity());
            let (observed, acting) = (&evaluation.scaling_observation, &evaluation.verdict.scaling);
            let replaced = part_replaced(&acting.answer, of, config);
            let memory = own_memory(before, kind, of, config).or_else(|| match replaced {
                Some(part) => Some(part.handed.clone()),
                None => inherited(of, config, &acting.policy, &policies.scaling_config, &observed.memory),
            });
            let acting = replaced.map_or(&acting.answer, |part| &part.answer);
            let answer = match cell.metrics.shown_to(policy.as_ref(), config, &round.workload, observed.now).await {
                Ok(metrics) => {
                    let shown = ScalingObservation { memory: memory.unwrap_or_default(), metrics, ..observed.clone() };
                    ScalingPolicy::decide(policy.as_ref(), config, &shown).await
                }
                Err(failure) => Err(failure),
            };
            let (acting, shadow) = (count(acting), count(&answer));
            let memory = answer.ok().map(|decision| decision.memory);
            Answered { kind, policy: of.clone(), config: config.clone(), acting, shadow, memory }
        }
        ShadowPolicy::Health(policy) => {
            let (kind, of) = (PolicyKind::Health, policy.identity());
            let (observed, acting) = (&evaluation.health_observation, &evaluation.verdict.health);
            let memory = own_memory(before, kind, of, config)
                .or_else(|| inherited(of, config, &acting.policy, &policies.health_config, &observed.memory));
            let shown = HealthObservation { memory: memory.unwrap_or_default(), ..observed.clone() };
            let answer = policy.evaluate(config, &shown).await;
            let (acting, shadow) = (assessments(&acting.answer), assessments(&answer));
            let memory = answer.ok().map(|report| report.memory);
            Answered { kind, policy: of.clone(), config: config.clone(), acting, shadow, memory }
        }
    }
}

/// What a shadow returned last time, or an earlier revision it takes over from.
fn own_memory(before: &[ShadowComparison], kind: PolicyKind, of: &PolicyIdentity, config: &str) -> Option<Vec<u8>> {
    let alike = || before.iter().filter(|tally| tally.kind == kind && tally.config == config);
    let own = alike().find(|tally| tally.policy == *of);
    own.or_else(|| alike().find(|tally| tally.policy.memory_owner() == of.memory_owner()))
        .map(|tally| tally.memory.clone())
}

/// A copy of the acting policy's memory, where the shadow would take over from it: a candidate begins with
/// what it would be handed if it acted.
fn inherited(
    of: &PolicyIdentity,
    config: &str,
    acting: &PolicyIdentity,
    acting_config: &str,
    memory: &[u8],
) -> Option<Vec<u8>> {
    (of.memory_owner() == acting.memory_owner() && config == acting_config).then(|| memory.to_vec())
}

/// The one among several acting policies that a shadow would take over from, if it is of one of them.
fn part_replaced<'a>(
    acting: &'a Result<ScalingDecision, PolicyFailure>,
    of: &PolicyIdentity,
    config: &str,
) -> Option<&'a Part> {
    let mut parts = acting.as_ref().ok()?.parts.iter();
    parts.find(|part| part.policy.memory_owner() == of.memory_owner() && part.config == config)
}

/// Takes answers over into the tallies, and lets go of those of shadows that are none any more.
fn tally(tallies: &mut Vec<ShadowComparison>, answers: Vec<Answered>, round: &Round) {
    let at = round.evaluation.scaling_observation.now;
    let is = |tally: &ShadowComparison, answered: &Answered| {
        tally.kind == answered.kind && tally.policy == answered.policy && tally.config == answered.config
    };
    let mut before = std::mem::take(tallies);
    for answered in answers {
        let known = before.iter().position(|tally| is(tally, &answered));
        let mut tally = known.map(|index| before.swap_remove(index)).unwrap_or_else(|| {
            ShadowComparison::new(answered.kind, answered.policy.clone(), answered.config.clone(), at)
        });
        if let Some(memory) = answered.memory {
            tally.memory = memory;
        }
        tally.note(at, round.decision, &answered.acting, &answered.shadow);
        tallies.push(tally);
    }
}

fn unavailable(failure: &PolicyFailure) -> Value {
    json!({"unavailable": failure})
}

fn count(answer: &Result<ScalingDecision, PolicyFailure>) -> Value {
    match answer {
        Ok(decision) => json!({"replicas": decision.replicas, "reason": decision.reason}),
        Err(failure) => unavailable(failure),
    }
}

fn assessments(answer: &Result<HealthReport, PolicyFailure>) -> Value {
    match answer {
        Ok(report) => {
            let mut said: Vec<_> = report.assessments.iter().collect();
            said.sort_by(|a, b| a.replica_id.cmp(&b.replica_id));
            json!({"assessments": said})
        }
        Err(failure) => unavailable(failure),
    }
}

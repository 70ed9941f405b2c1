//! Calls the shadow policies of a workload with the input of its acting policies, after the pass and in the background. A
//! shadow never acts, and nothing waits for it.

use crate::context::Context;
use crate::reconcile::evaluate::Evaluation;
use crate::workload::handle::WorkloadHandle;
use serde_json::{Value, json};
use std::sync::Arc;
use windlass_core::contract::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use windlass_core::policy::{Policies, ScalingPolicy, Shadow, ShadowPolicy};
use windlass_core::verdict::Part;
use windlass_core::{PolicyFailure, PolicyIdentity, PolicyKind, ShadowComparison, Workload};

/// The input of the shadows: one pass.
pub(crate) struct Round {
    pub(crate) workload: Workload,
    pub(crate) evaluation: Arc<Evaluation>,
    pub(crate) policies: Policies,
    /// The number of the pass's decision. `None` if no decision was recorded.
    pub(crate) decision: Option<i64>,
}

/// One shadow's answer.
struct Answered {
    kind: PolicyKind,
    policy: PolicyIdentity,
    config: String,
    acting: Value,
    shadow: Value,
    /// The memory that it returned. `None` if it returned no answer and keeps its memory.
    memory: Option<Vec<u8>>,
}

/// Starts a round, unless the one before is still in progress. The caller holds the pass lock.
pub(crate) fn begin(context: &Arc<Context>, handle: &Arc<WorkloadHandle>, round: Round) {
    if round.policies.shadows.is_empty() && handle.state().shadows.is_empty() {
        return;
    }
    let Ok(turn) = Arc::clone(&handle.shadow_lock).try_lock_owned() else {
        for comparison in &mut handle.state().shadows {
            comparison.skipped += 1;
        }
        return;
    };
    let (handle, for_task) = (Arc::clone(handle), Arc::clone(context));
    context.tasks.spawn(async move {
        let _turn = turn;
        call_all(&for_task, &handle, &round).await;
    });
}

async fn call_all(context: &Arc<Context>, handle: &Arc<WorkloadHandle>, round: &Round) {
    // One shadow at a time in the whole host, so that shadows take at most one call slot.
    let mut shutdown = context.tasks.shutdown();
    let _permit = tokio::select! {
        permit = context.shadow_permit.acquire() => permit,
        () = shutdown.begins() => return,
    };
    let before = handle.state().shadows.clone();
    let mut answers = Vec::new();
    for shadow in &round.policies.shadows {
        answers.push(call(handle, shadow, round, &before).await);
    }
    let recorded = answers.iter().map(|answered| {
        json!({
            "kind": answered.kind,
            "policy": answered.policy,
            "config": answered.config,
            "answer": answered.shadow,
        })
    });
    let recorded: Value = recorded.collect();
    let comparisons = {
        let mut state = handle.state();
        compare(&mut state.shadows, answers, round);
        state.shadows.clone()
    };
    let (key, decision, now) = (handle.key.clone(), round.decision, context.clock.now());
    context
        .store
        .call_or_log("store the answers of the shadows", move |store| {
            store.save_shadows(&key, &comparisons, decision.map(|id| (id, &recorded)), now)
        })
        .await;
}

async fn call(handle: &WorkloadHandle, shadow: &Shadow, round: &Round, before: &[ShadowComparison]) -> Answered {
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
            let answer = match handle.metrics.requested_by(policy.as_ref(), config, &round.workload, observed.now).await
            {
                Ok(metrics) => {
                    let input = ScalingObservation { memory: memory.unwrap_or_default(), metrics, ..observed.clone() };
                    ScalingPolicy::decide(policy.as_ref(), config, &input).await
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
            let input = HealthObservation { memory: memory.unwrap_or_default(), ..observed.clone() };
            let answer = policy.evaluate(config, &input).await;
            let (acting, shadow) = (assessments(&acting.answer), assessments(&answer));
            let memory = answer.ok().map(|report| report.memory);
            Answered { kind, policy: of.clone(), config: config.clone(), acting, shadow, memory }
        }
    }
}

/// The memory that a shadow, or an earlier revision of it, returned last time.
fn own_memory(before: &[ShadowComparison], kind: PolicyKind, of: &PolicyIdentity, config: &str) -> Option<Vec<u8>> {
    let alike = || before.iter().filter(|comparison| comparison.kind == kind && comparison.config == config);
    let own = alike().find(|comparison| comparison.policy == *of);
    own.or_else(|| alike().find(|comparison| comparison.policy.memory_owner() == of.memory_owner()))
        .map(|comparison| comparison.memory.clone())
}

/// A copy of the acting policy's memory, if the shadow would inherit it: a candidate begins with the memory that it would
/// receive if it acted.
fn inherited(
    of: &PolicyIdentity,
    config: &str,
    acting: &PolicyIdentity,
    acting_config: &str,
    memory: &[u8],
) -> Option<Vec<u8>> {
    (of.memory_owner() == acting.memory_owner() && config == acting_config).then(|| memory.to_vec())
}

/// The part of a combined acting policy whose memory a shadow would inherit.
fn part_replaced<'a>(
    acting: &'a Result<ScalingDecision, PolicyFailure>,
    of: &PolicyIdentity,
    config: &str,
) -> Option<&'a Part> {
    let mut parts = acting.as_ref().ok()?.parts.iter();
    parts.find(|part| part.policy.memory_owner() == of.memory_owner() && part.config == config)
}

/// Adds the answers to the comparisons, and drops the comparisons of former shadows.
fn compare(comparisons: &mut Vec<ShadowComparison>, answers: Vec<Answered>, round: &Round) {
    let at = round.evaluation.scaling_observation.now;
    let is_about = |comparison: &ShadowComparison, answered: &Answered| {
        comparison.kind == answered.kind && comparison.policy == answered.policy && comparison.config == answered.config
    };
    let mut before = std::mem::take(comparisons);
    for answered in answers {
        let known = before.iter().position(|comparison| is_about(comparison, &answered));
        let mut comparison = known.map(|index| before.swap_remove(index)).unwrap_or_else(|| {
            ShadowComparison::new(answered.kind, answered.policy.clone(), answered.config.clone(), at)
        });
        if let Some(memory) = answered.memory {
            comparison.memory = memory;
        }
        comparison.note(at, round.decision, &answered.acting, &answered.shadow);
        comparisons.push(comparison);
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
            let mut assessments: Vec<_> = report.assessments.iter().collect();
            assessments.sort_by(|a, b| a.replica_id.cmp(&b.replica_id));
            json!({"assessments": assessments})
        }
        Err(failure) => unavailable(failure),
    }
}

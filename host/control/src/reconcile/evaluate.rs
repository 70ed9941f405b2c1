//! Calls the policies: [`Snapshot`] → [`Verdict`]. The health policy comes first, since its assessments are part of the
//! scaling policy's input.

use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::contract::{
    HealthObservation, ProbedReplica, ReplicaFacts, ScalingObservation, Series, WorkloadFacts,
};
use windlass_core::metric::{BuiltIn, MetricFailure};
use windlass_core::policy::Policies;
use windlass_core::verdict::FailedMetrics;
use windlass_core::{
    ContainerId, History, MemoryOwner, PolicyFailure, PolicyIdentity, PolicyOutcome, Replica, Snapshot, Timestamp,
    Verdict, Workload,
};

/// The input of both policies and their answers.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The answers.
    pub verdict: Verdict,
    /// The input of the health policy.
    pub health_observation: HealthObservation,
    /// The input of the scaling policy.
    pub scaling_observation: ScalingObservation,
    /// Duration of the health policy's call, including the wait for a free call slot.
    pub health_took: Duration,
    /// Duration of the scaling policy's call, including the wait for a free call slot.
    pub scaling_took: Duration,
}

/// Calls both policies with a snapshot, the scaling policy also with these metrics. Returns the snapshot with the health
/// policy's assessments. If the scaling policy did not return its metric requests, it is not called.
pub async fn evaluate(
    desired: &Workload,
    mut snapshot: Snapshot,
    history: &History,
    policies: &Policies,
    metrics: Result<Vec<Series>, PolicyFailure>,
    now: Timestamp,
) -> (Snapshot, Evaluation) {
    let workload = workload_facts(desired);
    let health_observation = HealthObservation {
        now,
        workload: workload.clone(),
        replicas: snapshot
            .replicas
            .iter()
            .map(|replica| ProbedReplica {
                replica: replica_facts(replica, &snapshot, history),
                probes: snapshot.probes.get(&replica.id).cloned().unwrap_or_default(),
            })
            .collect(),
        memory: handed(&history.health_memory, history.health_memory_of.as_ref(), policies.health.identity()),
    };
    let began = Instant::now();
    let health = PolicyOutcome {
        policy: policies.health.identity().clone(),
        answer: policies.health.evaluate(&policies.health_config, &health_observation).await,
    };
    let health_took = began.elapsed();
    if let Ok(report) = &health.answer {
        snapshot.assess(report);
    }
    let (metrics, no_requests) = match metrics {
        Ok(metrics) => (metrics, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let scaling_observation = ScalingObservation {
        now,
        workload,
        current_replicas: history.current(desired, &snapshot),
        replicas: snapshot.replicas.iter().map(|replica| replica_facts(replica, &snapshot, history)).collect(),
        metrics,
        memory: handed(&history.scaling_memory, history.scaling_memory_of.as_ref(), policies.scaling.identity()),
    };
    let began = Instant::now();
    let mut scaling = PolicyOutcome {
        policy: policies.scaling.identity().clone(),
        answer: match no_requests {
            Some(failure) => Err(failure),
            None => policies.scaling.decide(&policies.scaling_config, &scaling_observation).await,
        },
    };
    let scaling_took = began.elapsed();
    let failed_metrics = failed(&scaling_observation.metrics);
    let existing = snapshot.counted().count();
    let proposed = scaling.answer.as_ref().ok().map(|decision| decision.replicas);
    // If no metric has a value and the policy returns nothing, the fallback may apply.
    let fallback = desired.guardrails.as_ref().and_then(|guardrails| guardrails.fallback);
    let fallback = fallback.filter(|_| failed_metrics.are_all).map(|fallback| fallback.replicas);
    let wants_fewer = |count: u32| usize::try_from(count).is_ok_and(|count| count < existing);
    let mut protected = BTreeSet::new();
    if proposed.into_iter().chain(fallback).any(wants_fewer) {
        match policies.scaling.protected(&policies.scaling_config, &scaling_observation).await {
            None => {}
            Some(Ok(ids)) => protected.extend(ids.into_iter().map(ContainerId)),
            // If the protection call fails, every replica is protected and the scale-in is dropped.
            Some(Err(failure)) => {
                protected.extend(snapshot.replicas.iter().map(|replica| replica.id.clone()));
                scaling.answer = Err(failure);
            }
        }
    }
    let stand_ins = policies.stand_ins.clone();
    let verdict = Verdict { health, scaling, failed_metrics, protected, stand_ins };
    (snapshot, Evaluation { verdict, health_observation, scaling_observation, health_took, scaling_took })
}

/// The metrics of the whole workload that have no value, and whether none has one. A metric with values of only some
/// replicas has a value; the policy receives the failures and decides what they mean.
fn failed(metrics: &[Series]) -> FailedMetrics {
    let whole = || metrics.iter().filter(|series| series.replica.is_none());
    // The host always knows this metric. A policy that requests it does not rest on measurements alone.
    let is_known = |series: &&Series| series.name == BuiltIn::ReadyReplicas.name();
    let failure = |series: &Series| {
        let kind = kind(series.failure.as_ref()?);
        (kind != MetricFailure::PARTIAL).then(|| format!("`{}` is {kind}", series.name))
    };
    let failed = whole().filter_map(failure).collect();
    let mut measured = whole().filter(|series| !is_known(series)).peekable();
    let are_all = measured.peek().is_some() && measured.all(|series| failure(series).is_some());
    FailedMetrics { failed, are_all, knows_otherwise: whole().any(|series| is_known(&series)) }
}

/// The name of a failure. Its sentence may change from pass to pass; the observation contains it.
fn kind(failure: &str) -> &str {
    failure.split(':').next().unwrap_or_default()
}

/// The memory that a policy receives: its own, or that of the revision before it.
fn handed(memory: &[u8], of: Option<&MemoryOwner>, policy: &PolicyIdentity) -> Vec<u8> {
    if of.is_none_or(|owner| *owner == policy.memory_owner()) { memory.to_vec() } else { Vec::new() }
}

fn workload_facts(desired: &Workload) -> WorkloadFacts {
    WorkloadFacts {
        name: desired.key.to_string(),
        image: desired.image.to_string(),
        min_replicas: desired.bounds.min(),
        max_replicas: desired.bounds.max(),
        limits: desired.limits(),
        labels: desired.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

fn replica_facts(replica: &Replica, snapshot: &Snapshot, history: &History) -> ReplicaFacts {
    ReplicaFacts {
        id: replica.id.as_str().to_owned(),
        phase: replica.phase.into(),
        health: snapshot.health_of(&replica.id),
        created_at: replica.created_at,
        started_at: replica.started_at,
        restarts: history.slots.get(&replica.slot).map_or(0, |slot| slot.process_restarts) + replica.engine_restarts,
        exit_code: replica.exit_code,
        out_of_memory: replica.out_of_memory,
        usage: replica.usage,
        first_ready_at: history.first_ready_at(replica),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_failed_where_the_whole_workload_has_no_value() {
        let series = |name: &str, replica: Option<&str>, failure: Option<&str>| Series {
            name: name.to_owned(),
            replica: replica.map(str::to_owned),
            samples: Vec::new(),
            failure: failure.map(str::to_owned),
        };
        let failed = |metrics: &[Series]| {
            let FailedMetrics { failed, are_all, knows_otherwise } = failed(metrics);
            (failed.join(", "), are_all, knows_otherwise)
        };
        let stale = series("queue", None, Some("stale: the newest value is 61000 ms old"));
        let partial = series("cpu-utilization", None, Some("partial: 1 of 3 replicas have no value: timeout: no"));
        let silent = series("cpu-utilization", Some("a"), Some("timeout: no"));
        let known = series("ready-replicas", None, None);
        assert_eq!(failed(&[]), (String::new(), false, false));
        assert_eq!(failed(std::slice::from_ref(&stale)), ("`queue` is stale".to_owned(), true, false));
        assert_eq!(failed(&[stale.clone(), known.clone()]), ("`queue` is stale".to_owned(), true, true));
        assert_eq!(failed(&[partial.clone(), silent.clone()]), (String::new(), false, false));
        assert_eq!(failed(&[stale, partial, silent]), ("`queue` is stale".to_owned(), false, false));
    }

    #[test]
    fn memory_is_handed_to_its_own_policy_only() {
        let of = |name: &str, memory_since| PolicyIdentity { name: name.into(), memory_since, ..Default::default() };
        let owner = of("queue", 2).memory_owner();
        // Memory without an owner belongs to the default policy.
        assert_eq!(handed(&[7], None, &of("queue", 0)), [7]);
        assert_eq!(handed(&[7], Some(&owner), &PolicyIdentity { revision: 5, ..of("queue", 2) }), [7]);
        assert!(handed(&[7], Some(&owner), &of("queue", 5)).is_empty());
        assert!(handed(&[7], Some(&owner), &of("other", 2)).is_empty());
    }
}

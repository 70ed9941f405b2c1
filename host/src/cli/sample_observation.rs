//! Sample observations for a trial call: healthy replicas, and a value for each metric.

use windlass_core::Timestamp;
use windlass_core::contract::{
    HealthObservation, HealthStatus, Limits, MetricRequest, Phase, ProbeOutcome, ProbeResult, ProbedReplica,
    ReplicaFacts, Sample, ScalingObservation, Series, Usage, WorkloadFacts,
};

/// Value of each metric for each replica.
const VALUE: f64 = 20.0;

/// Milliseconds between two samples, and between two probes.
const STEP: u64 = 15_000;

/// An observation for a scaling policy that requested these metrics.
pub(super) fn scaling(replicas: u32, metrics: &[MetricRequest], now: Timestamp) -> ScalingObservation {
    let samples = |request: &MetricRequest| {
        let steps = (request.window / STEP).clamp(1, 20);
        let value = VALUE * f64::from(replicas);
        (0..steps).rev().map(|step| Sample { at: ago(now, step * STEP), value }).collect()
    };
    let series = metrics.iter().map(|request| Series {
        name: request.name.clone(),
        replica: None,
        samples: samples(request),
        failure: None,
    });
    ScalingObservation {
        now,
        workload: workload(replicas),
        current_replicas: replicas,
        replicas: (0..replicas).map(|number| replica(number, now)).collect(),
        metrics: series.collect(),
        memory: Vec::new(),
    }
}

/// An observation for a health policy.
pub(super) fn health(replicas: u32, now: Timestamp) -> HealthObservation {
    let probe = |step| ProbeResult { at: ago(now, step * STEP), outcome: ProbeOutcome::Success(4) };
    let probed = (0..replicas)
        .map(|number| ProbedReplica { replica: replica(number, now), probes: (0..10).rev().map(probe).collect() });
    HealthObservation { now, workload: workload(replicas), replicas: probed.collect(), memory: Vec::new() }
}

fn ago(now: Timestamp, milliseconds: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub(milliseconds))
}

fn workload(replicas: u32) -> WorkloadFacts {
    WorkloadFacts {
        name: "sample".to_owned(),
        image: "sample:1".to_owned(),
        min_replicas: 1,
        max_replicas: replicas.saturating_mul(2),
        limits: Limits { cpu_cores: Some(1.0), memory_bytes: Some(256 << 20) },
        labels: vec![("team".to_owned(), "sample".to_owned())],
    }
}

fn replica(number: u32, now: Timestamp) -> ReplicaFacts {
    ReplicaFacts {
        id: format!("{number:064x}"),
        phase: Phase::Running,
        health: HealthStatus::Healthy,
        created_at: ago(now, 3_600_000),
        started_at: Some(ago(now, 3_599_000)),
        restarts: 0,
        exit_code: None,
        out_of_memory: false,
        usage: Some(Usage {
            at: ago(now, 2_000),
            cpu_cores: 0.4,
            memory_bytes: 70 << 20,
            network_receive_rate: 51_200.0,
            network_transmit_rate: 409_600.0,
            network_is_unknown: false,
        }),
        first_ready_at: Some(ago(now, 3_590_000)),
    }
}

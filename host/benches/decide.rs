//! Measures the pure decision, by the number of replicas.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use windlass_core::contract::{Assessment, HealthReport, HealthStatus, Remedy, ScalingDecision};
use windlass_core::settings::ControlSettings;
use windlass_core::verdict::FailedMetrics;
use windlass_core::{History, PolicyIdentity, PolicyOutcome, Snapshot, Verdict};
use windlass_decide::decide;

#[path = "common/mod.rs"]
mod common;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for count in [10, 100, 1_000] {
        let desired = common::workload("web");
        let snapshot = Snapshot { replicas: common::replicas(&desired, count), ..Snapshot::default() };
        let identity = PolicyIdentity {
            name: "p".into(),
            version: "1.0.0".into(),
            digest: "sha256:0".into(),
            ..Default::default()
        };
        let assessments = snapshot
            .replicas
            .iter()
            .map(|replica| Assessment {
                replica_id: replica.id.to_string(),
                status: HealthStatus::Healthy,
                remedy: Remedy::None,
                reason: "its process runs".into(),
            })
            .collect();
        let verdict = Verdict {
            health: PolicyOutcome {
                policy: identity.clone(),
                answer: Ok(HealthReport { assessments, memory: Vec::new() }),
            },
            scaling: PolicyOutcome {
                policy: identity,
                answer: Ok(ScalingDecision {
                    replicas: count / 2,
                    reason: "half is enough".into(),
                    memory: Vec::new(),
                    evaluate_after: None,
                    parts: Vec::new(),
                }),
            },
            failed_metrics: FailedMetrics::default(),
            protected: Default::default(),
            stand_ins: Vec::new(),
        };
        let history = History { target: Some(count), ..History::default() };
        let settings = ControlSettings::default();
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| decide(black_box(&desired), &snapshot, &verdict, &history, &settings, common::NOW));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

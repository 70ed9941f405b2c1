//! Input values of the benchmarks.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each benchmark is its own program and uses some of these"
)]

use windlass_core::contract::{Limits, ReplicaFacts, ScalingObservation, Usage, WorkloadFacts};
use windlass_core::workload::{Bounds, DesiredStatus, Resources};
use windlass_core::{ContainerId, Phase, Replica, Slot, Timestamp, Workload};

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A workload of up to 1,000 replicas.
pub fn workload(image: &str) -> Workload {
    Workload::new(
        image.parse().unwrap(),
        Bounds::new(1, 1_000).unwrap(),
        Resources { cpu: "0.5".parse().unwrap(), memory: "256m".parse().unwrap(), status: DesiredStatus::Running },
    )
}

/// Running replicas in slots 1 to `count`, with usage.
pub fn replicas(workload: &Workload, count: u32) -> Vec<Replica> {
    (1..=count)
        .map(|slot| Replica {
            // Docker identifiers have 64 hexadecimal digits.
            id: ContainerId(format!("{slot:064x}")),
            name: format!("{}-{slot}", workload.image.short_name()),
            workload: workload.key.clone(),
            image: workload.image.to_string(),
            made_from: Default::default(),
            creator: Default::default(),
            slot: Slot(slot),
            phase: Phase::Running,
            status: "running".to_owned(),
            created_at: Timestamp(NOW.0 - 600_000),
            started_at: Some(Timestamp(NOW.0 - 599_000)),
            finished_at: None,
            exit_code: None,
            out_of_memory: false,
            error: String::new(),
            engine_restarts: 0,
            restart_policy: None,
            limits: workload.limits(),
            stops_by_kill: false,
            has_slot_name: true,
            ports: [].into(),
            address: None,
            node: None,
            is_protected: false,
            usage: Some(usage()),
            health_check: None,
        })
        .collect()
}

/// Resource use of each replica.
pub fn usage() -> Usage {
    Usage {
        at: NOW,
        cpu_cores: 0.25,
        memory_bytes: 64 << 20,
        network_receive_rate: 1_000.0,
        network_transmit_rate: 2_000.0,
        network_is_unknown: false,
    }
}

/// The observation for a scaling policy with `count` replicas.
pub fn scaling_observation(count: u32) -> ScalingObservation {
    let workload = workload("registry.example/team/web:1.2.3");
    ScalingObservation {
        now: NOW,
        current_replicas: count,
        replicas: replicas(&workload, count)
            .iter()
            .map(|replica| ReplicaFacts {
                id: replica.id.to_string(),
                phase: replica.phase.into(),
                health: windlass_core::contract::HealthStatus::Healthy,
                created_at: replica.created_at,
                started_at: replica.started_at,
                restarts: 0,
                exit_code: None,
                out_of_memory: false,
                usage: replica.usage,
                first_ready_at: None,
            })
            .collect(),
        workload: WorkloadFacts {
            name: workload.key.to_string(),
            image: workload.image.to_string(),
            min_replicas: 1,
            max_replicas: 1_000,
            limits: Limits { cpu_cores: Some(0.5), memory_bytes: Some(256 << 20) },
            labels: Vec::new(),
        },
        metrics: Vec::new(),
        memory: Vec::new(),
    }
}

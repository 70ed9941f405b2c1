//! Test values: workloads and replicas with typical fields.

use crate::quantity::{Cpu, Memory};
use crate::workload::{Bounds, DesiredStatus, Resources, Workload};
use crate::{ContainerId, ImageRef, Phase, Replica, Slot, Timestamp};

/// A workload of an image.
pub fn workload(image: &str, min: u32, max: u32) -> Workload {
    let image: ImageRef = image.parse().expect("a fixture's image is well formed");
    let bounds = Bounds::new(min, max).expect("a fixture's bounds are in order");
    Workload::new(
        image,
        bounds,
        Resources {
            cpu: "0.1".parse::<Cpu>().expect("well formed"),
            memory: "64m".parse::<Memory>().expect("well formed"),
            status: DesiredStatus::Running,
        },
    )
}

/// A replica of `workload` in a slot, running since `since`.
pub fn running(workload: &Workload, slot: u32, since: u64) -> Replica {
    Replica {
        id: ContainerId(format!("id-{slot}-{since}")),
        name: format!("{}-{slot}", workload.image.short_name()),
        workload: workload.key.clone(),
        image: workload.image.to_string(),
        made_from: Default::default(),
        creator: Default::default(),
        slot: Slot(slot),
        phase: Phase::Running,
        status: "running".to_owned(),
        created_at: Timestamp(since),
        started_at: Some(Timestamp(since)),
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
        usage: None,
        health_check: None,
    }
}

/// The same replica after its process ended with this code.
pub fn exited(mut replica: Replica, code: i32) -> Replica {
    replica.phase = Phase::Exited;
    replica.status = "exited".to_owned();
    replica.exit_code = Some(code);
    replica
}

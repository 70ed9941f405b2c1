//! A replica of a simulation: a container whose process runs, and about which the engine reports nothing special.

use std::collections::BTreeMap;
use windlass_core::{ContainerId, Phase, Replica, Slot, Timestamp, Workload};

/// A replica that was created and started at this time, named by its workload and its slot.
pub(crate) fn simulated(workload: &Workload, id: ContainerId, slot: Slot, started: Timestamp) -> Replica {
    Replica {
        id,
        name: format!("{}-{slot}", workload.key),
        workload: workload.key.clone(),
        image: workload.image.to_string(),
        made_from: Default::default(),
        creator: Default::default(),
        slot,
        phase: Phase::Running,
        status: String::new(),
        created_at: started,
        started_at: Some(started),
        finished_at: None,
        exit_code: None,
        out_of_memory: false,
        error: String::new(),
        engine_restarts: 0,
        restart_policy: None,
        limits: workload.limits(),
        stops_by_kill: false,
        has_slot_name: true,
        ports: BTreeMap::new(),
        address: None,
        node: None,
        is_protected: false,
        usage: None,
        health_check: None,
    }
}

//! A view of a workload for the tests of templates.

use windlass_control::WorkloadView;
use windlass_core::Timestamp;
use windlass_core::fixtures::{running, workload};

/// The workload `web:1` with a target of 2 of 1 to 3 replicas, one of which runs since 1 s after the epoch.
pub(crate) fn view() -> WorkloadView {
    let workload = workload("web:1", 1, 3);
    WorkloadView {
        replicas: vec![running(&workload, 1, 1_000)],
        target: 2,
        counted: 1,
        unremovable: Default::default(),
        strangers: Vec::new(),
        health: Default::default(),
        health_reasons: Default::default(),
        held: Default::default(),
        stopped_outside: Default::default(),
        outdated: Default::default(),
        rollout: None,
        protected: Default::default(),
        seen: Some(Timestamp(2_000)),
        observed_at: Some(Timestamp(2_000)),
        last_pass: None,
        shadows: Vec::new(),
        alerts: Vec::new(),
        leaving: Default::default(),
        begun: Default::default(),
        counters: Default::default(),
        workload,
    }
}

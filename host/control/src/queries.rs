//! What the loop tells those who only look: from the last look and samples, never from the engine.

use crate::controller::Controller;
use crate::counters::PolicyCounters;
use crate::drain::Subscriber;
use crate::error::ControlError;
use crate::metrics::MetricReport;
use crate::report::{Readiness, WorkloadView};
use crate::workload::state::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::store::DecisionRecord;
use windlass_core::{Replica, Timestamp, WorkloadKey};

impl Controller {
    /// Every workload as it is known now, in the order of keys.
    pub fn views(&self) -> Vec<WorkloadView> {
        self.shared.cells().iter().map(|cell| self.shown(cell.view())).collect()
    }

    /// One workload as it is known now.
    pub fn view(&self, key: &WorkloadKey) -> Option<WorkloadView> {
        Some(self.shown(self.shared.cell(key)?.view()))
    }

    /// Replicas of this instance whose workload is not known (its data directory was lost).
    pub fn orphans(&self) -> Vec<Replica> {
        self.shared.orphans().clone()
    }

    /// One decision by its number; none: it is not kept, or never was.
    pub async fn decision(&self, id: i64) -> Result<Option<DecisionRecord>, ControlError> {
        self.shared.store(move |store| store.decision(id)).await
    }

    /// The newest decisions of a workload, those made by `until` where it is said, newest first.
    pub async fn decisions(
        &self,
        key: &WorkloadKey,
        until: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, ControlError> {
        self.cell(key)?;
        let key = key.clone();
        self.shared.store(move |store| store.decisions(&key, until, limit)).await
    }

    /// Whether Windlass can do its work.
    pub fn readiness(&self) -> Readiness {
        let now = self.shared.clock.now();
        let patience = self.shared.settings.interval * 4;
        let is_late = |cell: &Arc<Cell>| {
            // A pass in hand may take long (an image is fetched): that is not being late.
            let idle = cell.gate.try_lock().is_ok();
            // One that never had a pass is late too.
            let last = cell.state().last_pass.as_ref().map_or(cell.since, |pass| pass.finished_at);
            idle && now.since(last) > patience
        };
        let late = self.shared.cells().iter().filter(|cell| is_late(cell)).map(|cell| cell.key.to_string()).collect();
        Readiness { engine: self.shared.engine_trouble(), late }
    }

    /// What was counted of each policy since Windlass began.
    pub fn policy_counters(&self) -> PolicyCounters {
        self.shared.policy_counters().clone()
    }

    /// Where a port inside a replica is reached from here; none when it is not.
    pub fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr> {
        self.shared.engine.endpoint(replica, port)
    }

    /// Follows what is known of all workloads. While it lives, what is stopped on purpose is stopped once the follower
    /// has dealt with its leaving, or after `patience`.
    pub fn follow(&self, patience: Duration) -> Subscriber {
        self.shared.audience.follow(patience)
    }

    /// Milliseconds since the Unix epoch, by the loop's clock.
    pub fn now_ms(&self) -> u64 {
        self.shared.clock.now().0
    }

    /// Every metric of a workload with its values since then.
    pub fn metrics(&self, key: &WorkloadKey, since: Timestamp) -> Result<Vec<MetricReport>, ControlError> {
        let cell = self.cell(key)?;
        let state = cell.state();
        Ok(cell.metrics.report(&state.workload, since, self.shared.clock.now()))
    }

    /// With the newest usage, and without what an operator said for a time that is over.
    fn shown(&self, mut view: WorkloadView) -> WorkloadView {
        view.workload.overrides = view.workload.overrides.in_force(self.shared.clock.now());
        for replica in &mut view.replicas {
            replica.usage = self.shared.engine.usage(&replica.id).or(replica.usage).filter(|_| replica.is_alive());
        }
        view
    }
}

//! Read requests. They are answered from the last observation and the kept values, never by the engine.

use crate::adoption::RefusedService;
use crate::controller::Controller;
use crate::counters::PolicyCounters;
use crate::drain::Subscriber;
use crate::error::ControlError;
use crate::metrics::MetricReport;
use crate::report::{Readiness, WorkloadBrief, WorkloadView};
use crate::workload::handle::WorkloadHandle;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::store::{DecisionPage, DecisionQuery, StoreSize, StoredDecision};
use windlass_core::{BuiltIn, Declaration, Leadership, Replica, Timestamp, WorkloadKey};

impl Controller {
    /// The current state of every workload, in the order of keys.
    pub fn views(&self) -> Vec<WorkloadView> {
        self.context.workloads.all().iter().map(|handle| self.current(handle.state().view())).collect()
    }

    /// The current state of every workload as a list shows it, in the order of keys.
    pub fn briefs(&self) -> Vec<WorkloadBrief> {
        let now = self.context.clock.now();
        self.context.workloads.all().iter().map(|handle| handle.state().brief(now)).collect()
    }

    /// The current state of one workload.
    pub fn view(&self, key: &WorkloadKey) -> Option<WorkloadView> {
        let handle = self.context.workloads.find(key)?;
        let view = handle.state().view();
        Some(self.current(view))
    }

    /// The replicas of every workload as last observed, in the order of the workloads' keys, with their newest usage.
    pub fn replicas(&self) -> Vec<Replica> {
        let copy = |handle: &Arc<WorkloadHandle>| handle.state().snapshot.replicas.clone();
        let mut replicas: Vec<Replica> = self.context.workloads.all().iter().flat_map(copy).collect();
        self.measure(&mut replicas);
        replicas
    }

    /// The first replica that `is_wanted`, as last observed, with its newest usage. Those of unknown workloads come last.
    pub fn find_replica(&self, is_wanted: impl Fn(&Replica) -> bool) -> Option<Replica> {
        let among = |replicas: &[Replica]| replicas.iter().find(|replica| is_wanted(replica)).cloned();
        let workloads = self.context.workloads.all();
        let known = workloads.iter().find_map(|handle| among(&handle.state().snapshot.replicas));
        let mut found = known.or_else(|| among(&self.context.workloads.orphans()))?;
        self.measure(std::slice::from_mut(&mut found));
        Some(found)
    }

    /// The place where a workload is declared. `None` if there is no such workload.
    pub fn declaration(&self, key: &WorkloadKey) -> Option<Declaration> {
        Some(self.context.workloads.find(key)?.state().workload.declaration.clone())
    }

    /// The key of a workload as it is stored, for another spelling of its image. The same key if there is no such workload.
    pub fn known_key(&self, key: &WorkloadKey) -> WorkloadKey {
        self.context.workloads.known_key(key)
    }

    /// Replicas of this instance whose workload is unknown, because its data directory was lost.
    pub fn orphans(&self) -> Vec<Replica> {
        self.context.workloads.orphans().clone()
    }

    /// The services that labels declare and that are left alone, in the order of their keys.
    pub fn refused_services(&self) -> Vec<RefusedService> {
        self.context.adoption.refused()
    }

    /// One decision by its number. `None` if it is not kept any more or never existed.
    pub async fn decision(&self, id: i64) -> Result<Option<StoredDecision>, ControlError> {
        self.context.store.read(move |store| store.decision(id)).await
    }

    /// Decisions of a workload, newest first.
    pub async fn decisions(&self, key: &WorkloadKey, query: DecisionQuery) -> Result<DecisionPage, ControlError> {
        let key = self.handle(key)?.key.clone();
        self.context.store.read(move |store| store.decisions(&key, &query)).await
    }

    /// The size of the store.
    pub async fn store_size(&self) -> Result<StoreSize, ControlError> {
        self.context.store.read(|store| store.size()).await
    }

    /// Returns the reasons why Windlass cannot work, if there are any.
    pub fn readiness(&self) -> Readiness {
        let now = self.context.clock.now();
        let patience = self.context.settings.interval * 4;
        let is_late = |handle: &Arc<WorkloadHandle>| {
            // A pass in progress may take long, for example to pull an image. That is not late.
            let idle = handle.pass_lock.try_lock().is_ok();
            // A pass that could not observe the engine does not count; a workload that never had one may be late too.
            idle && now.since(handle.state().observed_at.unwrap_or(handle.since)) > patience
        };
        let late = self
            .context
            .workloads
            .all()
            .iter()
            .filter(|handle| is_late(handle))
            .map(|handle| handle.key.to_string())
            .collect();
        let leadership = self.context.engine.leadership();
        let standby = (leadership != Leadership::Leads).then(|| leadership.to_string());
        Readiness { engine: self.context.engine_health.trouble(), late, standby }
    }

    /// The counters of each policy since Windlass started.
    pub fn policy_counters(&self) -> PolicyCounters {
        self.context.policy_counters.lock().clone()
    }

    /// The address by which the host reaches a port of a replica. `None` if it cannot.
    pub fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr> {
        self.context.engine.endpoint(replica, port)
    }

    /// Follows the state of all workloads. While the subscriber lives, a replica that stops on purpose stops only when the
    /// subscriber has handled the announcement, or after `patience`.
    pub fn follow(&self, patience: Duration) -> Subscriber {
        self.context.drain.subscribe(patience)
    }

    /// Milliseconds since the Unix epoch, by the loop's clock.
    pub fn now_ms(&self) -> u64 {
        self.context.clock.now().0
    }

    /// The names of a workload's metrics, in order.
    pub fn metric_names(&self, key: &WorkloadKey) -> Result<Vec<String>, ControlError> {
        let handle = self.handle(key)?;
        let state = handle.state();
        let built_in = BuiltIn::ALL.into_iter().map(|built_in| built_in.name().to_owned());
        let names: BTreeSet<String> = built_in.chain(state.workload.metrics.keys().cloned()).collect();
        Ok(names.into_iter().collect())
    }

    /// A metric of a workload with its values since a time. `None` if it has no metric of this name.
    pub fn metric(
        &self,
        key: &WorkloadKey,
        name: &str,
        since: Timestamp,
    ) -> Result<Option<MetricReport>, ControlError> {
        let handle = self.handle(key)?;
        let state = handle.state();
        Ok(handle.metrics.report(name, &state.workload, since, self.context.clock.now()))
    }

    /// The view with the newest usage and without overrides that have expired.
    fn current(&self, mut view: WorkloadView) -> WorkloadView {
        view.workload.overrides = view.workload.overrides.in_force(self.context.clock.now());
        self.measure(&mut view.replicas);
        view
    }

    /// Gives replicas their newest usage.
    fn measure(&self, replicas: &mut [Replica]) {
        for replica in replicas {
            replica.usage = self.context.engine.usage(&replica.id).or(replica.usage).filter(|_| replica.is_running());
        }
    }
}

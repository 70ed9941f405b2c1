//! The newest probe results of each replica, kept for the health policy.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use windlass_core::contract::{ProbeOutcome, ProbeResult};
use windlass_core::{ContainerId, Phase, Probe, ProbeTarget, Replica, Timestamp};

/// The results of one replica.
#[derive(Debug, Default)]
struct Kept {
    /// The newest results, oldest first.
    results: VecDeque<ProbeResult>,
    /// The engine's time of the newest HEALTHCHECK result that was taken over.
    taken_over: Option<Timestamp>,
}

/// The newest probe results of each replica.
#[derive(Debug)]
pub(crate) struct ProbeLog {
    kept: usize,
    replicas: Mutex<HashMap<ContainerId, Kept>>,
}

impl ProbeLog {
    /// A log that keeps this many results per replica.
    pub(crate) fn new(kept: usize) -> Self {
        Self { kept, replicas: Mutex::default() }
    }

    /// The results of these replicas, oldest first.
    pub(crate) fn of<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>) -> BTreeMap<ContainerId, Vec<ProbeResult>> {
        let replicas = self.lock();
        let kept = |id| replicas.get(id).filter(|kept| !kept.results.is_empty());
        ids.filter_map(|id| Some((id.clone(), kept(id)?.results.iter().cloned().collect()))).collect()
    }

    /// Records a result. Returns true if it is news: a failure, or the first success after none or after a failure.
    pub(crate) fn push(&self, id: &ContainerId, result: ProbeResult) -> bool {
        let good = |result: &ProbeResult| matches!(result.outcome, ProbeOutcome::Success(_));
        let mut replicas = self.lock();
        let results = &mut replicas.entry(id.clone()).or_default().results;
        let news = !good(&result) || !results.back().is_some_and(good);
        results.push_back(result);
        while results.len() > self.kept {
            results.pop_front();
        }
        news
    }

    /// Takes over the engine's results of the image's own HEALTHCHECK, if the workload uses it.
    pub(crate) fn take_over(&self, probe: Option<&Probe>, replica: &Replica, now: Timestamp) {
        let uses_image = probe.is_none_or(|probe| probe.target == ProbeTarget::Docker);
        if !uses_image || replica.phase != Phase::Running {
            return;
        }
        let Some(check) = &replica.health_check else {
            if probe.is_some() {
                let outcome = ProbeOutcome::Failure("its image has no HEALTHCHECK".to_owned());
                self.push(&replica.id, ProbeResult { at: now, outcome });
            }
            return;
        };
        // By order, not by time: the clock may have been set back between two results.
        let last = self.lock().get(&replica.id).and_then(|kept| kept.taken_over);
        let known = check.checks.iter().rposition(|check| Some(check.at) == last).map_or(0, |last| last + 1);
        let is_new = |result: &ProbeResult| check.checks[known..].contains(result);
        for result in check.results().into_iter().filter(is_new) {
            let made = result.at;
            self.push(&replica.id, result);
            self.lock().entry(replica.id.clone()).or_default().taken_over = Some(made);
        }
    }

    /// Moves results in the future to `now`: the clock was set back, and later results must be newer.
    pub(crate) fn none_later_than(&self, now: Timestamp) {
        let mut replicas = self.lock();
        for result in replicas.values_mut().flat_map(|kept| &mut kept.results) {
            result.at = result.at.min(now);
        }
    }

    /// Forgets all results, because the probe has changed.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Forgets every other replica.
    pub(crate) fn keep_only<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>) {
        let ids: HashSet<&ContainerId> = ids.collect();
        self.lock().retain(|id, _| ids.contains(id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Kept>> {
        self.replicas.lock()
    }
}

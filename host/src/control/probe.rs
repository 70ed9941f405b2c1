//! Asks running replicas whether they answer, and keeps what came of it for the health policy.

use crate::model::facts::{ProbeOutcome, ProbeResult};
use crate::model::workload::{Probe, ProbeTarget};
use crate::model::{ContainerId, Phase, Replica, Timestamp};
use crate::net::{Net, NetError};
use crate::runtime::Runtime;
use futures_util::StreamExt;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;

/// Probes in flight at once for one workload.
const PROBES_AT_ONCE: usize = 32;

/// The newest probe results of each replica.
#[derive(Debug)]
pub struct ProbeLog {
    kept: usize,
    results: Mutex<HashMap<ContainerId, VecDeque<ProbeResult>>>,
}

impl ProbeLog {
    /// A log that keeps this many results of a replica.
    pub fn new(kept: usize) -> Self {
        Self { kept, results: Mutex::default() }
    }

    /// The results of these replicas, oldest first.
    pub fn of<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>) -> BTreeMap<ContainerId, Vec<ProbeResult>> {
        let results = self.lock();
        ids.filter_map(|id| Some((id.clone(), results.get(id)?.iter().cloned().collect()))).collect()
    }

    /// Writes a result down. True when it is news: a failure, or the first good answer after none or a bad one.
    fn push(&self, id: &ContainerId, result: ProbeResult) -> bool {
        let good = |result: &ProbeResult| matches!(result.outcome, ProbeOutcome::Success(_));
        let mut results = self.lock();
        let of_replica = results.entry(id.clone()).or_default();
        let news = !good(&result) || !of_replica.back().is_some_and(good);
        of_replica.push_back(result);
        while of_replica.len() > self.kept {
            of_replica.pop_front();
        }
        news
    }

    /// Forgets every replica that is not among these.
    pub fn keep_only<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>) {
        let ids: std::collections::HashSet<&ContainerId> = ids.collect();
        self.lock().retain(|id, _| ids.contains(id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerId, VecDeque<ProbeResult>>> {
        self.results.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Asks every running replica once, side by side. True when any answer is news.
pub async fn probe_all(
    probe: &Probe,
    replicas: &[Replica],
    runtime: &dyn Runtime,
    net: &dyn Net,
    log: &ProbeLog,
    now: impl Fn() -> Timestamp,
) -> bool {
    let now = &now;
    let questions = replicas.iter().filter(|replica| replica.phase == Phase::Running).map(|replica| async move {
        let at = now();
        let outcome = ask(probe, replica, runtime, net).await;
        log.push(&replica.id, ProbeResult { at, outcome })
    });
    // Boxed so that the stream does not hold PROBES_AT_ONCE large futures on the stack.
    let questions: Vec<_> = questions.map(Box::pin).collect();
    futures_util::stream::iter(questions)
        .buffer_unordered(PROBES_AT_ONCE)
        .fold(false, async |news, one| news | one)
        .await
}

async fn ask(probe: &Probe, replica: &Replica, runtime: &dyn Runtime, net: &dyn Net) -> ProbeOutcome {
    let (ProbeTarget::Http { port, .. } | ProbeTarget::Tcp { port }) = &probe.target;
    let Some(address) = runtime.endpoint(replica, *port) else {
        return ProbeOutcome::Failure(format!("port {port} cannot be reached from the host; publish it"));
    };
    let answer = match &probe.target {
        ProbeTarget::Http { path, .. } => net.http_get(address, path, probe.timeout).await,
        ProbeTarget::Tcp { .. } => net.tcp_connect(address, probe.timeout).await,
    };
    match answer {
        Ok(took) => ProbeOutcome::Success(took),
        Err(NetError::TimedOut(_)) => ProbeOutcome::Timeout,
        Err(NetError::Failed(why)) => ProbeOutcome::Failure(why),
    }
}

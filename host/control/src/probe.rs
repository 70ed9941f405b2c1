//! Asks running replicas whether they answer, and keeps what came of it for the health policy.

#[cfg(test)]
mod tests;

use crate::command::{Commands, Ran};
use futures_util::StreamExt;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::contract::{ProbeOutcome, ProbeResult};
use windlass_core::engine::{Engine, EngineError};
use windlass_core::net::{Net, NetError};
use windlass_core::time::millis;
use windlass_core::{ContainerId, Phase, Probe, ProbeTarget, Replica, Timestamp};

/// Probes in flight at once for one workload.
const PROBES_AT_ONCE: usize = 32;

/// What is kept of one replica.
#[derive(Debug, Default)]
struct Kept {
    /// The newest results, oldest first.
    results: VecDeque<ProbeResult>,
    /// When the newest of the engine's own checks that was taken over was made, by the engine's clock.
    taken_over: Option<Timestamp>,
}

/// The newest probe results of each replica.
#[derive(Debug)]
pub struct ProbeLog {
    kept: usize,
    replicas: Mutex<HashMap<ContainerId, Kept>>,
    commands: Commands,
}

impl ProbeLog {
    /// A log that keeps this many results of a replica.
    pub fn new(kept: usize) -> Self {
        Self { kept, replicas: Mutex::default(), commands: Commands::default() }
    }

    /// The results of these replicas, oldest first.
    pub fn of<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>) -> BTreeMap<ContainerId, Vec<ProbeResult>> {
        let replicas = self.lock();
        let kept = |id| replicas.get(id).filter(|kept| !kept.results.is_empty());
        ids.filter_map(|id| Some((id.clone(), kept(id)?.results.iter().cloned().collect()))).collect()
    }

    /// Writes a result down. True when it is news: a failure, or the first good answer after none or a bad one.
    fn push(&self, id: &ContainerId, result: ProbeResult) -> bool {
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

    /// Takes over what the engine found by the image's own HEALTHCHECK, where a workload goes by that.
    pub fn take_over(&self, probe: Option<&Probe>, replica: &Replica, now: Timestamp) {
        let goes_by_it = probe.is_none_or(|probe| probe.target == ProbeTarget::Docker);
        if !goes_by_it || replica.phase != Phase::Running {
            return;
        }
        let Some(check) = &replica.health_check else {
            if probe.is_some() {
                let outcome = ProbeOutcome::Failure("its image has no HEALTHCHECK".to_owned());
                self.push(&replica.id, ProbeResult { at: now, outcome });
            }
            return;
        };
        // By their order, not by their times: the clock may have been set back between two.
        let last = self.lock().get(&replica.id).and_then(|kept| kept.taken_over);
        let known = check.checks.iter().rposition(|check| Some(check.at) == last).map_or(0, |last| last + 1);
        let is_new = |result: &ProbeResult| check.checks[known..].contains(result);
        for result in check.results().into_iter().filter(is_new) {
            let made = result.at;
            self.push(&replica.id, result);
            self.lock().entry(replica.id.clone()).or_default().taken_over = Some(made);
        }
    }

    /// Dates what was found later than `now` to now: the clock was set back, and what is asked from now on is newer.
    pub fn none_later_than(&self, now: Timestamp) {
        let mut replicas = self.lock();
        for result in replicas.values_mut().flat_map(|kept| &mut kept.results) {
            result.at = result.at.min(now);
        }
    }

    /// Forgets all results: another question is asked from now on.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Forgets every replica that is not among these.
    pub fn keep_only<'a>(&self, ids: impl Iterator<Item = &'a ContainerId>) {
        let ids: HashSet<&ContainerId> = ids.collect();
        self.lock().retain(|id, _| ids.contains(id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Kept>> {
        self.replicas.lock()
    }
}

/// Asks every running replica once, side by side. True when any answer is news.
pub async fn probe_all(
    probe: &Probe,
    replicas: &[Replica],
    engine: &Arc<dyn Engine>,
    net: &dyn Net,
    log: &ProbeLog,
    now: impl Fn() -> Timestamp,
) -> bool {
    let now = &now;
    let questions = replicas.iter().filter(|replica| replica.phase == Phase::Running).map(|replica| async move {
        let at = now();
        match ask(probe, replica, engine, net, log).await {
            Some(outcome) => log.push(&replica.id, ProbeResult { at, outcome }),
            None => false,
        }
    });
    // Boxed so that the stream does not hold PROBES_AT_ONCE large futures on the stack.
    let questions: Vec<_> = questions.map(Box::pin).collect();
    futures_util::stream::iter(questions)
        .buffer_unordered(PROBES_AT_ONCE)
        .fold(false, async |news, one| news | one)
        .await
}

/// What came of one question; none: nothing is known of the replica, since the engine did not serve.
async fn ask(
    probe: &Probe,
    replica: &Replica,
    engine: &Arc<dyn Engine>,
    net: &dyn Net,
    log: &ProbeLog,
) -> Option<ProbeOutcome> {
    let port = match &probe.target {
        ProbeTarget::Exec { command } => return run(command, probe.timeout, replica, engine, log).await,
        ProbeTarget::Docker | ProbeTarget::None => return None,
        ProbeTarget::Http(http) => http.port,
        ProbeTarget::Tcp { port } => *port,
    };
    let Some(address) = engine.endpoint(replica, port) else {
        return Some(ProbeOutcome::Failure(format!("port {port} cannot be reached from the host; publish it")));
    };
    let answer = match &probe.target {
        ProbeTarget::Http(http) => net.http_probe(address, http, probe.timeout).await,
        _ => net.tcp_connect(address, probe.timeout).await,
    };
    Some(match answer {
        Ok(took) => ProbeOutcome::Success(took),
        Err(NetError::TimedOut(_)) => ProbeOutcome::Timeout,
        Err(NetError::Failed(why)) => ProbeOutcome::Failure(why),
    })
}

async fn run(
    command: &[String],
    timeout: Duration,
    replica: &Replica,
    engine: &Arc<dyn Engine>,
    log: &ProbeLog,
) -> Option<ProbeOutcome> {
    let started = Instant::now();
    match log.commands.run(engine, &replica.id, "probe", command, timeout).await {
        Ran::NotBegun => Some(ProbeOutcome::Failure("the command of an earlier probe still runs in it".to_owned())),
        Ran::TimedOut => Some(ProbeOutcome::Timeout),
        Ran::Ended(Ok(_)) => Some(ProbeOutcome::Success(millis(started.elapsed()))),
        Ran::Ended(Err(EngineError::Refused(why))) => Some(ProbeOutcome::Failure(why)),
        // The engine is away, or the replica is, or Windlass is ending: none of it is the replica's fault.
        Ran::Ended(Err(_)) => None,
    }
}

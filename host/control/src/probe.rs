//! Probes the running replicas of a workload.

pub(crate) mod log;
#[cfg(test)]
mod tests;

use crate::probe::log::ProbeLog;
use crate::replica_call::{CallError, ReplicaCaller};
use futures_util::StreamExt;
use windlass_core::contract::{ProbeOutcome, ProbeResult};
use windlass_core::{Phase, Probe, ProbeTarget, Replica, Timestamp};

/// Probes in progress at once for one workload.
const CONCURRENT_PROBES: usize = 32;

/// Probes every running replica once, in parallel. Returns true if any result is news.
pub(crate) async fn probe_all(
    caller: ReplicaCaller<'_>,
    probe: &Probe,
    replicas: &[Replica],
    log: &ProbeLog,
    now: impl Fn() -> Timestamp,
) -> bool {
    let now = &now;
    let calls = replicas.iter().filter(|replica| replica.phase == Phase::Running).map(|replica| async move {
        let at = now();
        match probe_one(caller, probe, replica).await {
            Some(outcome) => log.push(&replica.id, ProbeResult { at, outcome }),
            None => false,
        }
    });
    // Boxed, so that the stream does not hold that many large futures on the stack.
    let calls: Vec<_> = calls.map(Box::pin).collect();
    futures_util::stream::iter(calls)
        .buffer_unordered(CONCURRENT_PROBES)
        .fold(false, async |news, one| news | one)
        .await
}

/// The outcome of one probe. `None` if the engine did not run the probe's command, or if the probe needs no call: the
/// outcome says nothing about the replica then.
async fn probe_one(caller: ReplicaCaller<'_>, probe: &Probe, replica: &Replica) -> Option<ProbeOutcome> {
    let took = match &probe.target {
        ProbeTarget::Exec { command } => caller.timed_exec(&replica.id, "probe", command, probe.timeout).await,
        ProbeTarget::Http(http) => caller.http_probe(replica, http, probe.timeout).await,
        ProbeTarget::Tcp { port } => caller.tcp_connect(replica, *port, probe.timeout).await,
        ProbeTarget::Docker | ProbeTarget::None => return None,
    };
    match took {
        Ok(took) => Some(ProbeOutcome::Success(took)),
        Err(CallError::TimedOut(_) | CallError::CommandTimedOut(_)) => Some(ProbeOutcome::Timeout),
        Err(CallError::Engine(_)) => None,
        Err(error @ (CallError::NotPublished(_) | CallError::StillRunning | CallError::Failed(_))) => {
            Some(ProbeOutcome::Failure(error.to_string()))
        }
    }
}

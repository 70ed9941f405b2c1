//! One look: engine and host records → [`Snapshot`].

use crate::clock_skew::Ahead;
use crate::probe::ProbeLog;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use windlass_core::contract::HealthStatus;
use windlass_core::engine::{Engine, EngineError};
use windlass_core::{ContainerId, Phase, Probe, Replica, Snapshot, Timestamp, WorkloadKey};

/// What the host itself knows of a workload's replicas before it looks.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Replicas an operator stopped.
    pub held: BTreeSet<ContainerId>,
    /// What the health policy last said.
    pub health: BTreeMap<ContainerId, HealthStatus>,
    /// Those that somebody asked to end through the engine, and when, by its clock.
    pub asked_to_end: BTreeMap<ContainerId, Timestamp>,
    /// How it is asked whether they answer; none: by the image's own HEALTHCHECK, if it has one.
    pub probe: Option<Probe>,
}

/// A process that was asked to end and ends within this time ended for that: the engine's own patience is 10 s, and people
/// may ask for more. One that ignored it and crashes later has crashed.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// Whether a replica ended since it was asked to.
fn ended_as_asked(replica: &Replica, asked: Timestamp) -> bool {
    let (Some(started), Some(finished)) = (replica.started_at, replica.finished_at) else { return false };
    replica.phase == Phase::Exited && started <= asked && finished.since(asked) <= ENDS_WITHIN
}

/// Looks at one workload. What is known of replicas that are gone is left out of the snapshot.
///
/// A held replica whose process runs again was started by somebody outside: its hold is over.
///
/// # Errors
/// When the engine cannot be asked; nothing is known then.
pub async fn observe(
    engine: &dyn Engine,
    key: &WorkloadKey,
    known: &Known,
    (probes, ahead): (&ProbeLog, &Ahead),
    now: Timestamp,
) -> Result<Snapshot, EngineError> {
    let mut replicas = engine.list(Some(key)).await?;
    let mut snapshot = Snapshot { at: now, ..Snapshot::default() };
    for replica in &mut replicas {
        if known.held.contains(&replica.id) && !replica.is_alive() {
            replica.phase = Phase::Held;
            snapshot.held.insert(replica.id.clone());
        }
        if known.asked_to_end.get(&replica.id).is_some_and(|asked| ended_as_asked(replica, *asked)) {
            snapshot.stopped_outside.insert(replica.id.clone());
        }
        ahead.bring_back(replica, now);
        probes.take_over(known.probe.as_ref(), replica, now);
        replica.usage = engine.usage(&replica.id);
        if let Some(status) = known.health.get(&replica.id) {
            snapshot.health.insert(replica.id.clone(), *status);
        }
    }
    probes.none_later_than(now);
    snapshot.probes = probes.of(replicas.iter().map(|replica| &replica.id));
    snapshot.replicas = replicas;
    Ok(snapshot)
}

//! The state of a service that holds its count: an update of the engine, and replicas without a node.

use crate::wording::replicas;
use std::collections::BTreeSet;
use std::time::Duration;
use windlass_core::{History, PendingReplica, ServiceState, ServiceUpdate, Timestamp};

/// A replica that has waited for a node for this long finds none soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records since when the service has had no room, and since when its update has been paused. Returns the time until a
/// replica that waits for a node has waited for too long. `None` if none will.
pub(crate) fn note_service(service: &ServiceState, history: &mut History, now: Timestamp) -> Option<Duration> {
    history.service.no_room = without_room(service, now).map(|pending| pending.since).min();
    history.service.paused = match service.update {
        ServiceUpdate::Paused | ServiceUpdate::RollbackPaused => history.service.paused.or(Some(now)),
        ServiceUpdate::None | ServiceUpdate::Updating | ServiceUpdate::RollingBack => None,
    };
    let waits = service.pending.iter().filter_map(|pending| PATIENCE.checked_sub(now.since(pending.since)));
    waits.filter(|wait| !wait.is_zero()).min()
}

/// The replicas that have waited for a node for a minute.
fn without_room(service: &ServiceState, now: Timestamp) -> impl Iterator<Item = &PendingReplica> {
    service.pending.iter().filter(move |pending| now.since(pending.since) >= PATIENCE)
}

/// Why the service gets no more replicas, in words. `None` if each replica has a node, or waits for less than a minute.
pub(crate) fn no_room(service: &ServiceState, now: Timestamp) -> Option<String> {
    let reasons: BTreeSet<&str> = without_room(service, now).map(|pending| pending.reason.as_str()).collect();
    let count = without_room(service, now).count();
    if count == 0 {
        return None;
    }
    let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
    Some(format!("Swarm has found no node for {} for a minute: {reasons}", replicas(count)))
}

/// Why the count of the service stays, in words: a change of the count would begin the update anew, and lose the
/// specification to which a rollback returns. `None` if no update is in progress.
pub(crate) fn update_rule(service: &ServiceState) -> Option<&'static str> {
    match service.update {
        ServiceUpdate::None => None,
        ServiceUpdate::Updating => Some("Swarm is updating the service; the count changes when the update is done"),
        ServiceUpdate::Paused => {
            Some("Swarm paused its update of the service; the count changes when that is continued or rolled back")
        }
        ServiceUpdate::RollingBack => {
            Some("Swarm is rolling the service back; the count changes when the rollback is done")
        }
        ServiceUpdate::RollbackPaused => {
            Some("Swarm paused its rollback of the service; the count changes when the service is deployed again")
        }
    }
}

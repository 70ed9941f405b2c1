//! Replicas that somebody stopped through the engine instead of through Windlass.

use std::time::Duration;
use windlass_core::{History, Replica, Snapshot, StoppedOutside, Timestamp};

/// An engine that shuts down stops all containers and is gone within this time; its own grace period is 15 s.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// Records the replicas that somebody stopped through the engine. They stay stopped until somebody starts or removes them.
///
/// Two kinds of stopped replicas do not count:
/// - a replica that the host restarted and that did not come up again;
/// - a replica that ended shortly before the engine was lost or the host itself ended: the machine may be rebooting.
pub(crate) fn note_stopped_outside(snapshot: &Snapshot, history: &mut History, now: Timestamp) {
    let noted = |replica: &Replica| {
        let known = history.stopped_outside.get(&replica.id).copied();
        let restart = history.slots.get(&replica.slot).and_then(|slot| slot.last_restart);
        let was_ours = restart.is_some_and(|restart| replica.started_at.is_none_or(|started| started < restart));
        let is_new = snapshot.stopped_outside.contains(&replica.id) && !was_ours;
        let seen = known.map(|known| known.seen).or(is_new.then_some(now))?;
        let is_settled = known.is_some_and(|known| known.is_settled);
        if replica.is_alive() || (!is_settled && seen <= snapshot.engine_lost) {
            return None;
        }
        Some(StoppedOutside { seen, is_settled: is_settled || now.since(seen) >= SETTLED_AFTER })
    };
    let stopped = snapshot.counted().filter_map(|replica| Some((replica.id.clone(), noted(replica)?))).collect();
    history.stopped_outside = stopped;
}

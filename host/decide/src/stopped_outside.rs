//! Replicas that somebody stopped or paused through the engine instead of through Windlass.

use std::time::Duration;
use windlass_core::{ContainerId, History, Phase, Replica, Snapshot, StoppedOutside, Timestamp};

/// An engine that shuts down stops all containers and is gone within this time; its own grace period is 15 s.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// Records the replicas that somebody stopped or paused through the engine. They stay so until somebody starts, continues
/// or removes them.
///
/// Two kinds of stopped replicas do not count:
/// - a replica that the host restarted and that did not come up again;
/// - a replica that ended shortly before the engine was lost or the host itself ended: the machine may be rebooting.
pub(crate) fn note_stopped_outside(snapshot: &Snapshot, history: &mut History, now: Timestamp) {
    let noted = |replica: &Replica| {
        if replica.phase == Phase::Paused {
            let seen = history.stopped_outside.get(&replica.id).map_or(now, |known| known.seen);
            // An engine that shuts down pauses nothing.
            return Some(StoppedOutside { seen, is_settled: true });
        }
        let known = history.stopped_outside.get(&replica.id).copied();
        let restart = history.slots.get(&replica.slot).and_then(|slot| slot.last_restart);
        let was_ours = restart.is_some_and(|restart| replica.started_at.is_none_or(|started| started < restart));
        let is_new = snapshot.stopped_outside.contains(&replica.id) && !was_ours;
        let seen = known.map(|known| known.seen).or(is_new.then_some(now))?;
        let is_settled = known.is_some_and(|known| known.is_settled);
        if replica.is_alive() {
            return None;
        }
        let seen = match (!is_settled && seen <= snapshot.engine_lost, is_new) {
            (false, _) => seen,
            // The engine still remembers the stop, so it did not shut down meanwhile.
            (true, true) => now,
            (true, false) => return None,
        };
        Some(StoppedOutside { seen, is_settled: is_settled || now.since(seen) >= SETTLED_AFTER })
    };
    let stopped = snapshot.counted().filter_map(|replica| Some((replica.id.clone(), noted(replica)?))).collect();
    history.stopped_outside = stopped;
}

/// The number of replicas that were stopped or paused outside Windlass, as a part of a decision's reason. Empty if there
/// is none.
pub(crate) fn stopped_or_paused(snapshot: &Snapshot, history: &History) -> String {
    let is_paused = |id: &&ContainerId| snapshot.replica(id).is_some_and(|replica| replica.phase == Phase::Paused);
    let paused = history.stopped_outside.keys().filter(is_paused).count();
    let stopped = history.stopped_outside.len() - paused;
    let part = |count: usize, state: &str| match count {
        0 => String::new(),
        1 => format!("; 1 replica was {state} outside Windlass and stays {state}"),
        more => format!("; {more} replicas were {state} outside Windlass and stay {state}"),
    };
    part(stopped, "stopped") + &part(paused, "paused")
}

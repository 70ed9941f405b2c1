//! Workloads that depend on others: they wait while one is down, and what ran without it is restarted. Pure, as `decide` is.

use windlass_core::{Dependency, DependencySeen, History, Phase, Replica, Snapshot, Step, Timestamp};

/// Takes in how the dependencies are. What is waited for, in words; none: all of them are up.
pub(crate) fn note_dependencies(snapshot: &Snapshot, history: &mut History, now: Timestamp) -> Option<String> {
    history.dependencies.retain(|key, _| snapshot.dependencies.contains_key(key));
    let mut waits = None;
    for (key, seen) in &snapshot.dependencies {
        let known = history.dependencies.get(key).copied();
        let (state, trouble) = match (*seen, known) {
            // A host that has just begun knows nothing of it, which is no reason to restart anything.
            (DependencySeen::Unknown, known) => (known, Some("is not known yet")),
            (DependencySeen::Down, _) => (Some(Dependency::Down), Some("is down")),
            (DependencySeen::Up { fell }, None) => (Some(Dependency::Up { back: None, fell }), None),
            (DependencySeen::Up { fell }, Some(Dependency::Down)) => {
                (Some(Dependency::Up { back: Some(now), fell }), None)
            }
            // Between two passes of this one it fell and came back.
            (DependencySeen::Up { fell: Some(fell) }, Some(Dependency::Up { fell: known, .. }))
                if known != Some(fell) =>
            {
                (Some(Dependency::Up { back: Some(now), fell: Some(fell) }), None)
            }
            (DependencySeen::Up { .. }, Some(up)) => (Some(up), None),
        };
        if let Some(state) = state {
            history.dependencies.insert(key.clone(), state);
        }
        if let (Some(trouble), None) = (trouble, &waits) {
            waits = Some(format!("`{key}`, which it depends on, {trouble}"));
        }
    }
    waits
}

/// Restarts what ran while a dependency was down: at most `cap` at once, those counted that are not ready yet; the others
/// wait for them.
pub(crate) fn restarted(
    counted: &[&Replica],
    snapshot: &Snapshot,
    history: &mut History,
    cap: usize,
    now: Timestamp,
) -> Vec<Step> {
    let back = |state: &Dependency| match state {
        Dependency::Up { back, .. } => *back,
        Dependency::Down => None,
    };
    let Some((key, back)) =
        history.dependencies.iter().filter_map(|(key, state)| Some((key, back(state)?))).max_by_key(|(_, back)| *back)
    else {
        return Vec::new();
    };
    let reason = format!("`{key}`, which it depends on, was down and is back");
    let is_stale =
        |replica: &Replica| replica.phase == Phase::Running && replica.started_at.is_some_and(|started| started < back);
    let is_ready = |replica: &Replica| replica.is_alive() && snapshot.health_of(&replica.id).is_ready();
    let not_ready = counted.iter().filter(|replica| !(is_stale(replica) || is_ready(replica))).count();
    let stale = counted.iter().filter(|it| is_stale(it)).take(cap.saturating_sub(not_ready));
    stale
        .map(|replica| {
            let slot = history.slots.entry(replica.slot).or_default();
            slot.process_restarts = slot.process_restarts.saturating_add(1);
            // Not counted as a restart in a row: it did not fail.
            slot.last_restart = Some(now);
            Step::Restart { replica: replica.id.clone(), reason: reason.clone() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use windlass_core::WorkloadKey;
    use windlass_core::contract::HealthStatus;
    use windlass_core::fixtures::{running, workload};

    const UP: DependencySeen = DependencySeen::Up { fell: None };

    fn seen(db: DependencySeen) -> Snapshot {
        Snapshot { dependencies: BTreeMap::from([(WorkloadKey::stored("db"), db)]), ..Snapshot::default() }
    }

    fn noted(history: &mut History, db: DependencySeen, now: u64) -> Option<String> {
        note_dependencies(&seen(db), history, Timestamp(now))
    }

    #[test]
    fn a_fall_and_return_between_two_looks_is_noted_once() {
        let mut history = History::default();
        let mut back = |fell: Option<u64>, now| {
            assert_eq!(noted(&mut history, DependencySeen::Up { fell: fell.map(Timestamp) }, now), None);
            match history.dependencies[&WorkloadKey::stored("db")] {
                Dependency::Up { back, .. } => back.map(|back| back.0),
                Dependency::Down => panic!("it is up"),
            }
        };
        // What it did before it was depended on does not matter.
        assert_eq!((back(Some(1), 2), back(Some(1), 3)), (None, None));
        assert_eq!((back(Some(4), 5), back(Some(4), 6)), (Some(5), Some(5)));
        // A host that begins anew has not seen any fall.
        assert_eq!((back(None, 7), back(Some(8), 9)), (Some(5), Some(9)));
    }

    #[test]
    fn what_is_down_is_waited_for_and_its_return_is_noted_once() {
        let mut history = History::default();
        assert_eq!(
            noted(&mut history, DependencySeen::Unknown, 1).as_deref(),
            Some("`db`, which it depends on, is not known yet")
        );
        assert!(history.dependencies.is_empty());
        assert_eq!(noted(&mut history, UP, 2), None);
        assert_eq!(noted(&mut history, DependencySeen::Down, 3).as_deref(), Some("`db`, which it depends on, is down"));
        // The host begins anew meanwhile.
        assert!(noted(&mut history, DependencySeen::Unknown, 4).is_some());
        assert_eq!((noted(&mut history, UP, 5), noted(&mut history, UP, 6)), (None, None));
        let db = WorkloadKey::stored("db");
        assert_eq!(history.dependencies[&db], Dependency::Up { back: Some(Timestamp(5)), fell: None });
        note_dependencies(&Snapshot::default(), &mut history, Timestamp(7));
        assert!(history.dependencies.is_empty(), "what it does not depend on any more is forgotten");
    }

    #[test]
    fn what_ran_without_it_is_restarted_a_share_at_a_time() {
        let web = workload("web", 3, 3);
        let replicas = [running(&web, 1, 100), running(&web, 2, 200), running(&web, 3, 900)];
        let counted: Vec<&Replica> = replicas.iter().collect();
        let mut history = History::default();
        let mut snapshot = Snapshot { replicas: replicas.to_vec(), ..seen(UP) };
        let restarts = |snapshot: &Snapshot, history: &mut History| {
            let steps = restarted(&counted, snapshot, history, 1, Timestamp(1_000));
            steps.iter().map(|step| (step.clone(), step.reason().to_owned())).collect::<Vec<_>>()
        };
        assert!(restarts(&snapshot, &mut history).is_empty());
        history
            .dependencies
            .insert(WorkloadKey::stored("db"), Dependency::Up { back: Some(Timestamp(500)), fell: None });
        let steps = restarts(&snapshot, &mut history);
        let reason = "`db`, which it depends on, was down and is back".to_owned();
        assert_eq!(steps, [(Step::Restart { replica: replicas[0].id.clone(), reason: reason.clone() }, reason)]);
        assert_eq!(history.slots[&replicas[0].slot].restarts, 0, "it did not fail");
        // One that is starting again is waited for.
        snapshot.health.insert(replicas[2].id.clone(), HealthStatus::Starting);
        assert!(restarts(&snapshot, &mut history).is_empty());
    }
}

//! Workloads that depend on others: they wait while a dependency is down. Replicas that ran without it are restarted. Pure.

use crate::planner::Planner;
use crate::repair::{AFTER_CAP, repair_cap};
use windlass_core::{Dependency, DependencySeen, History, Phase, Replica, Snapshot, Step, Timestamp};

impl Planner<'_> {
    /// Restarts the replicas that ran while a dependency was down, except those that are repaired anyway.
    pub(crate) fn restart_dependents(&mut self, counted: &[&Replica], snapshot: &Snapshot, history: &mut History) {
        let is_repaired = |replica: &Replica| {
            self.steps.iter().any(|step| {
                matches!(step, Step::Restart { replica: id, .. }
                    | Step::Replace { replica: id, .. }
                    | Step::Supersede { replica: id, .. } if *id == replica.id)
            })
        };
        let others: Vec<&Replica> = counted.iter().copied().filter(|replica| !is_repaired(replica)).collect();
        let cap = repair_cap(counted.len(), self.settings.heal_share);
        let cap = cap.saturating_sub(counted.len() - others.len());
        let steps = restarted(&others, snapshot, history, cap, self.now);
        if !steps.is_empty() {
            self.next_pass_after(AFTER_CAP);
        }
        self.steps.extend(steps);
    }
}

/// Records the state of the dependencies. Returns the first one that is not up, in words, or `None` if all are up.
pub(crate) fn note_dependencies(snapshot: &Snapshot, history: &mut History, now: Timestamp) -> Option<String> {
    history.dependencies.retain(|key, _| snapshot.dependencies.contains_key(key));
    let mut waits = None;
    for (key, seen) in &snapshot.dependencies {
        let known = history.dependencies.get(key).copied();
        let (state, trouble) = match (*seen, known) {
            // A host that has just started knows nothing about the dependency. That is no reason for a restart.
            (DependencySeen::Unknown, known) => (known, Some("has not been observed yet")),
            (DependencySeen::Down, _) => (Some(Dependency::Down), Some("is down")),
            (DependencySeen::Up { fell }, None) => (Some(Dependency::Up { back: None, fell }), None),
            (DependencySeen::Up { fell }, Some(Dependency::Down)) => {
                (Some(Dependency::Up { back: Some(now), fell }), None)
            }
            // It went down and came back between two passes of this workload.
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
            waits = Some(format!("dependency `{key}` {trouble}"));
        }
    }
    waits
}

/// Restarts replicas that ran while a dependency was down: at most `cap` at once. Replicas that are not ready yet count
/// towards the cap; the others wait for them.
fn restarted(
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
    let reason = format!("dependency `{key}` was down and is up again");
    let is_stale =
        |replica: &Replica| replica.phase == Phase::Running && replica.started_at.is_some_and(|started| started < back);
    let is_ready = |replica: &Replica| replica.is_running() && snapshot.health_of(&replica.id).is_ready();
    let not_ready = counted.iter().filter(|replica| !(is_stale(replica) || is_ready(replica))).count();
    let stale = counted.iter().filter(|it| is_stale(it)).take(cap.saturating_sub(not_ready));
    stale
        .map(|replica| {
            let slot = history.slots.entry(replica.slot).or_default();
            slot.process_restarts = slot.process_restarts.saturating_add(1);
            // The replica did not fail, so the restart does not count towards the backoff.
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
        // A fall before the workload depended on it does not count.
        assert_eq!((back(Some(1), 2), back(Some(1), 3)), (None, None));
        assert_eq!((back(Some(4), 5), back(Some(4), 6)), (Some(5), Some(5)));
        // A restarted host has not seen any fall.
        assert_eq!((back(None, 7), back(Some(8), 9)), (Some(5), Some(9)));
    }

    #[test]
    fn what_is_down_is_waited_for_and_its_return_is_noted_once() {
        let mut history = History::default();
        assert_eq!(
            noted(&mut history, DependencySeen::Unknown, 1).as_deref(),
            Some("dependency `db` has not been observed yet")
        );
        assert!(history.dependencies.is_empty());
        assert_eq!(noted(&mut history, UP, 2), None);
        assert_eq!(noted(&mut history, DependencySeen::Down, 3).as_deref(), Some("dependency `db` is down"));
        // The host restarts meanwhile.
        assert!(noted(&mut history, DependencySeen::Unknown, 4).is_some());
        assert_eq!((noted(&mut history, UP, 5), noted(&mut history, UP, 6)), (None, None));
        let db = WorkloadKey::stored("db");
        assert_eq!(history.dependencies[&db], Dependency::Up { back: Some(Timestamp(5)), fell: None });
        note_dependencies(&Snapshot::default(), &mut history, Timestamp(7));
        assert!(history.dependencies.is_empty(), "a removed dependency is forgotten");
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
        let reason = "dependency `db` was down and is up again".to_owned();
        assert_eq!(steps, [(Step::Restart { replica: replicas[0].id.clone(), reason: reason.clone() }, reason)]);
        assert_eq!(history.slots[&replicas[0].slot].restarts, 0, "it did not fail");
        // The others wait for a replica that is starting again.
        snapshot.health.insert(replicas[2].id.clone(), HealthStatus::Starting);
        assert!(restarts(&snapshot, &mut history).is_empty());
    }
}

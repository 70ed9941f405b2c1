//! Dependencies between workloads: their state, their validity, and the wake of dependents.

use crate::error::ControlError;
use crate::workload::registry::Workloads;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::{DependencySeen, Workload, WorkloadKey};

/// The state of these dependencies. The caller is woken when it changes.
pub(crate) fn states(
    workloads: &Workloads,
    depends_on: &BTreeSet<WorkloadKey>,
) -> BTreeMap<WorkloadKey, DependencySeen> {
    // Before their state is read, so that no change of it is missed.
    workloads.note_needed(depends_on);
    let state = |key: &WorkloadKey| {
        // A deleted workload is down.
        let Some(handle) = workloads.get(key) else { return DependencySeen::Down };
        let state = handle.state();
        match state.observed_at {
            None => DependencySeen::Unknown,
            Some(_) if state.snapshot.is_up() => DependencySeen::Up { fell: state.fell },
            Some(_) => DependencySeen::Down,
        }
    };
    depends_on.iter().map(|key| (key.clone(), state(key))).collect()
}

/// Checks that every dependency exists and that none depends on the workload.
pub(crate) fn check(workloads: &Workloads, workload: &Workload) -> Result<(), ControlError> {
    let of = |key: &WorkloadKey| workloads.get(key).map(|handle| handle.state().workload.depends_on.clone());
    for wanted in &workload.depends_on {
        let mut reached = vec![wanted.clone()];
        let mut visited = BTreeSet::new();
        while let Some(key) = reached.pop() {
            if key == workload.key {
                let circle =
                    if *wanted == key { "itself".to_owned() } else { format!("`{wanted}`, which depends on it") };
                return Err(ControlError::Dependency(format!("`{key}` cannot depend on {circle}")));
            }
            if visited.insert(key.clone()) {
                let missing = || ControlError::Dependency(format!("`{key}` was never started; start it first"));
                reached.extend(of(&key).ok_or_else(missing)?);
            }
        }
    }
    Ok(())
}

/// Checks that no workload depends on this one.
pub(crate) fn check_no_dependents(workloads: &Workloads, key: &WorkloadKey) -> Result<(), ControlError> {
    let depends = |workload: &Workload| workload.depends_on.contains(key);
    let Some(dependent) = workloads.all().into_iter().find(|handle| depends(&handle.state().workload)) else {
        return Ok(());
    };
    let dependent = &dependent.key;
    Err(ControlError::Conflict(format!("`{dependent}` depends on `{key}`; delete it first, or start it without that")))
}

/// Wakes the workloads that depend on this one, after it came up or went down.
pub(crate) fn wake_dependents(workloads: &Workloads, key: &WorkloadKey) {
    // All come up at the start of Windlass. If each looked through all others, many would take long.
    if !workloads.is_needed(key) {
        return;
    }
    for handle in workloads.all() {
        if handle.state().workload.depends_on.contains(key) {
            handle.wake();
        }
    }
}

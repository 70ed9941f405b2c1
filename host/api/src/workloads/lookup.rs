//! Finds the workload, or the containers, of a key.

use crate::ApiState;
use crate::error::Problem;
use windlass_control::{ControlError, WorkloadView};
use windlass_core::{Replica, WorkloadKey};

/// The workload of a key.
///
/// # Errors
/// 404 if there is none.
pub(crate) fn known(state: &ApiState, key: &WorkloadKey) -> Result<WorkloadView, Problem> {
    state.controller.view(key).ok_or_else(|| ControlError::NoSuchWorkload(key.to_string()).into())
}

/// Containers of this instance whose workload is no longer known.
pub(crate) fn orphans_of(state: &ApiState, key: &WorkloadKey) -> Vec<Replica> {
    let mut replicas = state.controller.orphans();
    replicas.retain(|replica| replica.workload == *key);
    replicas
}

//! Finds a container by its name or identifier.

use crate::ApiState;
use windlass_core::Replica;

/// The container of this name or identifier, as last observed. An identifier may be shortened to 12 characters.
pub(crate) fn find(state: &ApiState, name: &str) -> Option<Replica> {
    state.controller.find_replica(|replica| replica.is_called(name))
}

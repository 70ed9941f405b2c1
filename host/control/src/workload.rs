//! One workload in the loop: its state, its pass lock, and the registry of all workloads.

pub(crate) mod handle;
pub(crate) mod registry;
pub(crate) mod state;

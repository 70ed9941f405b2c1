//! One workload in the loop: its wish, its state and its pass lock.

pub(crate) mod state;

//! Services that exist already and declare their workloads by labels.
//!
//! `watch` searches for them when there is a reason to. A `search` lists them, `desired` turns labels into desired states
//! (pure), and `apply` manages, changes and forgets workloads. `refused` keeps the services that are left alone. Nothing
//! here creates, changes or removes a container.

mod apply;
mod desired;
pub(crate) mod refused;
mod search;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

pub use crate::adoption::refused::RefusedService;

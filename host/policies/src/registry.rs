//! The registry of policies: those built into the host, and those pushed, by name and revision.
//!
//! `root` holds its parts, `opening` restores them at start, `loading` loads stored revisions, `quota` limits them. `catalogue`,
//! `refresh` and `selection` serve operators, registries and the control loop.

mod catalogue;
mod loading;
mod opening;
mod quota;
mod refresh;
mod root;
mod selection;
#[cfg(test)]
mod tests;

pub use crate::registry::root::{DEFAULT_HEALTH, DEFAULT_SCALING, Defaults, PolicyRegistry, RegistryError};

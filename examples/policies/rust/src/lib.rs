//! A scaling policy: so much of a queue for each replica.

// The glue names symbols that only a component can have; the rule is tested without it.
#[cfg(target_arch = "wasm32")]
mod component;
pub mod rule;

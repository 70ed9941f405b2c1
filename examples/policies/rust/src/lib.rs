//! A scaling policy that keeps a fixed number of waiting items per replica.

// The glue uses symbols that exist only in a component. Tests of the rule do not need it.
#[cfg(target_arch = "wasm32")]
mod component;
pub mod rule;

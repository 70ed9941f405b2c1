//! Policies by name: their revisions, the circuit breakers of their revisions, and the sources that deliver components.

mod breaker;
mod built_in;
mod builtin_fallback;
pub mod combined;
mod digest;
mod listing;
mod loader;
mod loading_policy;
mod monitored;
pub mod registry;
mod revisions;
pub mod sources;

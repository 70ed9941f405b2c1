//! Policies by name: their revisions, the probation of a new revision, and the sources that deliver components.

mod built_in;
mod builtin_fallback;
pub mod combined;
mod digest;
mod listing;
mod loader;
mod monitored;
mod probation;
pub mod registry;
mod revisions;
pub mod sources;

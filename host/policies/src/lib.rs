//! The policies by name: revisions, probation, and the sources that revisions come from.

mod builtin_fallback;
pub mod combined;
mod listing;
mod monitored;
mod probation;
pub mod registry;
mod revisions;
pub mod sources;

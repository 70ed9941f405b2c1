//! The targets, one file each.

pub(crate) mod answers;
pub(crate) mod component;
pub(crate) mod configuration;
pub(crate) mod registry;
pub(crate) mod requests;
pub(crate) mod scenario;
pub(crate) mod schema;
pub(crate) mod trace;

/// A runtime for parsers that await.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

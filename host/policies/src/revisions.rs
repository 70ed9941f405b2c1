//! The revisions of pushed policies: the pure state machine, its owner, and the files on disk.

pub(crate) mod policy;
pub(crate) mod set;
pub(crate) mod state;
pub(crate) mod store;

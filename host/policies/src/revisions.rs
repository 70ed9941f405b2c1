//! The revisions of a policy name: which one acts, and where they are stored.

pub(crate) mod set;
pub(crate) mod store;

//! `/policies`: policies by name, their revisions, and changes to them.

pub(crate) mod check;
pub(crate) mod list;
pub(crate) mod promote;
pub(crate) mod push;
pub(crate) mod refresh;
pub(crate) mod remove;
pub(crate) mod roll_back;
pub(crate) mod show;

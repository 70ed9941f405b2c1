//! `/containers`: single containers.

pub(crate) mod change;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod lookup;
pub(crate) mod summary;

//! Services of Compose: their labels and names, and faithful copies of their containers.

pub(crate) mod copied_files;
mod copy;
mod create;
mod declared;
pub(crate) mod labels;
mod listing;
mod obstacle;

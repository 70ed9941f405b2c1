//! Resource use of each running replica, sampled in the background; a read never waits.
//!
//! If the kernel's control group files of a container are readable here, one task reads them for all containers
//! together. Otherwise the engine's stats are used, which take about one second a call. Both sources report counters; a
//! rate is the difference between two samples, so a value exists from the second sample on.

mod sampler;
mod stats;
mod table;

pub(crate) use crate::usage::sampler::{Sampled, Sampler};
pub(crate) use crate::usage::table::UsageTable;

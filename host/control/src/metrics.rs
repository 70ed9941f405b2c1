//! The values of a workload's metrics: gathered, kept as long as a policy needs them, and passed to policies.

mod answer;
pub(crate) mod gather;
mod log;
mod source_clock;
#[cfg(test)]
mod tests;
mod track;
mod unsaved;

pub(crate) use crate::metrics::log::max_age;
pub use crate::metrics::log::{MetricLog, MetricReport};
pub use crate::metrics::track::LONGEST_KEPT;
pub(crate) use crate::metrics::track::{KEPT, MEAN_OVER};

//! `/images/{image}/metrics`: the metrics of a workload, their values, and pushed samples.

pub(crate) mod define;
pub(crate) mod push;
pub(crate) mod show;

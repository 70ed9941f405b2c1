//! `/workloads` and `/images`: workloads, addressed by name or image.

pub(crate) mod change;
pub(crate) mod containers;
pub(crate) mod decisions;
pub(crate) mod declaration;
pub(crate) mod delete;
pub(crate) mod guardrails;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod list;
pub(crate) mod lookup;
pub(crate) mod metrics;
pub(crate) mod overrides;
pub(crate) mod pass;
pub(crate) mod policy;
pub(crate) mod reconcile;
pub(crate) mod roll_back;
pub(crate) mod rollout;
pub(crate) mod scale;
pub(crate) mod series;
pub(crate) mod shadows;
pub(crate) mod show;
#[cfg(test)]
mod tests;
pub(crate) mod view;

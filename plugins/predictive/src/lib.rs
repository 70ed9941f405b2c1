//! The `predictive` scaling policy as a component. The rule is in [`policy`], the forecast in [`forecast`].

pub mod config;
pub mod forecast;
pub mod policy;

windlass_policy_common::component!(crate::policy::Predictive, frees);

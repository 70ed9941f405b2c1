//! The `schedule` scaling policy as a component. The rule is in [`policy`].

pub mod calendar;
pub mod config;
pub mod occurrences;
pub mod policy;

windlass_policy_common::component!(crate::policy::Schedule);

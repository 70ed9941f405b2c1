//! The `schedule` scaling policy as a component: the rule itself is in [`policy`].

pub mod calendar;
pub mod config;
pub mod policy;

windlass_policy_common::component!(crate::policy::Schedule);

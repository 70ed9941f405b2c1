//! The `step` scaling policy as a component: the rule itself is in [`policy`].

pub mod policy;

windlass_policy_common::component!(crate::policy::Step);

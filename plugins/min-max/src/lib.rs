//! The default scaling policy as a component. The rule is in [`policy`].

pub mod policy;

windlass_policy_common::component!(crate::policy::MinMax);

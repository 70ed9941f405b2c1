//! The parts of a workload in JSON: each is read from requests, and written in answers in the same form.

pub(crate) mod bounds;
pub(crate) mod env;
pub(crate) mod guardrails;
pub(crate) mod metric;
pub(crate) mod overrides;
pub(crate) mod policies;
pub(crate) mod ports;
pub(crate) mod probe;
pub(crate) mod resources;
pub(crate) mod rollout;
pub(crate) mod stop_hook;

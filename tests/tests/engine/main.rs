//! Black-box tests of the program on a real container engine, a module a topic.

mod access;
mod agent;
mod breaker;
mod commands;
mod compose;
mod dependencies;
mod discovery;
#[expect(clippy::unwrap_used, reason = "the helpers of these tests say what they expect by panicking, as tests do")]
mod docker;
mod endpoints;
mod files;
mod guardrails;
mod hostile;
mod image;
mod lifecycle;
mod metrics;
mod oci;
mod operators;
mod outage;
mod policy_api;
mod repair;
mod rollouts;
mod round_trip;
mod scale_in;
mod streams;
#[expect(clippy::unwrap_used, reason = "the helpers of these tests say what they expect by panicking, as tests do")]
mod swarm;

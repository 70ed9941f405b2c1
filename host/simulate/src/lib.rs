//! Policies and guardrails in simulated time: over the trace of a load against a model of a service, or over a scenario
//! told line by line. What decides is the host's own code and the policy's own component; only the engine, the service
//! and the clock are made up.

pub mod chart;
mod outcome;
pub mod run;
pub mod scenario;
mod service;
mod subject;
pub mod trace;

pub use crate::outcome::{Measures, Point, Silence};
pub use crate::service::ServiceModel;
pub use crate::subject::Subject;

use windlass_core::Timestamp;

/// When a simulation begins that does not say: 2026-01-01 00:00 UTC, a Thursday.
pub const BEGINNING: Timestamp = Timestamp(1_767_225_600_000);

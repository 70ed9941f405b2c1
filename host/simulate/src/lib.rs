//! Simulates policies and guardrails over the trace of a load, against a model of a service, or over a scenario with
//! one event per line. The host's own code and the policy's component make the decisions; only the engine, the service
//! and the clock are simulated.

mod budget;
pub mod chart;
mod decimation;
pub mod encoding;
mod outcome;
mod replica;
pub mod run;
pub mod scenario;
mod service;
mod subject;
pub mod trace;

pub use crate::budget::{RunError, TimeLimit};
pub use crate::outcome::{Measures, Point, Silence};
pub use crate::service::ServiceModel;
pub use crate::subject::{Subject, define_metrics};

use windlass_core::Timestamp;

/// The default start of a simulation: 2026-01-01 00:00 UTC, a Thursday.
pub(crate) const BEGINNING: Timestamp = Timestamp(1_767_225_600_000);

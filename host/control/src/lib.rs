//! The control loop: what wakes a workload, and what a pass does.
//!
//! A pass is four functions with values between them: [`observe`] (engine → snapshot), [`evaluate`]
//! (snapshot → policies → verdict), [`decide`] (pure → plan), [`act`] (plan → engine). [`controller`]
//! runs them one at a time for a workload; [`report`] is what it publishes. Readers of the API see
//! reports, never the loop's internals.

mod alerts;
mod background;
pub mod callbacks;
pub mod clock;
pub mod clock_skew;
mod command;
mod containers;
mod context;
pub mod controller;
pub mod counters;
pub mod drain;
mod error;
mod jitter;
pub mod metrics;
pub mod probe;
mod queries;
pub mod reconcile;
pub mod report;
mod shadows;
mod stop;
mod workload;

pub use crate::controller::{Controller, Parts, Started};
pub use crate::error::ControlError;
pub use crate::report::{Action, ActionKind, PassReport, Readiness, WorkloadView};

//! The control loop: what wakes a workload, and what a pass does.
//!
//! A pass is four functions with values between them: [`observe`] (engine → snapshot), [`evaluate`]
//! (snapshot → policies → verdict), [`decide`] (pure → plan), [`act`] (plan → engine). [`controller`]
//! runs them one at a time for a workload; [`report`] is what it publishes. Readers of the API see
//! reports, never the loop's internals.

pub mod act;
pub mod ahead;
mod alarm;
mod background;
pub mod callback;
mod cell;
pub mod clock;
mod command;
pub mod controller;
pub mod decide;
mod depend;
mod error;
pub mod evaluate;
#[cfg(test)]
pub mod fixtures;
pub mod leave;
pub mod metrics;
pub mod observe;
mod operator;
mod pass;
pub mod probe;
mod reading;
pub mod report;
mod shadow;
mod shared;
pub mod smooth;
mod splay;
mod stop;
pub mod tally;
mod target;

pub use controller::{Controller, Parts, Started};
pub use error::ControlError;
pub use report::{Action, ActionKind, PassReport, Readiness, WorkloadView};

//! The control loop: what wakes a workload, and what a pass does.
//!
//! A pass is four functions with values between them: [`observe`] (engine → snapshot), [`evaluate`]
//! (snapshot → policies → verdict), [`decide`] (pure → plan), [`act`] (plan → engine). [`controller`]
//! runs them one at a time for a workload; [`report`] is what it publishes. Readers of the API see
//! reports, never the loop's internals.

pub mod act;
pub mod controller;
pub mod decide;
pub mod evaluate;
pub mod observe;
pub mod probe;
pub mod report;

pub use controller::{ControlError, Controller};
pub use report::{Action, ActionKind, PassReport, Readiness, WorkloadView};

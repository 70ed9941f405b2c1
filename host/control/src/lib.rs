//! The control loop: what wakes a workload, and the passes that keep it in its desired state.
//!
//! A pass ([`reconcile`]) is five functions with values between them: observe (engine → snapshot), evaluate (snapshot →
//! policies → verdict), decide (pure → plan), act (plan → engine) and record. `controller` starts the loop; at most one
//! pass of a workload is in progress. Readers of the API see the [`report`] of a pass, never the loop's internals.

mod action;
mod adoption;
mod alerts;
mod background;
mod bands;
mod callbacks;
pub mod caller;
mod changes;
pub mod clock;
mod clock_skew;
mod container_logs;
mod containers;
mod context;
mod controller;
pub mod counters;
mod dependencies;
pub mod drain;
mod engine_health;
mod engine_return;
mod error;
pub mod events;
mod jitter;
pub mod metrics;
mod override_events;
mod override_words;
mod probe;
mod queries;
pub mod reconcile;
mod replica_call;
pub mod report;
mod rollout;
pub mod series;
mod shadows;
mod start;
mod stop;
mod store_access;
mod tasks;
mod webhook;
mod workload;
mod workload_events;

pub use crate::action::{Action, ActionKind};
pub use crate::adoption::RefusedService;
pub use crate::controller::{Controller, Parts};
pub use crate::error::ControlError;
pub use crate::report::{PassReport, Readiness, ReplicaState, WorkloadBrief, WorkloadView};
pub use crate::start::{Keep, Started};

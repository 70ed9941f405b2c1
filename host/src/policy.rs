//! What the control loop asks of policies, and the WebAssembly engine that serves it.
//!
//! [`ScalingPolicy`] and [`HealthPolicy`] are all the loop knows. Behind them: [`registry`] (names →
//! policies), [`component`] (loads, checks, calls), [`link`] (a component against the contract), [`compile`]
//! and [`cache`] (machine code, made in a child process and kept), [`engine`] (wasmtime's), [`store`] (the
//! limits of one call), [`convert`] (model ↔ WIT).

pub mod cache;
pub mod compile;
pub mod component;
pub mod convert;
pub mod engine;
pub mod link;
pub mod registry;
pub mod store;

use crate::model::facts::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use crate::model::{PolicyFailure, PolicyIdentity};
use async_trait::async_trait;

/// Says how many replicas there should be.
#[async_trait]
pub trait ScalingPolicy: Send + Sync + 'static {
    /// Who is asked.
    fn identity(&self) -> &PolicyIdentity;

    /// One decision. `config` is JSON text.
    ///
    /// # Errors
    /// Whatever the policy did wrong, as a value: the caller keeps the replicas as they are.
    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure>;
}

/// Says which replicas are well and what to do about those that are not.
#[async_trait]
pub trait HealthPolicy: Send + Sync + 'static {
    /// Who is asked.
    fn identity(&self) -> &PolicyIdentity;

    /// One evaluation. `config` is JSON text.
    ///
    /// # Errors
    /// Whatever the policy did wrong, as a value: the caller keeps the replicas as they are.
    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure>;
}

//! What the control loop asks of policies, and the WebAssembly engine that serves it.
//!
//! [`PolicySource`], [`ScalingPolicy`] and [`HealthPolicy`] are all the loop knows, [`PolicyCatalogue`] is what the
//! API knows. Behind them: [`registry`] (names → revisions), `pushed` (one name), `shelf` (on disk), `schema`, [`combined`] (several as one), [`files`] and [`oci`] (sources of them), [`component`] (loads, checks, calls), [`link`] (a component against the contract), [`compile`]
//! and [`cache`] (machine code, made in a child process and kept), [`engine`] (wasmtime's), [`store`] (the
//! limits of one call), [`convert`] (model ↔ WIT), [`language`] (what it was written in), [`contract`] (its text) and [`wrap`] (a core module as a component).

pub mod catalogue;

pub use crate::policy::catalogue::{
    CatalogueError, ChoiceError, PolicyCatalogue, PolicyEvent, PolicyInfo, Push, RevisionInfo, Source,
};

use crate::contract::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use crate::{PolicyChoices, PolicyFailure, PolicyIdentity, Timestamp};
use async_trait::async_trait;
use std::sync::Arc;

/// Says how many replicas there should be.
#[async_trait]
pub trait ScalingPolicy: Send + Sync + 'static {
    /// Who is asked.
    fn identity(&self) -> &PolicyIdentity;

    /// The metrics it is to be shown under a configuration, JSON text.
    ///
    /// # Errors
    /// Whatever the policy did wrong, or its refusal of the configuration.
    async fn requirements(&self, _config: &str, _now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        Ok(Vec::new())
    }

    /// One decision. `config` is JSON text.
    ///
    /// # Errors
    /// Whatever the policy did wrong, as a value: the caller keeps the replicas as they are.
    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure>;

    /// Identifiers of the replicas it wants to be spared when there are to be fewer; none: it does not say.
    ///
    /// # Errors
    /// As [`ScalingPolicy::decide`].
    async fn protected(
        &self,
        _config: &str,
        _observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        None
    }
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

/// The policies of one pass, with their configurations.
#[derive(Clone)]
pub struct Policies {
    /// Says how many.
    pub scaling: Arc<dyn ScalingPolicy>,
    /// Its configuration, JSON text.
    pub scaling_config: String,
    /// Says who is well.
    pub health: Arc<dyn HealthPolicy>,
    /// Its configuration, JSON text.
    pub health_config: String,
    /// Those that are asked beside them and never act.
    pub shadows: Vec<Shadow>,
}

impl Policies {
    /// Two policies without configuration, and no shadows.
    pub fn plain(scaling: Arc<dyn ScalingPolicy>, health: Arc<dyn HealthPolicy>) -> Self {
        let config = || "{}".to_owned();
        Self { scaling, scaling_config: config(), health, health_config: config(), shadows: Vec::new() }
    }
}

/// A policy that is asked what the acting one is asked, and only written down.
#[derive(Clone)]
pub struct Shadow {
    /// Who is asked.
    pub policy: ShadowPolicy,
    /// Its configuration, JSON text.
    pub config: String,
}

/// A shadow of either kind.
#[derive(Clone)]
pub enum ShadowPolicy {
    /// Says how many.
    Scaling(Arc<dyn ScalingPolicy>),
    /// Says who is well.
    Health(Arc<dyn HealthPolicy>),
}

/// Where the loop finds the policies of a workload, before each pass anew.
pub trait PolicySource: Send + Sync + 'static {
    /// Those that act now. What is returned answers the whole pass: a swap comes between two.
    fn of(&self, choices: &PolicyChoices) -> Policies;
}

/// The same for every workload.
impl PolicySource for Policies {
    fn of(&self, _choices: &PolicyChoices) -> Policies {
        self.clone()
    }
}

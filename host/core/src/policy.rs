//! The traits of policies: [`ScalingPolicy`] and [`HealthPolicy`] decide, [`PolicySource`] serves the control loop, and
//! [`PolicyCatalogue`] serves operators.

pub mod catalogue;

pub use crate::policy::catalogue::{
    CatalogueError, ChoiceError, FailingPolicy, PolicyCatalogue, PolicyEvent, PolicyInfo, Push, RevisionInfo, Source,
};

use crate::contract::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use crate::{PolicyChoices, PolicyFailure, PolicyIdentity, Timestamp, WorkloadKey};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::sync::Arc;

/// Decides the number of replicas.
#[async_trait]
pub trait ScalingPolicy: Send + Sync + 'static {
    /// Its identity in decisions.
    fn identity(&self) -> &PolicyIdentity;

    /// The metrics that it requests for a configuration, JSON text.
    ///
    /// # Errors
    /// The policy failed, or rejected the configuration.
    async fn requirements(&self, _config: &str, _now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        Ok(Vec::new())
    }

    /// One decision. `config` is JSON text.
    ///
    /// # Errors
    /// The policy failed. The caller keeps the replicas as they are.
    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure>;

    /// Identifiers of the replicas that a scale-in must spare. `None` if the policy does not protect replicas.
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

/// Decides which replicas are healthy, and the remedy for the others.
#[async_trait]
pub trait HealthPolicy: Send + Sync + 'static {
    /// Its identity in decisions.
    fn identity(&self) -> &PolicyIdentity;

    /// One evaluation. `config` is JSON text.
    ///
    /// # Errors
    /// The policy failed. The caller keeps the replicas as they are.
    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure>;
}

/// The policies of one pass, with their configurations.
#[derive(Clone)]
pub struct Policies {
    /// The scaling policy.
    pub scaling: Arc<dyn ScalingPolicy>,
    /// Its configuration, JSON text.
    pub scaling_config: String,
    /// The health policy.
    pub health: Arc<dyn HealthPolicy>,
    /// Its configuration, JSON text.
    pub health_config: String,
    /// Policies that see the same observations and never act.
    pub shadows: Vec<Shadow>,
    /// The chosen policies that do not act as chosen.
    pub stand_ins: Vec<StandIn>,
}

/// A chosen policy that does not act as chosen: it fails, or has no revision that may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// Name of the chosen policy.
    pub policy: String,
    /// Why, and what acts instead, in one sentence.
    pub reason: String,
}

impl Policies {
    /// Two policies without configuration, and no shadows.
    pub fn plain(scaling: Arc<dyn ScalingPolicy>, health: Arc<dyn HealthPolicy>) -> Self {
        let config = || "{}".to_owned();
        Self {
            scaling,
            scaling_config: config(),
            health,
            health_config: config(),
            shadows: Vec::new(),
            stand_ins: Vec::new(),
        }
    }
}

/// A policy that gets the same input as the acting one. Its answers are only recorded.
#[derive(Clone)]
pub struct Shadow {
    /// The policy.
    pub policy: ShadowPolicy,
    /// Its configuration, JSON text.
    pub config: String,
}

/// A shadow of either kind.
#[derive(Clone)]
pub enum ShadowPolicy {
    /// A scaling policy.
    Scaling(Arc<dyn ScalingPolicy>),
    /// A health policy.
    Health(Arc<dyn HealthPolicy>),
}

/// Provides the policies of a workload, before each pass.
#[async_trait]
pub trait PolicySource: Send + Sync + 'static {
    /// The policies that act in a workload now. They decide the whole pass, even if a swap happens meanwhile.
    fn of(&self, workload: &WorkloadKey, choices: &PolicyChoices, now: Timestamp) -> Policies;

    /// Checks that the chosen policies exist and accept their configurations. A policy that its source has not delivered yet
    /// counts as accepted: it is checked at its first call.
    ///
    /// # Errors
    /// The first check that failed.
    async fn accept(&self, _choices: &PolicyChoices, _now: Timestamp) -> Result<(), ChoiceError> {
        Ok(())
    }

    /// The news about policies from now on. A reader that falls behind misses the oldest news.
    fn news(&self) -> BoxStream<'static, PolicyNews> {
        futures_util::stream::pending().boxed()
    }
}

/// A change of the revision of a policy that acts or is to act, or a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyNews {
    /// The name of the policy.
    pub policy: String,
    /// The number of the revision. `None` if it concerns all of them.
    pub revision: Option<u32>,
    /// Whether something failed.
    pub is_failure: bool,
    /// The change or the failure, in one sentence.
    pub what: String,
}

/// The same policies for every workload.
impl PolicySource for Policies {
    fn of(&self, _: &WorkloadKey, _: &PolicyChoices, _: Timestamp) -> Policies {
        self.clone()
    }
}

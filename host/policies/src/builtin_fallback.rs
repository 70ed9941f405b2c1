//! The built-in policy that takes the place of a policy without an acting revision.

use async_trait::async_trait;
use std::sync::Arc;
use windlass_core::contract::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::{PolicyFailure, PolicyIdentity, Timestamp};
use windlass_sandbox::component::PolicyComponent;

/// A built-in policy whose identity names the policy that it replaces, so that each decision records it.
pub(crate) struct BuiltinFallback {
    policy: Arc<PolicyComponent>,
    identity: PolicyIdentity,
}

impl BuiltinFallback {
    pub(crate) fn new(policy: Arc<PolicyComponent>, chosen: &str) -> Self {
        let identity = PolicyIdentity { stands_in_for: Some(chosen.to_owned()), ..policy.identity().clone() };
        Self { policy, identity }
    }
}

#[async_trait]
impl ScalingPolicy for BuiltinFallback {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        self.policy.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        ScalingPolicy::decide(self.policy.as_ref(), config, observation).await
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        ScalingPolicy::protected(self.policy.as_ref(), config, observation).await
    }
}

#[async_trait]
impl HealthPolicy for BuiltinFallback {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        HealthPolicy::evaluate(self.policy.as_ref(), config, observation).await
    }
}

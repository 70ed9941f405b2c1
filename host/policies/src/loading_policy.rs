//! The place of a pushed policy that is not loaded yet, so that nothing else decides meanwhile.

use async_trait::async_trait;
use windlass_core::contract::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::{FailureKind, PolicyFailure, PolicyIdentity, Timestamp};

/// A policy that is unavailable until its component is compiled and loaded.
pub(crate) struct LoadingPolicy {
    identity: PolicyIdentity,
}

impl LoadingPolicy {
    pub(crate) fn new(name: &str) -> Self {
        Self { identity: PolicyIdentity { name: name.to_owned(), ..PolicyIdentity::default() } }
    }

    fn unavailable(&self) -> PolicyFailure {
        PolicyFailure::new(FailureKind::Busy, format!("`{}` is still being loaded", self.identity.name))
    }
}

#[async_trait]
impl ScalingPolicy for LoadingPolicy {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn requirements(&self, _: &str, _: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        Err(self.unavailable())
    }

    async fn decide(&self, _: &str, _: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        Err(self.unavailable())
    }
}

#[async_trait]
impl HealthPolicy for LoadingPolicy {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn evaluate(&self, _: &str, _: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        Err(self.unavailable())
    }
}

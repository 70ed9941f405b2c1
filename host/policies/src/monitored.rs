//! A loaded revision whose calls are counted while it is on probation.

use crate::probation::{Probation, ProbationObserver};
use async_trait::async_trait;
use std::sync::Arc;
use windlass_core::contract::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::{PolicyFailure, PolicyIdentity, Timestamp};
use windlass_sandbox::component::PolicyComponent;

/// A loaded revision that counts its calls while it is on probation.
#[derive(Debug)]
pub(crate) struct MonitoredRevision {
    /// Calls made on the component itself do not count: those of shadows and of configuration checks.
    pub(crate) component: Arc<PolicyComponent>,
    pub(crate) probation: Probation,
    observer: Arc<dyn ProbationObserver>,
}

impl MonitoredRevision {
    pub(crate) fn new(component: PolicyComponent, observer: Arc<dyn ProbationObserver>) -> Arc<Self> {
        let probation = Probation::new(component.limits());
        Arc::new(Self { component: Arc::new(component), probation, observer })
    }

    pub(crate) fn number(&self) -> u32 {
        self.component.identity().revision
    }

    /// Counts an answer and passes it on. A failure that is not the policy's fault does not count.
    fn counted<T>(&self, at: Timestamp, answer: Result<T, PolicyFailure>) -> Result<T, PolicyFailure> {
        let failure = answer.as_ref().err();
        if failure.is_none_or(PolicyFailure::is_of_the_policy)
            && let Some(outcome) = self.probation.count(failure)
        {
            self.observer.probation_ended(self.number(), outcome, at);
        }
        answer
    }
}

#[async_trait]
impl ScalingPolicy for MonitoredRevision {
    fn identity(&self) -> &PolicyIdentity {
        self.component.identity()
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        let answer = self.component.requirements(config, now).await;
        // A probation counts decisions, and failures that prevent one.
        if answer.is_err() { self.counted(now, answer) } else { answer }
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        self.counted(observation.now, ScalingPolicy::decide(self.component.as_ref(), config, observation).await)
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        let answer = ScalingPolicy::protected(self.component.as_ref(), config, observation).await?;
        Some(self.counted(observation.now, answer))
    }
}

#[async_trait]
impl HealthPolicy for MonitoredRevision {
    fn identity(&self) -> &PolicyIdentity {
        self.component.identity()
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        self.counted(observation.now, HealthPolicy::evaluate(self.component.as_ref(), config, observation).await)
    }
}

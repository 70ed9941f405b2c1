//! A revision as it is asked: watched while it is on trial, or as a shadow, which nothing comes of.

use super::component::PolicyComponent;
use super::pushed::Pushed;
use super::trial::Trial;
use super::{HealthPolicy, ScalingPolicy};
use crate::model::facts::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use crate::model::{PolicyFailure, PolicyIdentity, Timestamp};
use async_trait::async_trait;
use std::sync::{Arc, Weak};

/// A revision that is asked, and watched while it is on trial.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) component: PolicyComponent,
    pushed: Weak<Pushed>,
    pub(super) trial: Trial,
}

impl Watched {
    pub(super) fn new(component: PolicyComponent, pushed: &Arc<Pushed>) -> Arc<Self> {
        Arc::new(Self { component, pushed: Arc::downgrade(pushed), trial: Trial::default() })
    }

    pub(super) fn number(&self) -> u32 {
        self.component.identity().revision
    }

    /// Counts an answer towards the trial, and passes it on.
    fn noted<T>(&self, at: Timestamp, answer: Result<T, PolicyFailure>) -> Result<T, PolicyFailure> {
        let Some(pushed) = self.pushed.upgrade() else { return answer };
        let Some(verdict) = self.trial.count(answer.as_ref().err(), pushed.limits()) else { return answer };
        let number = self.number();
        // One that is set back is not asked again. That another proved itself changes no call, so none waits for it.
        let is_failed = verdict.failed.is_some();
        if is_failed {
            pushed.end_trial(number, &verdict, at);
        }
        tokio::spawn(async move {
            let stored = tokio::task::spawn_blocking(move || {
                if !is_failed {
                    pushed.end_trial(number, &verdict, at);
                }
                pushed.save()
            });
            if let Ok(Err(error)) = stored.await {
                tracing::error!(%error, "cannot store which policies act");
            }
        });
        answer
    }
}

#[async_trait]
impl ScalingPolicy for Watched {
    fn identity(&self) -> &PolicyIdentity {
        self.component.identity()
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        self.component.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        self.noted(observation.now, ScalingPolicy::decide(&self.component, config, observation).await)
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        let answer = ScalingPolicy::protected(&self.component, config, observation).await?;
        Some(self.noted(observation.now, answer))
    }
}

#[async_trait]
impl HealthPolicy for Watched {
    fn identity(&self) -> &PolicyIdentity {
        self.component.identity()
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        self.noted(observation.now, HealthPolicy::evaluate(&self.component, config, observation).await)
    }
}

/// A revision that is asked as a shadow: its failures set nothing back.
pub(super) struct Unwatched(pub(super) Arc<Watched>);

#[async_trait]
impl ScalingPolicy for Unwatched {
    fn identity(&self) -> &PolicyIdentity {
        self.0.component.identity()
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        self.0.component.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        ScalingPolicy::decide(&self.0.component, config, observation).await
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        ScalingPolicy::protected(&self.0.component, config, observation).await
    }
}

#[async_trait]
impl HealthPolicy for Unwatched {
    fn identity(&self) -> &PolicyIdentity {
        self.0.component.identity()
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        HealthPolicy::evaluate(&self.0.component, config, observation).await
    }
}

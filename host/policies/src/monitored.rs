//! A revision as it is asked to act: watched while it is on trial.

use crate::probation::Trial;
use crate::revisions::set::Pushed;
use async_trait::async_trait;
use std::sync::{Arc, Weak};
use windlass_core::contract::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::{PolicyFailure, PolicyIdentity, Timestamp};
use windlass_sandbox::component::PolicyComponent;

/// A revision that is asked, and watched while it is on trial.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Asked as it is, its failures set nothing back.
    pub(crate) component: Arc<PolicyComponent>,
    pushed: Weak<Pushed>,
    pub(crate) trial: Trial,
}

impl Watched {
    pub(crate) fn new(component: PolicyComponent, pushed: &Arc<Pushed>) -> Arc<Self> {
        Arc::new(Self { component: Arc::new(component), pushed: Arc::downgrade(pushed), trial: Trial::default() })
    }

    pub(crate) fn number(&self) -> u32 {
        self.component.identity().revision
    }

    /// Counts an answer towards the trial, and passes it on.
    fn noted<T>(&self, at: Timestamp, answer: Result<T, PolicyFailure>) -> Result<T, PolicyFailure> {
        let Some(pushed) = self.pushed.upgrade() else { return answer };
        if answer.as_ref().is_err_and(|failure| !failure.is_of_the_policy()) {
            return answer;
        }
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
        let answer = self.component.requirements(config, now).await;
        // One call of a trial is one decision, or what kept it from being asked.
        if answer.is_err() { self.noted(now, answer) } else { answer }
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        self.noted(observation.now, ScalingPolicy::decide(self.component.as_ref(), config, observation).await)
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        let answer = ScalingPolicy::protected(self.component.as_ref(), config, observation).await?;
        Some(self.noted(observation.now, answer))
    }
}

#[async_trait]
impl HealthPolicy for Watched {
    fn identity(&self) -> &PolicyIdentity {
        self.component.identity()
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        self.noted(observation.now, HealthPolicy::evaluate(self.component.as_ref(), config, observation).await)
    }
}

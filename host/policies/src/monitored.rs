//! A policy whose calls are counted by its circuit breaker.

use crate::breaker::{Breaker, Call, Change, Use};
use async_trait::async_trait;
use std::sync::Arc;
use windlass_core::contract::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::{PolicyFailure, PolicyIdentity, Timestamp};
use windlass_sandbox::component::PolicyComponent;

/// Learns the changes of circuit breakers.
pub(crate) trait BreakerObserver: std::fmt::Debug + Send + Sync {
    /// The breaker of a revision changed with a call at this time. A revision that failed its trial does not act any more
    /// when this returns.
    fn breaker_changed(&self, revision: u32, change: Change, at: Timestamp);
}

/// A loaded revision with its circuit breaker.
#[derive(Debug)]
pub(crate) struct MonitoredRevision {
    /// Calls made on the component itself do not count: those of shadows and of configuration checks.
    pub(crate) component: Arc<PolicyComponent>,
    pub(crate) breaker: Arc<Breaker>,
    observer: Arc<dyn BreakerObserver>,
}

impl MonitoredRevision {
    pub(crate) fn new(component: PolicyComponent, observer: Arc<dyn BreakerObserver>) -> Arc<Self> {
        let breaker = Arc::new(Breaker::new(component.limits()));
        Arc::new(Self { component: Arc::new(component), breaker, observer })
    }

    pub(crate) fn number(&self) -> u32 {
        self.component.identity().revision
    }

    /// The revision for the calls of a use. `stands_in_for` is the policy whose place it takes there.
    pub(crate) fn for_use(&self, used: &Use, stands_in_for: Option<&str>) -> Monitored<PolicyComponent> {
        let identity =
            PolicyIdentity { stands_in_for: stands_in_for.map(str::to_owned), ..self.component.identity().clone() };
        Monitored {
            policy: Arc::clone(&self.component),
            identity,
            breaker: Arc::clone(&self.breaker),
            observer: Arc::clone(&self.observer),
            used: used.clone(),
        }
    }
}

/// A policy that counts its calls in one use.
pub(crate) struct Monitored<P> {
    pub(crate) policy: Arc<P>,
    pub(crate) identity: PolicyIdentity,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) observer: Arc<dyn BreakerObserver>,
    pub(crate) used: Use,
}

impl<P> Monitored<P> {
    /// Counts an answer and passes it on.
    fn counted<T>(&self, call: Call, at: Timestamp, answer: Result<T, PolicyFailure>) -> Result<T, PolicyFailure> {
        for change in self.breaker.count(&self.used, call, answer.as_ref().err(), at) {
            self.observer.breaker_changed(self.identity.revision, change, at);
        }
        answer
    }
}

#[async_trait]
impl<P: ScalingPolicy> ScalingPolicy for Monitored<P> {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        let answer = self.policy.requirements(config, now).await;
        // Decisions count, and failures that prevent one.
        if answer.is_err() { self.counted(Call::Decide, now, answer) } else { answer }
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        self.counted(Call::Decide, observation.now, self.policy.decide(config, observation).await)
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        let answer = self.policy.protected(config, observation).await?;
        Some(self.counted(Call::Protect, observation.now, answer))
    }
}

#[async_trait]
impl<P: HealthPolicy> HealthPolicy for Monitored<P> {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        self.counted(Call::Decide, observation.now, self.policy.evaluate(config, observation).await)
    }
}

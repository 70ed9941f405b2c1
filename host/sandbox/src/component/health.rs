//! The calls of a health policy.

use crate::component::call::{Called, Purpose};
use crate::component::loaded::PolicyComponent;
use crate::contract_check::{EvaluateAnswer, EvaluateArguments};
use crate::convert::{self, wit_health};
use async_trait::async_trait;
use windlass_core::contract::{HealthObservation, HealthReport};
use windlass_core::policy::HealthPolicy;
use windlass_core::{PolicyFailure, PolicyIdentity, PolicyKind};

impl PolicyComponent {
    /// One evaluation.
    pub async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Called<HealthReport> {
        if self.kind() != PolicyKind::Health {
            return self.wrong_kind(PolicyKind::Health);
        }
        let randomness = self.randomness_of(config, observation);
        let labels = convert::labels(&observation.workload);
        let probes = convert::probes(observation);
        let replicas = convert::probed_replicas(observation, &probes);
        let input = wit_health::Observation {
            now: observation.now.0,
            workload: convert::workload(&observation.workload, &labels),
            replicas: &replicas,
            memory: &observation.memory,
        };
        let first_ready = self.first_ready(observation.replicas.iter().map(|probed| &probed.replica));
        let called = self
            .call(Purpose::Decision, observation.now, randomness, async |store, instance| {
                store.data_mut().first_ready = first_ready;
                let evaluate = instance
                    .get_typed_func::<EvaluateArguments<'_>, EvaluateAnswer>(&mut *store, &self.links.decide)?;
                evaluate.call_async(store, (config, input)).await
            })
            .await;
        self.checked(called, |(answer,)| match answer {
            Ok(report) => convert::report(report, observation, &self.limits),
            Err(error) => Err(convert::refusal(&error)),
        })
    }
}

#[async_trait]
impl HealthPolicy for PolicyComponent {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        let called = PolicyComponent::evaluate(self, config, observation).await;
        called.log.trace(&self.identity.name);
        called.answer
    }
}

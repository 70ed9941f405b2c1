//! The calls of a scaling policy.

use crate::component::call::{Called, Purpose};
use crate::component::loaded::PolicyComponent;
use crate::contract_check::{DecideAnswer, DecideArguments, ProtectedAnswer};
use crate::convert::{self, wit_scaling};
use async_trait::async_trait;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift};
use windlass_core::contract::{MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::policy::ScalingPolicy;
use windlass_core::{PolicyFailure, PolicyIdentity, PolicyKind, Timestamp};

/// Configurations whose metric requests are kept.
const REQUIREMENTS_KEPT: usize = 1_024;

impl PolicyComponent {
    /// One decision.
    pub async fn decide(&self, config: &str, observation: &ScalingObservation) -> Called<ScalingDecision> {
        if self.kind() != PolicyKind::Scaling {
            return self.wrong_kind(PolicyKind::Scaling);
        }
        let called = self.observe::<DecideAnswer>(&self.links.decide, config, observation).await;
        self.checked(called, |(answer,)| match answer {
            Ok(decision) => convert::decision(decision, &self.limits),
            Err(error) => Err(convert::refusal(&error)),
        })
    }

    /// The replicas that a scale-in must spare. `None` if the policy does not export `protection`.
    pub async fn protected(&self, config: &str, observation: &ScalingObservation) -> Option<Called<Vec<String>>> {
        let protected = self.links.protected.as_ref()?;
        let called = self.observe::<ProtectedAnswer>(protected, config, observation).await;
        Some(self.checked(called, |(answer,)| match answer {
            Ok(protected) => convert::protected(protected, observation),
            Err(error) => Err(convert::refusal(&error)),
        }))
    }

    /// Calls a function with a configuration and an observation.
    async fn observe<Answer: ComponentNamedList + Lift + Send + Sync + 'static>(
        &self,
        function: &ComponentExportIndex,
        config: &str,
        observation: &ScalingObservation,
    ) -> Called<Answer> {
        let randomness = self.randomness_of(config, observation);
        let labels = convert::labels(&observation.workload);
        let replicas = convert::replicas(&observation.replicas);
        let samples = convert::samples(observation);
        let metrics = convert::metrics(observation, &samples);
        let input = wit_scaling::Observation {
            now: observation.now.0,
            workload: convert::workload(&observation.workload, &labels),
            current_replicas: observation.current_replicas,
            replicas: &replicas,
            metrics: &metrics,
            memory: &observation.memory,
        };
        let first_ready = self.first_ready(observation.replicas.iter());
        self.call(Purpose::Decision, observation.now, randomness, async |store, instance| {
            store.data_mut().first_ready = first_ready;
            let function = instance.get_typed_func::<DecideArguments<'_>, Answer>(&mut *store, function)?;
            function.call_async(store, (config, input)).await
        })
        .await
    }
}

#[async_trait]
impl ScalingPolicy for PolicyComponent {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        if let Some(known) = self.requirements.lock().get(config) {
            return Ok(known.clone());
        }
        let called = self.configure(config, now).await;
        called.log.trace(&self.identity.name);
        let requests = called.answer?;
        let mut kept = self.requirements.lock();
        if kept.len() >= REQUIREMENTS_KEPT {
            kept.clear();
        }
        kept.insert(config.to_owned(), requests.clone());
        Ok(requests)
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        let called = PolicyComponent::decide(self, config, observation).await;
        called.log.trace(&self.identity.name);
        called.answer
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        let called = PolicyComponent::protected(self, config, observation).await?;
        called.log.trace(&self.identity.name);
        Some(called.answer)
    }
}

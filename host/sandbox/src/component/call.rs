//! One call of a policy: a fresh store with every limit, and its answer or failure.

use crate::call_store::{CallLog, CallState, CallUsage, Randomness, failure, time_exceeded};
use crate::component::loaded::PolicyComponent;
use crate::convert;
use std::collections::HashMap;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::Instance;
use windlass_core::contract::ReplicaFacts;
use windlass_core::{FailureKind, PolicyFailure, PolicyKind, Timestamp};

/// The answer of a call, with the log and the usage of the policy.
#[derive(Debug)]
pub struct Called<T> {
    /// The answer, or the failure.
    pub answer: Result<T, PolicyFailure>,
    /// The lines and the output that the policy wrote.
    pub log: CallLog,
    /// The resources that the call used.
    pub usage: CallUsage,
}

impl<T> Called<T> {
    /// The result of a call that was not made.
    fn not_made(failure: PolicyFailure) -> Self {
        Self { answer: Err(failure), log: CallLog::default(), usage: CallUsage::default() }
    }
}

/// The purpose of a call. It determines the time limit and whether the policy may send HTTP requests.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// The policy describes itself or checks a configuration.
    Manifest,
    /// The policy decides or evaluates.
    Decision,
}

impl PolicyComponent {
    /// Makes one call in a fresh store and instance, within the time limit of its purpose. The store is always dropped: after
    /// a trap or a timeout the instance cannot be used again.
    pub(crate) async fn call<T>(
        &self,
        purpose: Purpose,
        now: Timestamp,
        randomness: Randomness,
        run: impl AsyncFnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<T>,
    ) -> Called<T> {
        let limits = &self.limits;
        let permit = match self.engine.permit(&self.calls).await {
            Ok(permit) => permit,
            Err(failure) => return Called::not_made(failure),
        };
        let (time, sender) = match purpose {
            Purpose::Manifest => (limits.manifest_time, None),
            Purpose::Decision => (self.decision_time(), self.engine.sender()),
        };
        let started = Instant::now();
        let mut store = CallState::new(limits, now, randomness, sender).into_store(self.engine.wasmtime(), time);
        let called = tokio::time::timeout(time, async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            run(&mut store, &instance).await
        })
        .await;
        let answer = match called {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure(&error, limits)),
            Err(_) => Err(time_exceeded(time)),
        };
        let usage = store.data().usage(started.elapsed());
        let log = store.data_mut().take_log();
        self.engine.clean(store, permit);
        Called { answer, usage, log }
    }

    /// Checks and converts an answer. Counts the failure if there is one.
    pub(crate) fn checked<T, U>(
        &self,
        called: Called<T>,
        check: impl FnOnce(T) -> Result<U, PolicyFailure>,
    ) -> Called<U> {
        let answer = called.answer.and_then(check);
        if let Err(failure) = &answer {
            self.failures.add(failure.kind);
        }
        Called { answer, log: called.log, usage: called.usage }
    }

    /// The result of a call of a function that only the other kind of policy has.
    pub(crate) fn wrong_kind<T>(&self, called_as: PolicyKind) -> Called<T> {
        self.failures.add(FailureKind::Link);
        let reason = format!("it is a {} policy and was called as a {called_as} policy", self.kind());
        Called::not_made(PolicyFailure::new(FailureKind::Link, reason))
    }

    /// The answers of the import `readiness` for a call about these replicas; empty if the policy does not import it.
    pub(crate) fn first_ready<'a>(&self, replicas: impl Iterator<Item = &'a ReplicaFacts>) -> HashMap<String, u64> {
        if self.reads_readiness { convert::first_ready(replicas) } else { HashMap::new() }
    }

    /// Random numbers for a call, seeded with its arguments.
    pub(crate) fn randomness(&self, seed: &[&[u8]]) -> Randomness {
        if self.draws_random { Randomness::seeded(seed, &self.limits) } else { Randomness::none() }
    }

    /// Random numbers for a call about an observation.
    pub(crate) fn randomness_of(&self, config: &str, observation: &impl serde::Serialize) -> Randomness {
        if !self.draws_random {
            return Randomness::none();
        }
        // If JSON cannot hold a number of the observation, the configuration alone is the seed.
        let observation = serde_json::to_vec(observation).unwrap_or_default();
        self.randomness(&[config.as_bytes(), &observation])
    }
}

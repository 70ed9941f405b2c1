//! Several scaling policies combined into one: the highest proposed count wins.
//!
//! So the workload scales out if any policy proposes more, and in only if all propose less. The Horizontal Pod Autoscaler does
//! the same with its metrics, and AWS with its target-tracking policies. If a policy fails, the count does not shrink.

use crate::digest::sha256;
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use futures_util::future::join_all;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;
use windlass_core::contract::{MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::metric::BuiltIn;
use windlass_core::policy::ScalingPolicy;
use windlass_core::verdict::Part;
use windlass_core::{MemoryOwner, PolicyFailure, PolicyIdentity, Timestamp};

/// Scaling policies, each with its configuration, JSON text.
pub struct Combined {
    parts: Vec<(Arc<dyn ScalingPolicy>, String)>,
    identity: PolicyIdentity,
}

/// The memory of one policy, with its owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    of: MemoryOwner,
    /// Base64; an earlier version wrote a list of numbers, which is three times as long.
    #[serde(serialize_with = "as_base64", deserialize_with = "from_either")]
    memory: Vec<u8>,
}

fn as_base64<S: Serializer>(memory: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(memory))
}

fn from_either<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Base64(String),
        Numbers(Vec<u8>),
    }
    match Written::deserialize(deserializer)? {
        Written::Base64(text) => STANDARD.decode(text).map_err(D::Error::custom),
        Written::Numbers(memory) => Ok(memory),
    }
}

impl Combined {
    /// Combines policies. The name of the result joins their names.
    pub fn new(parts: Vec<(Arc<dyn ScalingPolicy>, String)>) -> Self {
        let joined = |of: fn(&PolicyIdentity) -> &str| {
            parts.iter().map(|(policy, _)| of(policy.identity())).collect::<Vec<_>>().join(" + ")
        };
        let digested: String =
            parts.iter().map(|(policy, config)| format!("{}{config}", policy.identity().digest)).collect();
        let identity = PolicyIdentity {
            name: joined(|identity| &identity.name),
            version: joined(|identity| &identity.version),
            digest: sha256(digested.as_bytes()),
            revision: 0,
            memory_since: 0,
            replayable: parts.iter().all(|(policy, _)| policy.identity().replayable),
            stands_in_for: None,
        };
        Self { parts, identity }
    }

    /// Their configurations as one JSON text: `[{"policy": …, "config": {…}}, …]`.
    pub fn config(&self) -> String {
        let parts = self.parts.iter().map(|(policy, config)| {
            // The configuration was valid JSON when it was accepted.
            let config: serde_json::Value = serde_json::from_str(config).unwrap_or_default();
            serde_json::json!({"policy": policy.identity().name, "config": config})
        });
        serde_json::Value::from_iter(parts).to_string()
    }
}

#[async_trait]
impl ScalingPolicy for Combined {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn requirements(&self, _config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        let mut all: Vec<MetricRequest> = Vec::new();
        let mut failures = Vec::new();
        for (policy, config) in &self.parts {
            let mut requests = match policy.requirements(config, now).await {
                Ok(requests) => requests,
                // The others still get their metrics. `decide` reports the failure.
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            // A policy without metrics decides even if no metric has a value: `ready-replicas` always has one.
            if requests.is_empty() {
                requests.push(MetricRequest { name: BuiltIn::ReadyReplicas.name().to_owned(), window: 0 });
            }
            for request in requests {
                match all.iter_mut().find(|known| known.name == request.name) {
                    Some(known) => known.window = known.window.max(request.window),
                    None => all.push(request),
                }
            }
        }
        match failures.pop() {
            Some(failure) if failures.len() + 1 == self.parts.len() => Err(failure),
            _ => Ok(all),
        }
    }

    async fn decide(&self, _config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        let handed: Vec<Remembered> = serde_json::from_slice(&observation.memory).unwrap_or_default();
        let answers = self.parts.iter().enumerate().map(async |(index, (policy, config))| {
            let kept = handed.get(index);
            let handed = memory_of(policy.identity(), kept);
            let answer = match part_of(observation, policy.as_ref(), config, handed.clone()).await {
                Ok(input) => policy.decide(config, &input).await,
                Err(failure) => Err(failure),
            };
            let memory = answer.as_ref().map_or_else(|_| handed.clone(), |decision| decision.memory.clone());
            let remembered = match kept {
                // A policy whose place another one takes finds its memory again when it acts again.
                Some(kept) if memory.is_empty() && policy.identity().stands_in_for.is_some() => kept.clone(),
                _ => Remembered { of: policy.identity().memory_owner(), memory },
            };
            (Part { policy: policy.identity().clone(), config: config.clone(), handed, answer }, remembered)
        });
        combine(join_all(answers).await, observation.current_replicas)
    }

    /// The replicas that any of them protects.
    async fn protected(
        &self,
        _config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        let handed: Vec<Remembered> = serde_json::from_slice(&observation.memory).unwrap_or_default();
        let mut all: Option<Vec<String>> = None;
        for (index, (policy, config)) in self.parts.iter().enumerate() {
            let memory = memory_of(policy.identity(), handed.get(index));
            let input = match part_of(observation, policy.as_ref(), config, memory).await {
                Ok(input) => input,
                Err(failure) => return Some(Err(failure)),
            };
            match policy.protected(config, &input).await {
                None => {}
                Some(Ok(protected)) => all.get_or_insert_default().extend(protected),
                Some(Err(failure)) => return Some(Err(failure)),
            }
        }
        all.map(Ok)
    }
}

/// The memory of a policy, if the memory at its position belongs to it. Otherwise empty.
fn memory_of(policy: &PolicyIdentity, kept: Option<&Remembered>) -> Vec<u8> {
    let owner = policy.memory_owner();
    kept.filter(|kept| kept.of == owner).map(|kept| kept.memory.clone()).unwrap_or_default()
}

/// The input of the policy at this position, taken from the input of all, to repeat its call.
///
/// # Errors
/// The policy failed to request its metrics.
pub async fn shown_to_part(
    observation: &ScalingObservation,
    place: usize,
    policy: &dyn ScalingPolicy,
    config: &str,
) -> Result<ScalingObservation, PolicyFailure> {
    let handed: Vec<Remembered> = serde_json::from_slice(&observation.memory).unwrap_or_default();
    let memory = handed.into_iter().nth(place).map(|kept| kept.memory).unwrap_or_default();
    part_of(observation, policy, config, memory).await
}

/// An observation with this memory and only the metrics that the policy requests.
async fn part_of(
    observation: &ScalingObservation,
    policy: &dyn ScalingPolicy,
    config: &str,
    memory: Vec<u8>,
) -> Result<ScalingObservation, PolicyFailure> {
    let requests = policy.requirements(config, observation.now).await?;
    let mut input = ScalingObservation { memory, ..observation.clone() };
    input.metrics.retain_mut(|series| {
        let Some(request) = requests.iter().find(|request| request.name == series.name) else { return false };
        let newest = series.samples.last().map(|newest| newest.at);
        series.samples.retain(|sample| {
            observation.now.since(sample.at).as_millis() <= u128::from(request.window) || Some(sample.at) == newest
        });
        true
    });
    Ok(input)
}

fn combine(answers: Vec<(Part, Remembered)>, current: u32) -> Result<ScalingDecision, PolicyFailure> {
    let (parts, memory): (Vec<Part>, Vec<Remembered>) = answers.into_iter().unzip();
    let good = || parts.iter().filter_map(|part| part.answer.as_ref().ok());
    let Some(highest) = good().map(|decision| decision.replicas).max() else {
        let mut failures = parts.into_iter().filter_map(|part| part.answer.err());
        return Err(failures.next().expect("there are policies, and all failed"));
    };
    let is_complete = good().count() == parts.len();
    let replicas = if is_complete { highest } else { highest.max(current) };
    let evaluate_after = good().filter_map(|decision| decision.evaluate_after).min();
    let said = parts.iter().map(|Part { policy, answer, .. }| match answer {
        Ok(decision) => format!("`{}` wants {} ({})", policy.name, decision.replicas, decision.reason),
        Err(failure) => format!("`{}` failed ({failure}), so the count does not shrink", policy.name),
    });
    let reason = said.collect::<Vec<_>>().join("; ");
    let is_empty = memory.iter().all(|kept| kept.memory.is_empty());
    let memory = if is_empty { Vec::new() } else { serde_json::to_vec(&memory).unwrap_or_default() };
    Ok(ScalingDecision { replicas, reason, memory, evaluate_after, parts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use windlass_core::FailureKind;
    use windlass_core::contract::{Limits, Sample, Series, WorkloadFacts};

    /// Returns a fixed answer, protects the replica of its metric's name, and keeps its inputs.
    struct Scripted {
        identity: PolicyIdentity,
        answer: Result<u32, ()>,
        metric: &'static str,
        inputs: Mutex<Vec<ScalingObservation>>,
    }

    #[async_trait]
    impl ScalingPolicy for Scripted {
        fn identity(&self) -> &PolicyIdentity {
            &self.identity
        }

        async fn requirements(&self, _: &str, _: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
            match self.metric {
                "mute" => Err(PolicyFailure::new(FailureKind::Trap, "unreachable")),
                "nothing" => Ok(Vec::new()),
                name => Ok(vec![MetricRequest { name: name.to_owned(), window: 1_000 }]),
            }
        }

        async fn decide(&self, _: &str, input: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
            self.inputs.lock().push(input.clone());
            let replicas = self.answer.map_err(|()| PolicyFailure::new(FailureKind::Trap, "unreachable"))?;
            let memory = [input.memory.as_slice(), self.metric.as_bytes()].concat();
            let (reason, evaluate_after) = ("so".to_owned(), Some(replicas.into()));
            Ok(ScalingDecision { replicas, reason, memory, evaluate_after, parts: Vec::new() })
        }

        async fn protected(&self, _: &str, _: &ScalingObservation) -> Option<Result<Vec<String>, PolicyFailure>> {
            (self.metric != "silent").then(|| {
                self.answer.map_err(|()| PolicyFailure::new(FailureKind::Trap, "unreachable"))?;
                Ok(vec![self.metric.to_owned()])
            })
        }
    }

    fn scripted(name: &'static str, answer: Result<u32, ()>) -> Arc<Scripted> {
        let identity = PolicyIdentity { name: name.to_owned(), ..PolicyIdentity::default() };
        Arc::new(Scripted { identity, answer, metric: name, inputs: Mutex::default() })
    }

    fn observation(memory: Vec<u8>) -> ScalingObservation {
        let series = |name: &str| Series {
            name: name.to_owned(),
            replica: None,
            samples: [0, 9_500].map(|at| Sample { at: Timestamp(at), value: 1.0 }).to_vec(),
            failure: None,
        };
        ScalingObservation {
            now: Timestamp(10_000),
            workload: WorkloadFacts {
                name: "web".to_owned(),
                image: "web:1".to_owned(),
                min_replicas: 0,
                max_replicas: 10,
                limits: Limits { cpu_cores: None, memory_bytes: None },
                labels: Vec::new(),
            },
            current_replicas: 4,
            replicas: Vec::new(),
            metrics: vec![series("a"), series("b")],
            memory,
        }
    }

    async fn combined(answers: [Result<u32, ()>; 2]) -> Result<ScalingDecision, PolicyFailure> {
        let [a, b] = answers;
        let parts: Vec<(Arc<dyn ScalingPolicy>, String)> =
            vec![(scripted("a", a), "{}".to_owned()), (scripted("b", b), "{}".to_owned())];
        Combined::new(parts).decide("", &observation(Vec::new())).await
    }

    #[tokio::test]
    async fn out_if_any_in_if_all_and_never_in_without_an_answer() {
        for (answers, wanted) in [
            ([Ok(6), Ok(2)], 6),
            ([Ok(6), Ok(8)], 8),
            ([Ok(2), Ok(3)], 3),
            ([Ok(4), Ok(1)], 4),
            ([Ok(6), Err(())], 6),
            ([Ok(1), Err(())], 4),
        ] {
            assert_eq!(combined(answers).await.map(|decision| decision.replicas), Ok(wanted), "{answers:?}");
        }
        assert!(combined([Err(()), Err(())]).await.is_err());
        let decision = combined([Ok(1), Err(())]).await.expect("one answered");
        assert_eq!(decision.reason, "`a` wants 1 (so); `b` failed (trap: unreachable), so the count does not shrink");
        let parts: Vec<_> =
            decision.parts.iter().map(|part| (part.policy.name.as_str(), part.answer.is_ok())).collect();
        assert_eq!(parts, [("a", true), ("b", false)]);
        let written = serde_json::json!(decision.parts[1]);
        assert_eq!(written["answer"], serde_json::json!({"unavailable": {"kind": "trap", "reason": "unreachable"}}));
        assert_eq!(combined([Ok(3), Ok(2)]).await.map(|decision| decision.evaluate_after), Ok(Some(2)));
    }

    #[tokio::test]
    async fn a_part_whose_place_another_policy_takes_keeps_its_memory() {
        let queue = || scripted("queue", Ok(1)) as Arc<dyn ScalingPolicy>;
        let stand_in = || {
            let identity = PolicyIdentity {
                name: "min-max".to_owned(),
                stands_in_for: Some("queue".to_owned()),
                ..PolicyIdentity::default()
            };
            // It asks for no metric, and its own memory is empty.
            Arc::new(Scripted { identity, answer: Ok(1), metric: "", inputs: Mutex::default() })
        };
        let parts =
            |first| vec![(first, "{}".to_owned()), (scripted("b", Ok(1)) as Arc<dyn ScalingPolicy>, "{}".to_owned())];
        let decide = async |first, memory| {
            let decision = Combined::new(parts(first)).decide("", &observation(memory)).await.expect("an answer");
            decision.memory
        };
        let before = decide(queue(), Vec::new()).await;
        let meanwhile = decide(stand_in(), before.clone()).await;
        let first = |memory: &[u8]| {
            let all: Vec<Remembered> = serde_json::from_slice(memory).expect("the memory of the parts");
            (all[0].of.name.clone(), all[0].memory.clone())
        };
        assert_eq!(first(&before), ("queue".to_owned(), b"queue".to_vec()));
        assert_eq!(first(&meanwhile), first(&before));
    }

    #[tokio::test]
    async fn one_that_does_not_say_what_it_needs_leaves_the_others_theirs() {
        let needs = async |parts: &[&'static str]| {
            let parts = parts.iter().map(|name| (scripted(name, Ok(1)) as Arc<dyn ScalingPolicy>, "{}".to_owned()));
            let all = Combined::new(parts.collect()).requirements("", Timestamp(0)).await;
            all.map(|all| all.into_iter().map(|request| request.name).collect::<Vec<_>>()).map_err(|it| it.reason)
        };
        assert_eq!(needs(&["a", "mute", "b"]).await, Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(needs(&["mute", "mute"]).await, Err("unreachable".to_owned()));
        // A policy without metrics decides even if no metric has a value.
        assert_eq!(needs(&["a", "nothing"]).await, Ok(vec!["a".to_owned(), "ready-replicas".to_owned()]));
    }

    #[tokio::test]
    async fn what_any_of_them_protects_is_protected() {
        let protected = async |parts: &[(&'static str, Result<u32, ()>)]| {
            let scripted =
                parts.iter().map(|(name, answer)| (scripted(name, *answer) as Arc<dyn ScalingPolicy>, "{}".to_owned()));
            Combined::new(scripted.collect()).protected("", &observation(Vec::new())).await
        };
        assert_eq!(
            protected(&[("a", Ok(1)), ("silent", Ok(1)), ("b", Ok(1))]).await,
            Some(Ok(vec!["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(protected(&[("silent", Ok(1))]).await, None);
        assert!(protected(&[("a", Ok(1)), ("b", Err(()))]).await.is_some_and(|answer| answer.is_err()));
    }

    #[test]
    fn memories_are_short_and_those_of_an_earlier_version_are_read() {
        let of = MemoryOwner { name: "a".to_owned(), since: 0 };
        let text = serde_json::to_string(&Remembered { of, memory: vec![255; 30_000] }).expect("JSON");
        assert!(text.len() < 41_000, "{}", text.len());
        for text in [text.as_str(), r#"{"of": {"name": "a", "since": 0}, "memory": [1, 255]}"#] {
            let read: Remembered = serde_json::from_str(text).expect("a memory");
            assert_eq!(read.memory.last(), Some(&255));
        }
    }

    #[tokio::test]
    async fn each_is_shown_its_own_metrics_and_handed_its_own_memory() {
        let (a, b) = (scripted("a", Ok(1)), scripted("b", Ok(1)));
        let parts: Vec<(Arc<dyn ScalingPolicy>, String)> =
            vec![(a.clone(), "{}".to_owned()), (b.clone(), r#"{"x":1}"#.to_owned())];
        let combined = Combined::new(parts);
        assert_eq!(combined.identity().name, "a + b");
        assert_eq!(combined.config(), r#"[{"config":{},"policy":"a"},{"config":{"x":1},"policy":"b"}]"#);
        let requests = combined.requirements("", Timestamp(0)).await.expect("they say");
        assert_eq!(requests.len(), 2);
        let first = combined.decide("", &observation(Vec::new())).await.expect("an answer");
        combined.decide("", &observation(first.memory)).await.expect("an answer");
        for policy in [&a, &b] {
            let inputs = policy.inputs.lock();
            let names: Vec<&str> = inputs[0].metrics.iter().map(|series| series.name.as_str()).collect();
            assert_eq!(names, [policy.metric]);
            // Within its window.
            assert_eq!(inputs[0].metrics[0].samples.len(), 1);
            assert_eq!(
                (inputs[0].memory.as_slice(), inputs[1].memory.as_slice()),
                (&b""[..], policy.metric.as_bytes())
            );
        }
    }
}

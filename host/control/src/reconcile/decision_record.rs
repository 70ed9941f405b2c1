//! The decision as the store keeps it: both calls, complete enough to replay them, and the plan. What may be large stands
//! apart from the rest.

use crate::reconcile::evaluate::Evaluation;
use serde::Serialize;
use serde_json::{Value, json};
use windlass_core::contract::{HealthObservation, HealthReport, Part, ScalingDecision, ScalingObservation};
use windlass_core::policy::Policies;
use windlass_core::store::{DecisionPart, NewDecision, PartContent};
use windlass_core::verdict::recorded;
use windlass_core::{PolicyFailure, Timestamp};

/// The decision of a pass: `outcome` with the call of each policy.
pub(crate) fn decision(at: Timestamp, evaluation: &Evaluation, policies: &Policies, outcome: Value) -> NewDecision {
    let verdict = &evaluation.verdict;
    let mut record = Record(NewDecision::new(at, outcome));
    let HealthObservation { now, workload, replicas, memory } = &evaluation.health_observation;
    let rest = HealthObservation { now: *now, workload: workload.clone(), replicas: Vec::new(), memory: Vec::new() };
    record.0.body["health"] = json!({"policy": verdict.health.policy, "config": null, "observation": rest});
    record.text("/health/config", &policies.health_config);
    record.text("/health/observation/workload", workload);
    record.text("/health/observation/replicas", replicas);
    record.memory("/health/observation/memory", memory);
    record.report(&verdict.health.answer);

    let ScalingObservation { now, workload, current_replicas, replicas, metrics, memory } =
        &evaluation.scaling_observation;
    let rest = ScalingObservation {
        now: *now,
        workload: workload.clone(),
        current_replicas: *current_replicas,
        replicas: Vec::new(),
        metrics: Vec::new(),
        memory: Vec::new(),
    };
    record.0.body["scaling"] = json!({"policy": verdict.scaling.policy, "config": null, "observation": rest});
    record.text("/scaling/config", &policies.scaling_config);
    record.text("/scaling/observation/workload", workload);
    record.text("/scaling/observation/replicas", replicas);
    record.text("/scaling/observation/metrics", metrics);
    record.memory("/scaling/observation/memory", memory);
    record.answer("/scaling/answer", &verdict.scaling.answer);
    if !verdict.protected.is_empty() {
        record.0.body["scaling"]["protected"] = Value::Null;
        record.text("/scaling/protected", &verdict.protected);
    }
    record.0
}

/// A decision to which parts are added.
struct Record(NewDecision);

impl Record {
    /// Moves a value out of the body, as text.
    fn text(&mut self, place: &str, value: &impl Serialize) {
        // It cannot fail: all keys are strings.
        let text = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        self.part(place, PartContent::Json(text));
    }

    /// Moves a memory out of the body, as bytes.
    fn memory(&mut self, place: &str, memory: &[u8]) {
        self.part(place, PartContent::Memory(memory.to_vec()));
    }

    fn part(&mut self, place: &str, content: PartContent) {
        self.put(place, Value::Null);
        self.0.parts.push(DecisionPart { place: place.to_owned(), content });
    }

    /// Sets a member of the body.
    fn put(&mut self, place: &str, value: Value) {
        let Some((parent, name)) = place.rsplit_once('/') else { return };
        if let Some(Value::Object(members)) = self.0.body.pointer_mut(parent) {
            members.insert(name.to_owned(), value);
        }
    }

    fn report(&mut self, answer: &Result<HealthReport, PolicyFailure>) {
        let Ok(HealthReport { assessments, memory }) = answer else { return self.failure("/health/answer", answer) };
        self.put("/health/answer", json!({}));
        self.text("/health/answer/assessments", assessments);
        self.memory("/health/answer/memory", memory);
    }

    fn answer(&mut self, place: &str, answer: &Result<ScalingDecision, PolicyFailure>) {
        let Ok(ScalingDecision { replicas, reason, memory, evaluate_after, parts }) = answer else {
            return self.failure(place, answer);
        };
        let rest = ScalingDecision {
            replicas: *replicas,
            reason: reason.clone(),
            memory: Vec::new(),
            evaluate_after: *evaluate_after,
            parts: Vec::new(),
        };
        self.put(place, json!(rest));
        self.memory(&format!("{place}/memory"), memory);
        if parts.is_empty() {
            return;
        }
        let policies: Vec<Value> = parts.iter().map(|part| json!({"policy": part.policy, "config": null})).collect();
        self.put(&format!("{place}/parts"), json!(policies));
        for (index, Part { config, answer, .. }) in parts.iter().enumerate() {
            self.text(&format!("{place}/parts/{index}/config"), config);
            self.answer(&format!("{place}/parts/{index}/answer"), answer);
        }
    }

    fn failure<T: Serialize>(&mut self, place: &str, answer: &Result<T, PolicyFailure>) {
        let answer = recorded(answer, serde_json::value::Serializer).unwrap_or_default();
        self.put(place, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::evaluate::evaluate;
    use async_trait::async_trait;
    use std::sync::Arc;
    use windlass_core::contract::Series;
    use windlass_core::fixtures::{running, workload};
    use windlass_core::policy::{HealthPolicy, ScalingPolicy};
    use windlass_core::{FailureKind, History, PolicyIdentity, Snapshot};

    /// Two combined policies, one of which failed; the health policy answers nothing.
    #[derive(Default)]
    struct Scripted(PolicyIdentity);

    #[async_trait]
    impl ScalingPolicy for Scripted {
        fn identity(&self) -> &PolicyIdentity {
            &self.0
        }
        async fn decide(&self, _: &str, _: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
            let answer = ScalingDecision {
                replicas: 2,
                reason: "so".to_owned(),
                memory: vec![1, 2],
                evaluate_after: Some(1_000),
                parts: Vec::new(),
            };
            let part = |answer| Part { policy: self.0.clone(), config: "{}".to_owned(), handed: Vec::new(), answer };
            let failed = PolicyFailure::new(FailureKind::Trap, "unreachable");
            Ok(ScalingDecision { parts: vec![part(Ok(answer.clone())), part(Err(failed))], ..answer })
        }
    }

    #[async_trait]
    impl HealthPolicy for Scripted {
        fn identity(&self) -> &PolicyIdentity {
            &self.0
        }
        async fn evaluate(&self, _: &str, _: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
            Ok(HealthReport { assessments: Vec::new(), memory: vec![3] })
        }
    }

    #[tokio::test]
    async fn the_body_with_its_parts_is_both_calls_and_the_plan() {
        let web = workload("web", 1, 5);
        let snapshot = Snapshot { replicas: vec![running(&web, 1, 1_000)], ..Snapshot::default() };
        let policies = Policies::plain(Arc::<Scripted>::default(), Arc::<Scripted>::default());
        let metrics = vec![Series { name: "queue".into(), replica: None, samples: Vec::new(), failure: None }];
        let history = History { scaling_memory: vec![9], ..History::default() };
        let (_, evaluation) = evaluate(&web, snapshot, &history, &policies, Ok(metrics), Timestamp(5)).await;
        let NewDecision { at, mut body, parts } = decision(Timestamp(5), &evaluation, &policies, json!({"target": 2}));
        for DecisionPart { place, content } in parts {
            let at = body.pointer_mut(&place).unwrap_or_else(|| panic!("{place} is in the body"));
            assert!(at.is_null(), "{place} is apart from the body");
            *at = match content {
                PartContent::Json(text) => serde_json::from_slice(&text).expect("JSON"),
                PartContent::Memory(bytes) => json!(bytes),
            };
        }
        let verdict = &evaluation.verdict;
        let answer = |answer: Value, policy: &PolicyIdentity, observation: Value| json!({"policy": policy, "config": "{}", "observation": observation, "answer": answer});
        let scaling = verdict.scaling.answer.as_ref().expect("an answer");
        let health = verdict.health.answer.as_ref().expect("an answer");
        let whole = json!({
            "target": 2,
            "scaling": answer(json!(scaling), &verdict.scaling.policy, json!(evaluation.scaling_observation)),
            "health": answer(json!(health), &verdict.health.policy, json!(evaluation.health_observation)),
        });
        assert_eq!((at, body), (Timestamp(5), whole));
    }
}

//! Reads damaged traces for `windlass simulate`, and runs those of a few minutes.

use crate::fuzz::seeds::examples;
use crate::fuzz::target::{Parser, Target};
use crate::fuzz::targets::runtime;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use windlass_core::contract::{MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::policy::ScalingPolicy;
use windlass_core::{PolicyFailure, PolicyIdentity, Timestamp, Workload};
use windlass_simulate::encoding::decode;
use windlass_simulate::trace::Trace;
use windlass_simulate::{ServiceModel, Subject};

/// Longer traces are only read.
const LONGEST_RUN: Duration = Duration::from_secs(600);

pub(crate) const TARGET: Target = Target {
    name: "trace",
    cases: 150,
    seeds: || examples("examples/traces"),
    words: &[
        "time,load\n",
        "time;load\n",
        "\t",
        ",",
        ";",
        "2026-01-01T00:00:00Z",
        "2026-01-01 00:00",
        "20260101",
        "-0001-01-01",
        "9999-12-31T23:59:60Z",
        "1767225600",
        "1767225600000",
        "1767225600000000123",
        "-5",
        "1,5",
        "1.000.000",
        "1e400",
        "crashing",
        "cpu-utilization",
        "load",
        "\"metrics\"",
        "\"samples\"",
        "\"values\"",
        "\"__name__\"",
        "=>",
    ],
    start,
};

/// Keeps the count, and requests every metric by the name of the load.
pub(super) struct Keeps(PolicyIdentity);

#[async_trait]
impl ScalingPolicy for Keeps {
    fn identity(&self) -> &PolicyIdentity {
        &self.0
    }

    async fn requirements(&self, _: &str, _: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        Ok(vec![MetricRequest { name: "load".to_owned(), window: 60_000 }])
    }

    async fn decide(&self, _: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        Ok(ScalingDecision {
            replicas: observation.current_replicas,
            reason: "it is the current count".to_owned(),
            memory: Vec::new(),
            evaluate_after: None,
            parts: Vec::new(),
        })
    }
}

/// A policy that keeps the count.
pub(super) fn keeps() -> Arc<dyn ScalingPolicy> {
    Arc::new(Keeps(PolicyIdentity::default()))
}

/// A workload from the body of a start request with the image and resources of a simulation. `None` if it is invalid.
pub(super) fn workload(mut body: serde_json::Map<String, Value>) -> Option<Workload> {
    body.entry("image").or_insert(json!("simulated"));
    body.entry("max_replicas").or_insert(json!(100));
    body.entry("resources").or_insert(json!({"cpu": "1", "memory": "1g"}));
    windlass_api::start::workload(&Value::Object(body)).ok()
}

fn start() -> Parser {
    let runtime = runtime();
    Box::new(move |input| {
        let trace = match decode(input.to_vec()).and_then(|text| Trace::parse(&text, None)) {
            Ok(trace) => trace,
            Err(why) => {
                assert!(!why.is_empty());
                return false;
            }
        };
        let (begin, end) = trace.span();
        assert!(begin <= end);
        for at in [Timestamp(0), begin, end, Timestamp(u64::MAX)] {
            assert!(trace.load(at) >= 0.0 && trace.load(at).is_finite(), "the load is {}", trace.load(at));
            assert!(trace.values(at).count() <= trace.names().count());
        }
        if end.since(begin) <= LONGEST_RUN {
            let subject = Subject::new(workload(serde_json::Map::new()).expect("a workload"), keeps(), "{}".to_owned());
            let model = ServiceModel { capacity: 100.0, start_up: Duration::from_secs(30), queue: 1_000.0 };
            // A trace that is too long for the limits of a simulation is an error.
            let _ran = runtime.block_on(windlass_simulate::run::run(subject, &trace, model, |_| {}));
        }
        true
    })
}

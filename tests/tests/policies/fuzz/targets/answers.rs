//! Reads damaged answers of policies: the bytes of a policy's memory at which the host reads its answer.

use crate::fuzz::target::{Parser, Target};
use crate::fuzz::targets::runtime;
use std::sync::Arc;
use windlass_core::contract::{HealthObservation, ScalingObservation};
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyFailure, Timestamp};
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::hostile::{self, Kind};
use windlass_tests::policies::unhurried;

const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// The longest reason of a failure in bytes: an excerpt of the policy's text, and the host's own words.
const REASON_BYTES: usize = 1_024;

pub(crate) const TARGET: Target = Target {
    name: "answers",
    cases: 400,
    seeds,
    words: &[
        "\u{1}\u{0}\u{0}\u{0}",
        "\u{0}\u{1}\u{0}\u{0}",
        "\u{0}\u{0}\u{1}\u{0}",
        "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
    ],
    start,
};

/// The function that returns the answer: the first byte of an input, modulo 4.
#[derive(Debug, Clone, Copy)]
enum Function {
    Decide,
    Evaluate,
    Configure,
    Protected,
}

const FUNCTIONS: [Function; 4] = [Function::Decide, Function::Evaluate, Function::Configure, Function::Protected];

/// An input: the function, the words at the start of the answer, and a text after them, where `TEXT` is its address.
fn image(function: Function, words: &[u32], text: &str) -> Vec<u8> {
    let mut bytes = vec![function as u8];
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    // The text is at a fixed offset, so that the words can name its address.
    bytes.resize(1 + TEXT_OFFSET, 0);
    bytes.extend(text.bytes());
    bytes
}

const TEXT_OFFSET: usize = 96;

/// The address of the text of an answer at `answer`.
const fn text_of(answer: u32) -> u32 {
    answer + TEXT_OFFSET as u32
}

fn seeds() -> Vec<Vec<u8>> {
    let (text, metric) = (text_of(hostile::ANSWER_ADDRESS), text_of(hostile::REQUIREMENTS_ADDRESS));
    let answer = hostile::ANSWER_ADDRESS;
    vec![
        // A decision: a count, a reason, a memory and the time until the next evaluation.
        image(Function::Decide, &[0, 0, 3, text, 24, text, 8, 0, 1, 0, 15_000, 0], "the queue is three times as long"),
        image(Function::Decide, &[0, 0, 0, text, 0, text, 0, 0, 0, 0], ""),
        // An error of each kind.
        image(Function::Decide, &[1, 0, 0, text, 9], "no metric"),
        image(Function::Evaluate, &[1, 2, text, 9], "no probes"),
        // A report: two assessments after its own five words, and a memory.
        image(
            Function::Evaluate,
            &[0, answer + 20, 2, text, 4, text, 1, 0x0102, text, 5, text + 1, 1, 0x0204, text, 5],
            "ab is not well",
        ),
        // Requirements: two metrics, each with a name and a window.
        image(
            Function::Configure,
            &[0, hostile::REQUIREMENTS_ADDRESS + 16, 2, 0, metric, 5, 60_000, 0, metric + 5, 4, 0, 0],
            "queuerate",
        ),
        image(Function::Configure, &[1, 0, metric, 12], "wrong number"),
        // A protected replica, and more than there are.
        image(Function::Protected, &[0, answer + 16, 1, 0, text, 1], "a"),
        image(Function::Protected, &[0, answer + 16, 2, 0, text, 1, text + 1, 1], "ab"),
    ]
}

/// The policies whose answer is the input.
struct Policies {
    scaling: PolicyComponent,
    health: PolicyComponent,
    limits: PolicyLimits,
    scaling_observation: ScalingObservation,
    health_observation: HealthObservation,
}

fn start() -> Parser {
    let runtime = runtime();
    let limits = unhurried();
    let engine = Arc::new(PolicyEngine::new(limits.clone()).expect("an engine"));
    let compiler = Compiler::in_process();
    let load = |component: Vec<u8>| {
        runtime.block_on(PolicyComponent::load(&engine, &compiler, None, component.into())).expect("it loads")
    };
    let policies = Policies {
        scaling: load(hostile::answers_from_input(Kind::Scaling).build()),
        health: load(hostile::answers_from_input(Kind::Health).build()),
        limits,
        scaling_observation: observation(include_str!("../../../../../examples/observations/scaling.json")),
        health_observation: observation(include_str!("../../../../../examples/observations/health.json")),
    };
    Box::new(move |input| runtime.block_on(read(&policies, input)).is_some())
}

fn observation<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("the example of an observation")
}

/// Lets the policies answer with the input, and checks the answer that the host reads. `None` if it is no answer.
async fn read(policies: &Policies, input: &[u8]) -> Option<()> {
    let (function, answer) = input.split_first()?;
    let answer = &answer[..answer.len().min(hostile::INPUT_BYTES)];
    let scaling = || ScalingObservation { memory: answer.to_vec(), ..policies.scaling_observation.clone() };
    match FUNCTIONS[usize::from(*function) % FUNCTIONS.len()] {
        Function::Decide => {
            let decision = checked(policies.scaling.decide("{}", &scaling()).await.answer)?;
            check_reason(policies, &decision.reason);
            check_memory(policies, &decision.memory);
        }
        Function::Evaluate => {
            let observation = HealthObservation { memory: answer.to_vec(), ..policies.health_observation.clone() };
            let report = checked(policies.health.evaluate("{}", &observation).await.answer)?;
            check_memory(policies, &report.memory);
            let mut left: Vec<&str> = observation.replicas.iter().map(|probed| probed.replica.id.as_str()).collect();
            for assessment in &report.assessments {
                check_reason(policies, &assessment.reason);
                let known = left.iter().position(|id| *id == assessment.replica_id);
                left.remove(known.expect("each replica of the observation has at most one assessment"));
            }
        }
        Function::Configure => {
            let config = hostile::as_letters(answer);
            for request in checked(policies.scaling.configure(&config, NOW).await.answer)? {
                assert!(!request.name.contains(char::is_control), "{:?}", request.name);
            }
        }
        Function::Protected => {
            let observation = scaling();
            let called = policies.scaling.protected("{}", &observation).await.expect("the policy protects");
            let protected = checked(called.answer)?;
            assert!(protected.iter().all(|id| observation.replicas.iter().any(|replica| replica.id == *id)));
        }
    }
    Some(())
}

/// The answer, or `None` after the failure was checked.
fn checked<T>(answer: Result<T, PolicyFailure>) -> Option<T> {
    answer
        .inspect_err(|PolicyFailure { reason, .. }| {
            let is_plain = !reason.is_empty() && reason.len() <= REASON_BYTES && !reason.contains(char::is_control);
            assert!(is_plain, "{reason:?}");
        })
        .ok()
}

fn check_reason(policies: &Policies, reason: &str) {
    assert!(reason.len() as u64 <= policies.limits.reason_bytes && !reason.contains(char::is_control), "{reason:?}");
}

fn check_memory(policies: &Policies, memory: &[u8]) {
    assert!(memory.len() as u64 <= policies.limits.returned_memory_bytes, "{} bytes", memory.len());
}

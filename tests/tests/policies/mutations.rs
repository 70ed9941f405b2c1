//! A thousand damaged components: each ends in an error or an answer, and the process releases their memory.

/// The fuzzer's target, compiled here so that it follows changes of the host.
#[path = "../../fuzz/fuzz_targets/once.rs"]
pub(crate) mod once;

use std::sync::Arc;
use std::time::Duration;
use windlass_builtin::{LIVENESS, MIN_MAX};
use windlass_core::contract::{HealthObservation, ScalingObservation};
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyKind, Timestamp};
use windlass_sandbox::compile::{CompileError, Compiler};
use windlass_sandbox::component::{LoadProblem, PolicyComponent};
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::alone::is_alone;
use windlass_tests::mutation::{Numbers, damaged};
use windlass_tests::site::binary;
use windlass_tests::{hostile, memory};

/// The number of mutations. `make fuzz` tries many more.
const MUTATIONS: usize = 1_000;

/// Bytes that may remain of all components: caches of the allocator and of the library.
const SLACK: u64 = 96 << 20;

fn limits() -> PolicyLimits {
    let short = Duration::from_millis(50);
    PolicyLimits { decision_time: short, manifest_time: short, ..PolicyLimits::default() }
}

fn observation<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("the example of an observation")
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    memory::resident(std::process::id()).expect("Linux tells it")
}

/// Loads a component and calls each of its functions; returns whether it loaded, and whether it answered.
async fn try_out(engine: &Arc<PolicyEngine>, compiler: &Compiler, bytes: Vec<u8>, seed: usize) -> (bool, bool) {
    let policy = match PolicyComponent::load(engine, compiler, None, bytes.into()).await {
        Ok(policy) => policy,
        Err(error) => {
            // Compiled in this process, a failure of the library would be a panic, which is reported as one of the
            // compiling process.
            let broken = |problem: &LoadProblem| matches!(problem, LoadProblem::Compile(CompileError::Child(_)));
            assert!(!error.problems.is_empty() && !error.problems.iter().any(broken), "mutation {seed}: {error}");
            return (false, false);
        }
    };
    let now = Timestamp(1_767_225_600_000);
    let configured = policy.configure("{}", now).await.answer.is_ok();
    let answered = match policy.kind() {
        PolicyKind::Scaling => {
            let shown: ScalingObservation = observation(include_str!("../../../examples/observations/scaling.json"));
            policy.decide("{}", &shown).await.answer.is_ok()
        }
        PolicyKind::Health => {
            let shown: HealthObservation = observation(include_str!("../../../examples/observations/health.json"));
            policy.evaluate("{}", &shown).await.answer.is_ok()
        }
    };
    (true, configured && answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_components_end_in_an_error_or_an_answer_and_leave_no_memory_behind() {
    if !is_alone("mutations::damaged_components_end_in_an_error_or_an_answer_and_leave_no_memory_behind") {
        return;
    }
    let engine = Arc::new(PolicyEngine::new(limits()).expect("an engine"));
    let compiler = Compiler::in_process();
    let random = hostile::decides_at_random();
    // Most of it is text, which damage turns into invalid text and so into no answer.
    let long = hostile::tells_at_length(4_096).build();
    let whole: [&[u8]; 4] = [MIN_MAX, LIVENESS, &random, &long];
    let (mut loaded, mut answered, mut before) = (0, 0, 0);
    for seed in 0..MUTATIONS {
        // The first ones fill caches, which stay.
        if seed == MUTATIONS / 5 {
            before = resident();
        }
        let mut numbers = Numbers::of(seed as u64);
        let (component, other) = (whole[numbers.below(4)], whole[numbers.below(4)]);
        let (loads, answers) = try_out(&engine, &compiler, damaged(component, other, &mut numbers), seed).await;
        loaded += u32::from(loads);
        answered += u32::from(answers);
    }
    let after = resident();
    assert!(after < before + SLACK, "it held {before} bytes and holds {after}");
    // The damage has different depths: some components cannot be read, some load and do not answer, some answer.
    assert!((20..MUTATIONS as u32 - 20).contains(&loaded), "{loaded} loaded");
    assert!((10..loaded - 10).contains(&answered), "{answered} of {loaded} answered");
    // An undamaged component still works.
    assert_eq!(try_out(&engine, &compiler, MIN_MAX.to_vec(), MUTATIONS).await, (true, true));
}

#[test]
fn what_the_fuzzer_runs_loads_what_is_whole_and_survives_what_is_not() {
    assert!(once::once(MIN_MAX) && once::once(LIVENESS));
    assert!(!once::once(&MIN_MAX[..MIN_MAX.len() / 2]) && !once::once(b""));
}

#[tokio::test]
async fn a_component_of_100_mib_is_refused_or_loaded_and_leaves_no_memory_behind() {
    if !is_alone("mutations::a_component_of_100_mib_is_refused_or_loaded_and_leaves_no_memory_behind") {
        return;
    }
    let padded = hostile::padded(MIN_MAX, 100 << 20);
    let engine = Arc::new(PolicyEngine::new(PolicyLimits::default()).expect("an engine"));
    let compiler = Compiler::child(binary().expect("the program is built"));
    let refused = PolicyComponent::load(&engine, &compiler, None, padded.clone().into()).await;
    let refused = refused.expect_err("too large").to_string();
    assert!(refused.ends_with("a component may have at most 41943040"), "{refused}");
    let before = resident();
    let roomy =
        Arc::new(PolicyEngine::new(PolicyLimits { component_bytes: 128 << 20, ..limits() }).expect("an engine"));
    let (loads, answers) = try_out(&roomy, &compiler, padded, 0).await;
    assert!(loads && answers, "most of it is nothing");
    let after = resident();
    assert!(after < before + SLACK, "it held {before} bytes and holds {after}");
}

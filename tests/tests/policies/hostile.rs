//! Every hostile component is contained, and every limit of a policy call takes effect at its value.

use std::sync::Arc;
use std::time::Duration;
use windlass_builtin::MIN_MAX;
use windlass_core::contract::{
    HealthObservation, HealthStatus, Limits, Phase, ProbedReplica, ReplicaFacts, ScalingDecision, ScalingObservation,
    WorkloadFacts,
};
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure, Timestamp};
use windlass_sandbox::cache::Cache;
use windlass_sandbox::call_store::LogLevel;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::{Called, LoadError, PolicyComponent};
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::hostile::{self, Expect, Kind, Stub};
use windlass_tests::policies::unhurried;
use windlass_tests::site::binary;

const NOW: Timestamp = Timestamp(1_700_000_000_123);

fn workload() -> WorkloadFacts {
    WorkloadFacts {
        name: "web".to_owned(),
        image: "web:1".to_owned(),
        min_replicas: 1,
        max_replicas: 5,
        limits: Limits::default(),
        labels: Vec::new(),
    }
}

fn replica(id: &str) -> ReplicaFacts {
    ReplicaFacts {
        id: id.to_owned(),
        phase: Phase::Running,
        health: HealthStatus::Healthy,
        created_at: NOW,
        started_at: Some(NOW),
        restarts: 0,
        exit_code: None,
        out_of_memory: false,
        usage: None,
        first_ready_at: None,
    }
}

fn scaling_observation() -> ScalingObservation {
    ScalingObservation {
        now: NOW,
        workload: workload(),
        current_replicas: 2,
        replicas: vec![replica("a"), replica("b")],
        metrics: Vec::new(),
        memory: Vec::new(),
    }
}

fn health_observation() -> HealthObservation {
    let probed = |id| ProbedReplica { replica: replica(id), probes: Vec::new() };
    HealthObservation { now: NOW, workload: workload(), replicas: vec![probed("a"), probed("b")], memory: Vec::new() }
}

async fn load(limits: PolicyLimits, bytes: Vec<u8>) -> Result<PolicyComponent, LoadError> {
    let engine = Arc::new(PolicyEngine::new(limits).expect("an engine"));
    load_into(&engine, bytes).await
}

async fn load_into(engine: &Arc<PolicyEngine>, bytes: Vec<u8>) -> Result<PolicyComponent, LoadError> {
    PolicyComponent::load(engine, &Compiler::in_process(), None, Arc::from(bytes)).await
}

async fn decide(limits: PolicyLimits, stub: &Stub) -> Called<ScalingDecision> {
    let policy = load(limits, stub.build()).await.expect("it loads");
    policy.decide("{}", &scaling_observation()).await
}

fn named(name: &str) -> Vec<u8> {
    hostile::all().into_iter().find(|hostile| hostile.name == name).expect("it is there").bytes
}

fn failed<T: std::fmt::Debug>(name: &str, answer: Result<T, PolicyFailure>, kind: FailureKind, part: &str) {
    let failure = answer.expect_err(name);
    assert_eq!(failure.kind, kind, "{name}: {}", failure.reason);
    assert!(failure.reason.contains(part), "{name}: {}", failure.reason);
    assert!(!failure.reason.contains(char::is_control), "{name}: {:?}", failure.reason);
}

async fn hold_all_harmless(engine: Arc<PolicyEngine>) {
    let well_behaved = load_into(&engine, MIN_MAX.to_vec()).await.expect("it loads");
    for hostile in hostile::all() {
        let name = hostile.name;
        let limits = Arc::new(hostile.expect.limits());
        let compiler = Compiler::in_process();
        let loaded = PolicyComponent::load_within(&engine, &compiler, &limits, None, Arc::from(hostile.bytes)).await;
        match (hostile.expect, loaded) {
            (Expect::NotLoaded(part), Err(error)) => {
                let sentences = error.to_string();
                // Without a pool, instantiation finds what exceeds the limits.
                let counted = !engine.is_pooled() && part.contains("needs more");
                let found = sentences.contains(if counted { "it made more than it may" } else { part });
                assert!(found, "{name}: {sentences}");
                assert!(!sentences.contains(char::is_control), "{name}: {sentences:?}");
            }
            (Expect::NotLoaded(part), Ok(_)) => panic!("{name} was loaded; expected: {part}"),
            (_, Err(error)) => panic!("{name} was not loaded: {error}"),
            (Expect::Scaling(kind, part), Ok(policy)) => {
                failed(name, policy.decide("{}", &scaling_observation()).await.answer, kind, part);
                assert_eq!(policy.failures().get(kind), 1, "{name}");
            }
            (Expect::Health(kind, part), Ok(policy)) => {
                failed(name, policy.evaluate("{}", &health_observation()).await.answer, kind, part);
                assert_eq!(policy.failures().get(kind), 1, "{name}");
            }
            (Expect::Configure(kind, part), Ok(policy)) => {
                failed(name, policy.configure("{}", NOW).await.answer, kind, part);
            }
            (Expect::Protect(kind, part), Ok(policy)) => {
                let decision = policy.decide("{}", &scaling_observation()).await.answer.expect(name);
                assert_eq!(decision.replicas, 1, "{name}");
                let spared = policy.protected("{}", &scaling_observation()).await.expect(name);
                failed(name, spared.answer, kind, part);
            }
            (Expect::Harmless, Ok(policy)) => {
                let decision = policy.decide("{}", &scaling_observation()).await.answer.expect(name);
                assert_eq!(decision.replicas, 1, "{name}");
            }
        }
        // Whatever happened, the next call of another policy is answered.
        let decision = well_behaved.decide("{}", &scaling_observation()).await.answer.expect(name);
        assert_eq!(decision.replicas, 2, "after {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_component_is_held_harmless() {
    let engine = PolicyEngine::new(PolicyLimits::default()).expect("an engine");
    assert!(engine.is_pooled());
    hold_all_harmless(Arc::new(engine)).await;
}

#[tokio::test]
async fn every_hostile_component_is_held_harmless_without_a_pool_and_on_one_thread() {
    let engine = PolicyEngine::without_pool(PolicyLimits::default()).expect("an engine");
    hold_all_harmless(Arc::new(engine)).await;
}

/// The same component passes under a higher limit, which shows which limit took effect.
#[tokio::test]
async fn each_limit_bites_where_it_says_and_not_above() {
    use FailureKind::{Memory, Output, Time, Trap};
    let limits = unhurried;
    let cases = [
        (
            "decision_time",
            Time,
            hostile::spins(300_000_000),
            PolicyLimits { decision_time: Duration::from_millis(20), ..limits() },
            PolicyLimits { decision_time: Duration::from_secs(30), ..limits() },
        ),
        ("memory_bytes", Memory, hostile::grows(1_021), limits(), PolicyLimits { memory_bytes: 65 << 20, ..limits() }),
        (
            "memory_bytes, summed",
            Memory,
            hostile::has_memories(3, 400),
            limits(),
            PolicyLimits { memory_bytes: 128 << 20, ..limits() },
        ),
        (
            "table_elements",
            Memory,
            hostile::grows_table(100_001),
            limits(),
            PolicyLimits { table_elements: 100_001, ..limits() },
        ),
        ("handles", Memory, hostile::holds_handles(1_001), limits(), PolicyLimits { handles: 1_001, ..limits() }),
        (
            "random_bytes",
            Memory,
            hostile::draws_random(66),
            limits(),
            PolicyLimits { random_bytes: 66_000, ..limits() },
        ),
        ("stack_bytes", Trap, hostile::recurses(40_000), limits(), PolicyLimits { stack_bytes: 8 << 20, ..limits() }),
        ("reason_bytes", Output, hostile::reasons(1_025), limits(), PolicyLimits { reason_bytes: 1_025, ..limits() }),
        (
            "returned_memory_bytes",
            Output,
            hostile::remembers(65_537),
            limits(),
            PolicyLimits { returned_memory_bytes: 65_537, ..limits() },
        ),
        (
            "hostcall_bytes",
            Output,
            hostile::remembers(60_000),
            PolicyLimits { hostcall_bytes: 50_000, ..limits() },
            limits(),
        ),
    ];
    for (name, kind, stub, low, high) in cases {
        failed(name, decide(low, &stub).await.answer, kind, "");
        let passed = decide(high, &stub).await.answer;
        assert!(passed.is_ok(), "{name}, raised: {passed:?}");
    }
}

#[tokio::test]
async fn counts_of_memories_tables_and_instances_are_bounded_with_a_pool_and_without() {
    let limits = unhurried;
    let roomy = PolicyLimits { memories: 100, tables: 100, core_instances: 100, ..limits() };
    let cases = [
        (hostile::has_memories(4, 0).build(), limits()),
        (hostile::has_tables(21).build(), limits()),
        (hostile::has_instances(64), PolicyLimits { memories: 100, ..limits() }),
    ];
    for (bytes, low) in cases {
        let refused = load(low.clone(), bytes.clone()).await.expect_err("refused").to_string();
        assert!(refused.contains("it needs more than a policy may have"), "{refused}");
        let single = Arc::new(PolicyEngine::without_pool(low).expect("an engine"));
        let refused = load_into(&single, bytes.clone()).await.expect_err("refused").to_string();
        assert!(refused.contains("memory: it made more than it may"), "{refused}");
        let single = Arc::new(PolicyEngine::without_pool(roomy.clone()).expect("an engine"));
        let policy = load_into(&single, bytes).await.expect("it loads");
        assert!(policy.decide("{}", &scaling_observation()).await.answer.is_ok());
    }
}

#[tokio::test]
async fn a_component_larger_than_allowed_is_refused() {
    let bytes = Stub::new(Kind::Scaling).build();
    let exact = PolicyLimits { component_bytes: bytes.len() as u64, ..PolicyLimits::default() };
    assert!(load(exact.clone(), bytes.clone()).await.is_ok());
    let smaller = PolicyLimits { component_bytes: exact.component_bytes - 1, ..exact };
    let refused = load(smaller, bytes).await.expect_err("refused").to_string();
    assert!(refused.contains("a component may have at most"), "{refused}");
}

#[tokio::test]
async fn log_and_output_past_their_limits_are_dropped_and_counted() {
    let called = decide(unhurried(), &hostile::floods_log(1_000, 2_000)).await;
    assert!(called.answer.is_ok(), "{:?}", called.answer);
    assert_eq!((called.log.lines.len(), called.log.dropped_lines), (32, 968));
    assert!(called.log.lines.iter().all(|(_, line)| line.len() == 1_024));

    let called = decide(unhurried(), &hostile::floods_output(100)).await;
    assert!(called.answer.is_ok(), "{:?}", called.answer);
    assert_eq!((called.log.output.len(), called.log.dropped_output_bytes), (16 << 10, (400 << 10) - (16 << 10)));

    let roomy = PolicyLimits { log_lines: 2_000, log_line_bytes: 4_000, output_bytes: 1 << 20, ..unhurried() };
    let called = decide(roomy.clone(), &hostile::floods_log(1_000, 2_000)).await;
    assert_eq!((called.log.lines.len(), called.log.lines[0].1.len(), called.log.dropped_lines), (1_000, 2_000, 0));
    let called = decide(roomy, &hostile::floods_output(100)).await;
    assert_eq!((called.log.output.len(), called.log.dropped_output_bytes), (400 << 10, 0));
}

#[tokio::test]
async fn what_was_written_before_a_trap_is_kept() {
    let stub =
        Stub::new(Kind::Scaling).log().first("(call $log (i32.const 3) (i32.const 80) (i32.const 7)) (unreachable)");
    let called = decide(unhurried(), &stub).await;
    failed("traps", called.answer, FailureKind::Trap, "unreachable");
    assert_eq!(called.log.lines, [(LogLevel::Error, "as told".to_owned())]);
}

#[tokio::test]
async fn random_and_clocks_follow_from_the_observation() {
    let policy = load(unhurried(), hostile::decides_at_random()).await.expect("it loads");
    let mut observation = scaling_observation();
    let mut drawn = Vec::new();
    for current_replicas in 0..16 {
        observation.current_replicas = current_replicas;
        let first = policy.decide("{}", &observation).await.answer.expect("a decision");
        let again = policy.decide("{}", &observation).await.answer.expect("a decision");
        assert_eq!(first, again);
        drawn.push(first.replicas);
    }
    drawn.dedup();
    assert!(drawn.len() > 4, "{drawn:?}");

    let policy = load(unhurried(), hostile::decides_by_the_clock()).await.expect("it loads");
    let decision = policy.decide("{}", &scaling_observation()).await.answer.expect("a decision");
    assert_eq!(u64::from(decision.replicas), NOW.0 / 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spinning_policy_delays_no_other_and_a_call_waits_a_second_for_a_place() {
    let limits =
        PolicyLimits { concurrent_calls: 2, decision_time: Duration::from_millis(1_800), ..PolicyLimits::default() };
    let engine = Arc::new(PolicyEngine::new(limits).expect("an engine"));
    let spinning = load_into(&engine, named("endless-loop")).await.expect("it loads");
    let quick = load_into(&engine, MIN_MAX.to_vec()).await.expect("it loads");
    let observation = scaling_observation();

    // One slot is left next to the spinning policy.
    let beside = async {
        let mut answered = 0;
        for _ in 0..20 {
            answered += u32::from(quick.decide("{}", &observation).await.answer.is_ok());
        }
        answered
    };
    let (spun, answered) = tokio::join!(spinning.decide("{}", &observation), beside);
    failed("spinning", spun.answer, FailureKind::Time, "it ran longer than 1800 ms");
    assert_eq!(answered, 20);

    // However many calls it has, it holds half of the slots: the other calls wait for its own share.
    let (first, second, beside) = tokio::join!(
        spinning.decide("{}", &observation),
        spinning.decide("{}", &observation),
        quick.decide("{}", &observation)
    );
    failed("first", first.answer, FailureKind::Time, "it ran longer than");
    failed("second", second.answer, FailureKind::Busy, "the policy's concurrency limit (1 call) was reached");
    assert!(beside.answer.is_ok(), "{beside:?}");

    // No slot is left next to two slow policies.
    let another = load_into(&engine, named("endless-loop")).await.expect("it loads");
    let (first, second, waiting) = tokio::join!(
        spinning.decide("{}", &observation),
        another.decide("{}", &observation),
        quick.decide("{}", &observation)
    );
    failed("first", first.answer, FailureKind::Time, "it ran longer than");
    failed("second", second.answer, FailureKind::Time, "it ran longer than");
    failed("waiting", waiting.answer, FailureKind::Busy, "the concurrency limit of all policies (2 calls) was reached");
    assert!(quick.decide("{}", &observation).await.answer.is_ok());
}

#[tokio::test]
async fn a_trap_names_the_functions_as_their_author_wrote_them() {
    let mangled = "$_ZN5chaos7recurse17h0123456789abcdefE";
    let stub = hostile::Stub::new(hostile::Kind::Scaling);
    let stub = stub.fields(&format!("(func {mangled} (unreachable))")).first(&format!("(call {mangled})"));
    let policy = load(unhurried(), stub.build()).await.expect("it loads");
    let failure = policy.decide("{}", &scaling_observation()).await.answer.expect_err("it traps");
    assert!(failure.reason.contains(", in `chaos::recurse`"), "{failure}");
}

#[tokio::test]
async fn a_policy_asked_for_the_other_kind_of_answer_says_so() {
    let policy = load(unhurried(), MIN_MAX.to_vec()).await.expect("it loads");
    let answer = policy.evaluate("{}", &health_observation()).await.answer;
    failed("min-max", answer, FailureKind::Link, "it is a scaling policy and was called as a health policy");
}

#[tokio::test]
async fn everything_wrong_with_the_links_is_told_at_once() {
    let error = load(unhurried(), named("foreign-import")).await.expect_err("refused");
    let sentences: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), 4, "{sentences:?}");
    for part in ["manifest@0.1.0", "wasi:http/outgoing-handler", "acme:metrics/query", "lacks the function `evaluate`"]
    {
        assert!(sentences.iter().any(|sentence| sentence.contains(part)), "{part}: {sentences:?}");
    }
}

#[tokio::test]
async fn code_compiled_elsewhere_is_refused_and_an_altered_entry_is_compiled_anew() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(data_dir.path()).expect("a cache");
    let engine = Arc::new(PolicyEngine::without_pool(PolicyLimits::default()).expect("an engine"));
    let compiler = Compiler::in_process().with_cache(cache);
    PolicyComponent::load(&engine, &compiler, None, Arc::from(MIN_MAX)).await.expect("it loads");
    let mut entries = std::fs::read_dir(data_dir.path().join("compiled")).expect("a folder");
    let entry = entries.next().expect("one entry").expect("readable").path();
    let kept = std::fs::read(&entry).expect("readable");

    let refused = load_into(&engine, kept[32..].to_vec()).await.expect_err("refused").to_string();
    assert!(refused.contains("machine code that a WebAssembly engine compiled"), "{refused}");

    let mut altered = kept;
    let middle = altered.len() / 2;
    altered[middle] ^= 0xff;
    std::fs::write(&entry, &altered).expect("written");
    PolicyComponent::load(&engine, &compiler, None, Arc::from(MIN_MAX)).await.expect("it loads");
    assert_ne!(std::fs::read(&entry).expect("readable"), altered);
}

#[tokio::test]
async fn describing_is_bounded_in_time() {
    let slow = hostile::begins_slowly(300_000_000).build();
    let low = PolicyLimits { manifest_time: Duration::from_millis(20), ..PolicyLimits::default() };
    let refused = load(low, slow.clone()).await.expect_err("refused").to_string();
    assert!(refused.contains("its function `describe` failed: time: it ran longer than 20 ms"), "{refused}");
    let high = PolicyLimits { manifest_time: Duration::from_secs(30), ..PolicyLimits::default() };
    assert!(load(high, slow).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_compiling_process_is_bounded_in_time_and_memory() {
    let binary = binary().expect("it compiles in a child process of itself");
    // Limits of the policy's own: the engine's are the defaults.
    let engine = Arc::new(PolicyEngine::without_pool(PolicyLimits::default()).expect("an engine"));
    let compile = async |limits: PolicyLimits, bytes: Vec<u8>| {
        let compiler = Compiler::child(binary.clone());
        PolicyComponent::load_within(&engine, &compiler, &Arc::new(limits), None, Arc::from(bytes)).await
    };
    assert!(compile(PolicyLimits::default(), MIN_MAX.to_vec()).await.is_ok());
    let refused = compile(PolicyLimits::default(), named("truncated")).await.expect_err("refused").to_string();
    assert!(refused.starts_with("it is not a valid component: "), "{refused}");

    let large = hostile::compiles_long(300, 12_000);
    // A busy machine may need longer than the default.
    let patient = PolicyLimits { compile_time: Duration::from_secs(180), ..PolicyLimits::default() };
    let passed = compile(patient, large.clone()).await;
    assert!(passed.is_ok(), "{passed:?}");
    let hurried = PolicyLimits { compile_time: Duration::from_secs(1), ..PolicyLimits::default() };
    let refused = compile(hurried, large.clone()).await.expect_err("refused").to_string();
    assert!(refused.contains("compiling it took longer than 1 s"), "{refused}");
    let cramped = PolicyLimits { compile_memory_bytes: 128 << 20, ..PolicyLimits::default() };
    let refused = compile(cramped, large).await.expect_err("refused").to_string();
    assert!(refused.contains("needs more than 134217728 bytes of memory"), "{refused}");

    let gone = Compiler::child("/nonexistent/windlass".into());
    let refused =
        PolicyComponent::load(&engine, &gone, None, Arc::from(MIN_MAX)).await.expect_err("refused").to_string();
    assert!(refused.contains("cannot run the compiler process"), "{refused}");
}

//! Measures a call of the default scaling policy with 10, 100 and 1,000 replicas in the observation.
//!
//! - `fresh` is the host's way: a new store, a new instance, every limit on.
//! - `same instance` reuses one instance without limits.
//! - `native` is the same rule in Rust, with a copy of its input.

use criterion::measurement::{Measurement, WallTime};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, Store};
use windlass_builtin::MIN_MAX;
use windlass_core::contract::{ReplicaFacts, ScalingObservation};
use windlass_core::settings::PolicyLimits;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;

#[path = "common/mod.rs"]
mod common;

mod wit {
    //! Bindings generated from `wit/`, which has their documentation.
    #![allow(missing_docs, unreachable_pub, reason = "generated")]
    wasmtime::component::bindgen!({ path: "../wit", world: "scaling-policy", exports: { default: async } });
}

use wit::exports::windlass::policy::scaling::Observation;
use wit::windlass::policy::{log, types};

/// Discards log lines.
struct NoLog;

impl log::Host for NoLog {
    fn write(&mut self, _: log::Level, _: String) {}
}

impl types::Host for NoLog {}

/// Total replicas in the observations of one kept instance. The built-in policies free no memory, and each page beyond the
/// mapped ones of the pool is a page fault, which a policy that frees memory would not have.
const REPLICAS_OF_ONE_INSTANCE: u32 = 2_000;

/// Creates instances that are kept between calls. The host never keeps one, because a trap makes an instance unusable.
struct Reused {
    engine: Engine,
    pre: wit::ScalingPolicyPre<NoLog>,
}

impl Reused {
    /// Compiles the code as the host does; calls have no limits.
    fn new() -> Self {
        let mut config = Config::new();
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(2 << 20).pagemap_scan(Enabled::Auto);
        config.allocation_strategy(pool);
        config.concurrency_support(false).epoch_interruption(true).cranelift_nan_canonicalization(true);
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::from_binary(&engine, MIN_MAX).expect("it compiles");
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |log: &mut NoLog| log).expect("it links");
        let pre = linker.instantiate_pre(&component).expect("it links");
        Self { engine, pre: wit::ScalingPolicyPre::new(pre).expect("it is a scaling policy") }
    }

    async fn instance(&self) -> (Store<NoLog>, wit::ScalingPolicy) {
        let mut store = Store::new(&self.engine, NoLog);
        store.set_epoch_deadline(u64::MAX / 2);
        let policy = self.pre.instantiate_async(&mut store).await.expect("it starts");
        (store, policy)
    }
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let engine = Arc::new(PolicyEngine::new(PolicyLimits::default()).expect("an engine"));
    let compiler = Compiler::in_process();
    let load = PolicyComponent::load(&engine, &compiler, None, Arc::from(MIN_MAX));
    let fresh = runtime.block_on(load).expect("it loads");
    let reused = Reused::new();
    let mut group = criterion.benchmark_group("policy_call");
    for count in [10, 100, 1_000] {
        let observation = common::scaling_observation(count);
        group.bench_function(BenchmarkId::new("fresh", count), |bencher| {
            bencher.iter(|| {
                let decision =
                    runtime.block_on(fresh.decide("{}", black_box(&observation))).answer.expect("it answers");
                assert_eq!(decision.replicas, count);
            });
        });
        group.bench_function(BenchmarkId::new("same instance", count), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let (mut store, kept) = runtime.block_on(reused.instance());
                    let scaling = kept.windlass_policy_scaling();
                    let calls = left.min(u64::from(REPLICAS_OF_ONE_INSTANCE / count));
                    let started = WallTime.start();
                    for _ in 0..calls {
                        let observation = to_wit(black_box(&observation));
                        let answer = runtime.block_on(scaling.call_decide(&mut store, "{}", &observation));
                        assert_eq!(answer.expect("it does not trap").expect("it answers").replicas, count);
                    }
                    spent += WallTime.end(started);
                    left -= calls;
                }
                spent
            });
        });
        group.bench_function(BenchmarkId::new("native", count), |bencher| {
            bencher.iter(|| {
                let copy = black_box(&observation).clone();
                let (min, max) = (copy.workload.min_replicas, copy.workload.max_replicas);
                let replicas = copy.current_replicas.max(min).min(max);
                black_box(format!("{replicas} is within {min} to {max}"));
                black_box(copy);
            });
        });
    }
    group.finish();
}

fn to_wit(observation: &ScalingObservation) -> Observation {
    let workload = &observation.workload;
    Observation {
        now: observation.now.0,
        workload: types::Workload {
            name: workload.name.clone(),
            image: workload.image.clone(),
            min_replicas: workload.min_replicas,
            max_replicas: workload.max_replicas,
            limits: types::Limits { cpu_cores: workload.limits.cpu_cores, memory_bytes: workload.limits.memory_bytes },
            labels: workload.labels.clone(),
        },
        current_replicas: observation.current_replicas,
        replicas: observation.replicas.iter().map(replica).collect(),
        metrics: Vec::new(),
        memory: observation.memory.clone(),
    }
}

fn replica(facts: &ReplicaFacts) -> types::Replica {
    types::Replica {
        id: facts.id.clone(),
        phase: types::Phase::Running,
        health: types::HealthStatus::Healthy,
        created_at: facts.created_at.0,
        started_at: facts.started_at.map(|at| at.0),
        restarts: facts.restarts,
        exit_code: facts.exit_code,
        out_of_memory: facts.out_of_memory,
        usage: facts.usage.map(|usage| types::Usage {
            at: usage.at.0,
            cpu_cores: usage.cpu_cores,
            memory_bytes: usage.memory_bytes,
            network_receive_rate: usage.network_receive_rate,
            network_transmit_rate: usage.network_transmit_rate,
        }),
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! Measures a pass over 1,000 and 10,000 services with 10 replicas each on one thread: the simulated Swarm, the real default
//! policies, the real store, and every limit on. Prints the memory that the host needs per service and per replica.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::WorkloadKey;
use windlass_core::engine::AnyEngine;
use windlass_core::policy::Policies;
use windlass_core::settings::{ControlSettings, PolicyLimits};
use windlass_core::store::Store;
use windlass_network::NetClient;
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::compile::Compiler;
use windlass_simulated_engine::SimulatedSwarm;
use windlass_storage::SqliteStore;

#[path = "common/mod.rs"]
mod common;

const REPLICAS: u32 = 10;

/// A host with this many services of this many replicas each.
struct Host {
    controller: Controller,
    keys: Vec<WorkloadKey>,
    _directory: tempfile::TempDir,
}

impl Host {
    async fn begin(services: u32, replicas: u32) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let swarm = SimulatedSwarm::new(|| common::NOW, Duration::ZERO);
        swarm.add_node("a", u32::MAX, &[]);
        let store = SqliteStore::open(&directory.path().join("data"), 1_000).expect("the store opens");
        let mut keys = Vec::new();
        for number in 0..services {
            let workload = common::workload(&format!("image-{number}"));
            store.save_workload(&workload, replicas).expect("the store takes it");
            swarm.add_service(&workload, replicas, "a");
            swarm.set_load(&workload.key, common::usage().cpu_cores);
            keys.push(workload.key);
        }
        let limits = PolicyLimits::default();
        let policies = PolicyRegistry::open(limits, Compiler::in_process(), Defaults::default(), None)
            .await
            .expect("the built-in policies load");
        let controller = Controller::begin(Parts {
            engine: AnyEngine::Counts(Arc::new(swarm)),
            store: Arc::new(store),
            policies: Arc::new(Policies::plain(policies.default_scaling(), policies.default_health())),
            net: NetClient::new().expect("TLS is set up"),
            host_name: "bench".to_owned(),
            // The benchmark starts the passes, so the timer must not.
            settings: ControlSettings { interval: Duration::from_secs(3_600), ..ControlSettings::default() },
            clock: Clock::System,
        })
        .expect("the controller starts");
        Self { controller, keys, _directory: directory }
    }

    /// One pass of each service.
    async fn pass(&self) {
        for pass in join_all(self.keys.iter().map(|key| self.controller.reconcile(key))).await {
            let pass = pass.expect("the workload is known");
            assert!(pass.actions.is_empty() && pass.error.is_none(), "{pass:?}");
        }
    }
}

/// The resident memory of this process in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux reports it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line for it");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kibibytes * 1_024.0
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // First, while the allocator has no freed memory to hand out again.
    memory(&runtime);
    let mut group = criterion.benchmark_group("services");
    group.sample_size(10);
    for services in [1_000, 10_000] {
        let host = runtime.block_on(Host::begin(services, REPLICAS));
        // The first pass writes a decision for each service; only the steady state is measured.
        runtime.block_on(host.pass());
        let id = BenchmarkId::new("pass over services of 10 replicas", services);
        group.bench_function(id, |bencher| bencher.iter(|| runtime.block_on(host.pass())));
        runtime.block_on(host.controller.shut_down());
    }
    group.finish();
}

/// Prints the memory per service without replicas, and per replica more, with that of the simulated Swarm.
fn memory(runtime: &tokio::runtime::Runtime) {
    const SERVICES: u32 = 2_000;
    let grown = |replicas: u32| {
        let before = resident();
        let host = runtime.block_on(Host::begin(SERVICES, replicas));
        runtime.block_on(host.pass());
        runtime.block_on(host.pass());
        let grown = (resident() - before) / f64::from(SERVICES) / 1_024.0;
        (grown, host)
    };
    // The first host is kept, so that the second one takes new memory.
    let ((one, first), (many, second)) = (grown(1), grown(1 + 2 * REPLICAS));
    for host in [first, second] {
        runtime.block_on(host.controller.shut_down());
    }
    let replica = (many - one) / f64::from(2 * REPLICAS);
    println_memory(one - replica, replica);
}

#[expect(clippy::print_stdout, reason = "the result of a benchmark")]
fn println_memory(service: f64, replica: f64) {
    println!("memory: {service:.1} KiB per service, {replica:.2} KiB per replica");
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! Measures a pass over 1,000 workloads with 10 replicas each on one thread: the simulated engine, the real default
//! policies, the real store, and every limit on.

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::WorkloadKey;
use windlass_core::policy::Policies;
use windlass_core::settings::{ControlSettings, PolicyLimits};
use windlass_core::store::Store;
use windlass_network::NetClient;
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::compile::Compiler;
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;

#[path = "common/mod.rs"]
mod common;

const WORKLOADS: u32 = 1_000;
const REPLICAS: u32 = 10;

async fn controller(directory: &std::path::Path) -> Controller {
    let engine = SimulatedEngine::new(|| common::NOW, Duration::ZERO);
    let store = SqliteStore::open(&directory.join("data"), 1_000).expect("the store opens");
    for number in 0..WORKLOADS {
        let workload = common::workload(&format!("image-{number}"));
        store.save_workload(&workload, REPLICAS).expect("the store takes it");
        for mut replica in common::replicas(&workload, REPLICAS) {
            replica.id.0 = format!("{number:032x}{}", &replica.id.0[32..]);
            engine.adopt(replica);
        }
        engine.set_load(&workload.key, common::usage());
    }
    let limits = PolicyLimits::default();
    let policies = PolicyRegistry::open(limits, Compiler::in_process(), Defaults::default(), None)
        .await
        .expect("the built-in policies load");
    Controller::begin(Parts {
        engine: Arc::new(engine).into(),
        store: Arc::new(store),
        policies: Arc::new(Policies::plain(policies.default_scaling(), policies.default_health())),
        net: NetClient::new().expect("TLS is set up"),
        host_name: "bench".to_owned(),
        // The benchmark starts the passes, so the timer must not.
        settings: ControlSettings { interval: Duration::from_secs(3_600), ..ControlSettings::default() },
        clock: Clock::System,
    })
    .expect("the controller starts")
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a folder");
    let controller = runtime.block_on(controller(directory.path()));
    let keys: Vec<WorkloadKey> = (0..WORKLOADS).map(|number| WorkloadKey::stored(format!("image-{number}"))).collect();
    let all = || async {
        for pass in join_all(keys.iter().map(|key| controller.reconcile(key))).await {
            let pass = pass.expect("the workload is known");
            assert!(pass.actions.is_empty() && pass.error.is_none(), "{pass:?}");
        }
    };
    // The first pass writes a decision for each workload; only the steady state is measured.
    runtime.block_on(all());
    let mut group = criterion.benchmark_group("pass");
    group.sample_size(10);
    group.bench_function("1000 workloads of 10 replicas", |bencher| bencher.iter(|| runtime.block_on(all())));
    group.finish();
    runtime.block_on(controller.shut_down());
}

criterion_group!(benches, bench);
criterion_main!(benches);

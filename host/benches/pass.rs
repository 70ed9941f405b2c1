//! Measures a pass over 1,000 workloads with 10 replicas each on one thread: the simulated engine, the real default
//! policies, the real store, and every limit on. And a request to the API of the same host, with a token and without one.

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use windlass_api::ApiState;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::WorkloadKey;
use windlass_core::policy::Policies;
use windlass_core::settings::{ApiSettings, ControlSettings, PolicyLimits};
use windlass_core::store::Store;
use windlass_discovery::Discovery;
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

/// The token of the configuration.
const CONFIGURED: &str = "0123456789abcdef";

/// A connection to the API of a host, which is served until the runtime ends.
async fn connect(controller: &Controller, token: bool, directory: &std::path::Path) -> (TcpStream, ApiState) {
    let settings = Arc::new(ApiSettings { token: token.then(|| CONFIGURED.to_owned()), ..ApiSettings::default() });
    let policies = PolicyRegistry::open(PolicyLimits::default(), Compiler::in_process(), Defaults::default(), None);
    let policies = Arc::new(policies.await.expect("the built-in policies load"));
    let discovery = Discovery::new(controller.clone(), None);
    let store = Arc::new(SqliteStore::open(directory, 1).expect("the store opens"));
    let state = ApiState::new(controller.clone(), policies, discovery, Arc::clone(&settings));
    let state = state.with_tokens(store).expect("the store is read");
    let router = windlass_api::router(state.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { windlass_api::serve(listener, router, &settings, std::future::pending()).await });
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("it is set");
    (stream, state)
}

/// Sends a request and reads its answer, which fits in one buffer.
async fn exchange(stream: &mut TcpStream, request: &str, expected: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 64 << 10];
    let length = stream.read(&mut answer).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(text.starts_with(expected), "{text}");
    text
}

/// The same request to an open API and to one with tokens: one that the handler answers at once.
fn requests(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime, controller: &Controller) {
    const HEAD: &str = "GET /workloads/image-none HTTP/1.1\r\nhost: localhost\r\n";
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let mut group = criterion.benchmark_group("request");
    for (name, has_token, folder) in [("open", false, &folders[0]), ("with a token", true, &folders[1])] {
        let data = folder.path().join("data");
        let (mut stream, _state) = runtime.block_on(connect(controller, has_token, &data));
        let mut request = format!("{HEAD}\r\n");
        if has_token {
            let token = runtime.block_on(create_token(&mut stream));
            request = format!("{HEAD}authorization: Bearer {token}\r\n\r\n");
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(exchange(&mut stream, &request, "HTTP/1.1 404")));
        });
    }
    group.finish();
}

/// The text of a new token that is limited to some workloads.
async fn create_token(stream: &mut TcpStream) -> String {
    let body = r#"{"name":"bench","role":"viewer","workloads":["image-*"]}"#;
    let create = format!(
        "POST /tokens HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {CONFIGURED}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let created = exchange(stream, &create, "HTTP/1.1 201").await;
    created.split('"').find(|text| text.starts_with("wl_")).expect("a token").to_owned()
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
    requests(criterion, &runtime, &controller);
    runtime.block_on(controller.shut_down());
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! A running host loads each hostile component in turn: the replicas stay as they are, the API and the decision record
//! have the reason, and other clients' requests are answered meanwhile.

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use windlass_api::ApiState;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::contract::{ScalingDecision, ScalingObservation};
use windlass_core::policy::{HealthPolicy, Policies, ScalingPolicy};
use windlass_core::settings::{ApiSettings, ControlSettings, PolicyLimits};
use windlass_core::{FailureKind, Phase, PolicyFailure, PolicyIdentity, WorkloadKey};
use windlass_discovery::Discovery;
use windlass_network::NetClient;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;
use windlass_tests::hostile::{self, Expect};
use windlass_tests::policies::{built_in, registry};
use windlass_tests::workloads::workload;

/// Time limit of another client's request while a hostile policy runs. It is generous: a policy, whose call may take
/// 250 ms, must not block the host.
const PATIENCE: Duration = Duration::from_secs(5);

/// A host on the simulated engine with one workload of two replicas, and its API on the loopback interface.
struct Host {
    engine: SimulatedEngine,
    controller: Controller,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    _directory: tempfile::TempDir,
}

impl Host {
    async fn begin(scaling: Arc<dyn ScalingPolicy>, health: Arc<dyn HealthPolicy>) -> anyhow::Result<Self> {
        let engine = SimulatedEngine::new(|| Clock::System.now(), Duration::ZERO);
        let directory = tempfile::tempdir()?;
        let controller = Controller::begin(Parts {
            engine: Arc::new(engine.clone()).into(),
            store: Arc::new(SqliteStore::open(&directory.path().join("data"), 100)?),
            policies: Arc::new(Policies::plain(scaling, health)),
            net: NetClient::new()?,
            host_name: "here".to_owned(),
            settings: ControlSettings::default(),
            clock: Clock::System,
        })?;
        let settings = ApiSettings::default();
        let discovery = Discovery::new(controller.clone(), None);
        let state = ApiState::new(controller.clone(), registry(), discovery, Arc::new(settings.clone()));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            windlass_api::serve(listener, windlass_api::router(state), &settings, stopped).await
        });
        Ok(Self { engine, controller, address, stop, server, _directory: directory })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        get(self.address, path).await
    }

    async fn end(self) -> anyhow::Result<()> {
        self.controller.shut_down().await;
        let _ = self.stop.send(());
        Ok(self.server.await??)
    }
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Value> {
    let request =
        reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?.get(format!("http://{address}{path}"));
    let response = request.send().await?;
    anyhow::ensure!(response.status() == 200, "GET {path}: {}", response.status());
    Ok(response.json().await?)
}

/// Sends other clients' requests without a pause while `during` runs; every answer must come in time.
async fn while_others_ask<T>(address: SocketAddr, during: impl Future<Output = T>) -> anyhow::Result<T> {
    let over = Arc::new(AtomicBool::new(false));
    let others = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut answered = 0u32;
            while !over.load(Ordering::SeqCst) || answered == 0 {
                get(address, "/health").await?;
                get(address, "/images/web").await?;
                answered += 1;
            }
            anyhow::Ok(answered)
        }
    });
    let value = during.await;
    over.store(true, Ordering::SeqCst);
    others.await?.context("another client's request")?;
    Ok(value)
}

async fn hold_harmless(host: &Host, which: &str, kind: FailureKind) -> anyhow::Result<()> {
    let key = WorkloadKey::stored("web");
    host.controller.start(workload("web", 2, 5)?).await?;
    let before: Vec<_> = host.engine.replicas(&key).into_iter().map(|replica| replica.id).collect();
    anyhow::ensure!(before.len() == 2, "two replicas run at first");
    let pass = while_others_ask(host.address, host.controller.reconcile(&key)).await??;
    anyhow::ensure!(pass.actions.is_empty(), "nothing is done: {:?}", pass.actions);
    let after = host.engine.replicas(&key);
    anyhow::ensure!(after.iter().map(|replica| &replica.id).eq(&before), "the replicas are the same");
    anyhow::ensure!(after.iter().all(|replica| replica.phase == Phase::Running), "the replicas run on");

    let shown = host.get("/images/web").await?;
    let unavailable = &shown["last_pass"][format!("{which}_policy")]["unavailable"];
    anyhow::ensure!(unavailable["kind"] == kind.to_string(), "the API says `{kind}`: {shown:#}");
    let recorded = host.get("/images/web/decisions?limit=1").await?;
    let answer = &recorded["decisions"][0][which]["answer"]["unavailable"];
    anyhow::ensure!(answer["reason"] == unavailable["reason"], "the record has the same reason: {recorded:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serving_host_holds_every_hostile_policy_harmless() {
    let engine = Arc::new(PolicyEngine::new(PolicyLimits::default()).expect("an engine"));
    let compiler = Compiler::in_process();
    let (scaling, health) = built_in();
    let mut tried = 0;
    for hostile in hostile::all() {
        let (which, kind) = match hostile.expect {
            Expect::Scaling(kind, _) => ("scaling", kind),
            Expect::Health(kind, _) => ("health", kind),
            Expect::NotLoaded(_) | Expect::Configure(..) | Expect::Protect(..) | Expect::Harmless => continue,
        };
        let limits = Arc::new(hostile.expect.limits());
        let load = PolicyComponent::load_within(&engine, &compiler, &limits, None, Arc::from(hostile.bytes));
        let policy = Arc::new(load.await.expect(hostile.name));
        let host = match which {
            "scaling" => Host::begin(policy, Arc::clone(&health)).await,
            _ => Host::begin(Arc::clone(&scaling), policy).await,
        }
        .expect("a host");
        hold_harmless(&host, which, kind).await.expect(hostile.name);
        host.end().await.expect("it ends in order");
        tried += 1;
    }
    assert!(tried > 10, "the hostile components are there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serving_host_refuses_what_does_not_load_and_serves_on() {
    let engine = Arc::new(PolicyEngine::new(PolicyLimits::default()).expect("an engine"));
    let (scaling, health) = built_in();
    let host = Host::begin(scaling, health).await.expect("a host");
    host.controller.start(workload("web", 2, 5).expect("well formed")).await.expect("it starts");
    for hostile in hostile::all() {
        if let Expect::NotLoaded(part) = hostile.expect {
            let compiler = Compiler::in_process();
            let load = PolicyComponent::load(&engine, &compiler, None, Arc::from(hostile.bytes));
            let error = while_others_ask(host.address, load).await.expect(hostile.name).expect_err(hostile.name);
            assert!(error.to_string().contains(part), "{}: {error}", hostile.name);
        }
    }
    host.end().await.expect("it ends in order");
}

/// Returns another 64 KiB each time, and as many replicas as there are.
#[derive(Default)]
struct Forgetful {
    identity: PolicyIdentity,
    calls: AtomicU64,
}

#[async_trait]
impl ScalingPolicy for Forgetful {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn decide(&self, _: &str, _: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        // Three digits each.
        let memory = (0..64_u64 << 10).map(|at| 100 + u8::try_from((at + call) % 100).unwrap_or_default()).collect();
        let reason = format!("call {call}");
        Ok(ScalingDecision { replicas: 2, reason, memory, evaluate_after: None, parts: Vec::new() })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_of_decisions_comes_in_answers_of_16_mib() -> anyhow::Result<()> {
    let (_, health) = built_in();
    let host = Host::begin(Arc::<Forgetful>::default(), health).await?;
    let key = WorkloadKey::stored("web");
    host.controller.start(workload("web", 2, 5)?).await?;
    for _ in 0..40 {
        host.controller.reconcile(&key).await?;
    }
    let (mut ids, mut answers, mut before) = (Vec::new(), 0, String::new());
    loop {
        let answer = host.get(&format!("/images/web/decisions?limit=1000{before}")).await?;
        let decisions = answer["decisions"].as_array().context("a list")?;
        ids.extend(decisions.iter().map(|decision| decision["id"].as_i64().unwrap_or_default()));
        let memory = decisions[0]["scaling"]["answer"]["memory"].as_array().map(Vec::len);
        anyhow::ensure!(memory == Some(64 << 10), "the decisions are complete: {memory:?}");
        answers += 1;
        match answer["next"].as_i64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    // A decision has two memories of 256 KiB as text.
    anyhow::ensure!(answers == 2, "{answers} answers with {} decisions", ids.len());
    anyhow::ensure!(ids.len() > 40 && ids.is_sorted_by(|one, other| one > other), "each once, newest first: {ids:?}");
    let one = host.get(&format!("/decisions/{}", ids[0])).await?;
    anyhow::ensure!(one["id"] == ids[0], "the same decision");
    host.end().await
}

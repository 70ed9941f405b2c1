//! A control loop for the tests of handlers.

mod tasks;

pub(crate) use tasks::Tasks;

use async_trait::async_trait;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::contract::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use windlass_core::engine::{AnyEngine, EngineError};
use windlass_core::fixtures::workload;
use windlass_core::net::{Net, NetError, Reach, SourceRequest, SourceResponse};
use windlass_core::policy::{HealthPolicy, Policies, ScalingPolicy};
use windlass_core::settings::ControlSettings;
use windlass_core::store::Store;
use windlass_core::workload::Mode;
use windlass_core::{
    Declaration, DurationMs, FailureKind, HttpProbe, Metric, MetricSource, PolicyChoices, PolicyFailure,
    PolicyIdentity, Workload, WorkloadKey,
};
use windlass_network::NetClient;
use windlass_simulated_engine::{Call, SimulatedEngine};
use windlass_storage::SqliteStore;

/// A policy that never answers.
struct Silent(PolicyIdentity);

fn silence() -> PolicyFailure {
    PolicyFailure::new(FailureKind::Refused, "no opinion")
}

#[async_trait]
impl ScalingPolicy for Silent {
    fn identity(&self) -> &PolicyIdentity {
        &self.0
    }
    async fn decide(&self, _: &str, _: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        Err(silence())
    }
}

#[async_trait]
impl HealthPolicy for Silent {
    fn identity(&self) -> &PolicyIdentity {
        &self.0
    }
    async fn evaluate(&self, _: &str, _: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        Err(silence())
    }
}

/// A network without anybody.
struct Nobody;

#[async_trait]
impl Net for Nobody {
    async fn http_probe(&self, _: SocketAddr, _: &HttpProbe, _: Duration) -> Result<DurationMs, NetError> {
        Err(nobody())
    }
    async fn tcp_connect(&self, _: SocketAddr, _: bool, _: Duration) -> Result<DurationMs, NetError> {
        Err(nobody())
    }
    async fn query_source(&self, _: &SourceRequest<'_>, _: u64, _: Duration) -> Result<SourceResponse, NetError> {
        Err(nobody())
    }
    async fn post_json(&self, _: &str, _: Reach, _: &serde_json::Value, _: Duration) -> Result<(), NetError> {
        Err(nobody())
    }
}

fn nobody() -> NetError {
    NetError::Failed("nobody is there".to_owned())
}

/// A control loop without workloads, on a simulated engine, with policies that never answer.
pub(crate) fn idle_controller() -> Controller {
    controller(NetClient::new().expect("TLS is set up"))
}

/// As [`idle_controller`], without a network.
pub(crate) fn isolated_controller() -> Controller {
    controller(Arc::new(Nobody))
}

/// As [`isolated_controller`], with its engine.
pub(crate) fn controller_and_engine() -> (Controller, SimulatedEngine) {
    let engine = engine();
    (controller_on(engine.clone(), Arc::new(Nobody)), engine)
}

/// An engine without containers. It never lists services with labels, so an adopted workload stays as it was stored.
pub(crate) fn engine() -> SimulatedEngine {
    let engine = SimulatedEngine::new(|| Clock::System.now(), Duration::ZERO);
    engine.fail(Call::Declared, vec![EngineError::Unreadable("the test lists none".to_owned()); 1_000]);
    engine
}

/// As [`isolated_controller`], on an engine, with workloads that were stored before it began.
pub(crate) fn controller_with(engine: AnyEngine, workloads: &[Workload]) -> Controller {
    begin(engine, Arc::new(Nobody), workloads)
}

/// A workload that labels declare, with the push metric `queue`.
pub(crate) fn adopted(declaration: Declaration, mode: Mode) -> Workload {
    let key = match &declaration {
        Declaration::Compose { project, service } => format!("{project}-{service}"),
        Declaration::Swarm { service } => service.clone(),
        Declaration::Api => panic!("no labels declare it"),
    };
    let queue = Metric {
        source: MetricSource::Push,
        interval: Metric::INTERVAL,
        timeout: Metric::TIMEOUT,
        max_age: Metric::usual_max_age(Metric::INTERVAL),
        allow_negative: false,
    };
    Workload {
        key: WorkloadKey::named(&key).expect("a name"),
        declaration,
        policies: PolicyChoices { mode: Some(mode), ..PolicyChoices::default() },
        metrics: [("queue".to_owned(), queue)].into(),
        ..workload("web:1", 1, 3)
    }
}

/// The service `web` of the project `shop`.
pub(crate) fn compose() -> Declaration {
    Declaration::Compose { project: "shop".to_owned(), service: "web".to_owned() }
}

fn controller(net: Arc<dyn Net>) -> Controller {
    controller_on(engine(), net)
}

fn controller_on(engine: SimulatedEngine, net: Arc<dyn Net>) -> Controller {
    begin(Arc::new(engine).into(), net, &[])
}

fn begin(engine: AnyEngine, net: Arc<dyn Net>, workloads: &[Workload]) -> Controller {
    let silent = || {
        Arc::new(Silent(PolicyIdentity {
            name: "silent".into(),
            version: "0.0.0".into(),
            digest: "sha256:0".into(),
            ..Default::default()
        }))
    };
    let directory = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&directory.path().join("data"), 10).expect("a store");
    for workload in workloads {
        store.save_workload(workload, workload.bounds.initial()).expect("stored");
    }
    Controller::begin(Parts {
        engine,
        store: Arc::new(store),
        policies: Arc::new(Policies::plain(silent(), silent())),
        net,
        host_name: "here".to_owned(),
        settings: ControlSettings::default(),
        clock: Clock::System,
    })
    .expect("the store is read")
}

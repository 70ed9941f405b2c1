//! A control loop for the tests of handlers.

use async_trait::async_trait;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::contract::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use windlass_core::net::{Net, NetError, Reach, SourceRequest, SourceResponse};
use windlass_core::policy::{HealthPolicy, Policies, ScalingPolicy};
use windlass_core::settings::ControlSettings;
use windlass_core::{DurationMs, FailureKind, HttpProbe, PolicyFailure, PolicyIdentity};
use windlass_network::NetClient;
use windlass_simulated_engine::SimulatedEngine;
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
    let engine = SimulatedEngine::new(|| Clock::System.now(), Duration::ZERO);
    (controller_on(engine.clone(), Arc::new(Nobody)), engine)
}

fn controller(net: Arc<dyn Net>) -> Controller {
    controller_on(SimulatedEngine::new(|| Clock::System.now(), Duration::ZERO), net)
}

fn controller_on(engine: SimulatedEngine, net: Arc<dyn Net>) -> Controller {
    let silent = || {
        Arc::new(Silent(PolicyIdentity {
            name: "silent".into(),
            version: "0.0.0".into(),
            digest: "sha256:0".into(),
            ..Default::default()
        }))
    };
    let directory = tempfile::tempdir().expect("a folder");
    Controller::begin(Parts {
        engine: Arc::new(engine).into(),
        store: Arc::new(SqliteStore::open(&directory.path().join("data"), 10).expect("a store")),
        policies: Arc::new(Policies::plain(silent(), silent())),
        net,
        host_name: "here".to_owned(),
        settings: ControlSettings::default(),
        clock: Clock::System,
    })
    .expect("an empty store is read")
}

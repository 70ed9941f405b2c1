//! A control loop for the tests of those who only read it.

use super::clock::Clock;
use super::{Controller, Parts};
use crate::model::facts::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use crate::model::settings::ControlSettings;
use crate::model::{FailureKind, PolicyFailure, PolicyIdentity};
use crate::net::client::NetClient;
use crate::policy::Policies;
use crate::policy::{HealthPolicy, ScalingPolicy};
use crate::runtime::sim::SimRuntime;
use crate::store::sqlite::SqliteStore;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Never has an opinion.
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

/// A loop with no workload yet, on a simulated engine, with policies that never have an opinion.
pub fn idle_controller() -> Controller {
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
        runtime: Arc::new(SimRuntime::new(|| Clock::System.now(), Duration::ZERO)),
        store: Arc::new(SqliteStore::open(directory.path(), 10).expect("a store")),
        policies: Arc::new(Policies::plain(silent(), silent())),
        net: NetClient::new().expect("TLS is set up"),
        host_name: "here".to_owned(),
        settings: ControlSettings::default(),
        clock: Clock::System,
    })
    .expect("an empty store is read")
}

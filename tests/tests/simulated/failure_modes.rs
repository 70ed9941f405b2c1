//! Failures of other autoscalers that no other test reproduces; `documents/failure_modes.rs` has the whole table.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::contract::{ScalingDecision, ScalingObservation, Usage};
use windlass_core::policy::{Policies, PolicySource, ScalingPolicy};
use windlass_core::settings::ControlSettings;
use windlass_core::store::{DecisionQuery, StoredDecision};
use windlass_core::workload::Bounds;
use windlass_core::{PolicyChoice, PolicyFailure, PolicyIdentity, Timestamp};
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;
use windlass_tests::no_network::Nobody;
use windlass_tests::policies::{built_in, registry, turn};
use windlass_tests::workloads::workload;

/// The default policy, with a switch that makes it panic in the host, outside its sandbox.
struct Panicking {
    real: Arc<dyn ScalingPolicy>,
    panics: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl ScalingPolicy for Panicking {
    fn identity(&self) -> &PolicyIdentity {
        self.real.identity()
    }
    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        assert!(!self.panics.load(Ordering::SeqCst), "the test makes it panic");
        self.real.decide(config, observation).await
    }
}

/// A controller on a simulated engine in simulated time.
struct Host {
    engine: SimulatedEngine,
    controller: Controller,
    _directory: tempfile::TempDir,
}

impl Host {
    fn begin(policies: Arc<dyn PolicySource>) -> anyhow::Result<Self> {
        let clock = Clock::simulated(Timestamp(1_700_000_000_000));
        let engine = SimulatedEngine::new(move || clock.now(), Duration::from_millis(500));
        let directory = tempfile::tempdir()?;
        let controller = Controller::begin(Parts {
            engine: Arc::new(engine.clone()).into(),
            store: Arc::new(SqliteStore::open(&directory.path().join("data"), 1_000)?),
            policies,
            net: Arc::new(Nobody),
            host_name: "here".to_owned(),
            settings: ControlSettings::default(),
            clock,
        })?;
        Ok(Self { engine, controller, _directory: directory })
    }
}

/// After one error a policy was never evaluated again, and nothing reported it (Nomad Autoscaler #1334). Here every pass
/// panics from the first on. Readiness names the workload; when the fault is gone, the passes continue by themselves.
#[tokio::test(start_paused = true)]
async fn a_pass_that_panics_is_told_and_tried_again() -> anyhow::Result<()> {
    let _turn = turn().await;
    let panics = Arc::new(AtomicBool::new(true));
    let (real, health) = built_in();
    let policy = Panicking { real, panics: Arc::clone(&panics) };
    let Host { controller, .. } = &Host::begin(Arc::new(Policies::plain(Arc::new(policy), health)))?;
    let (starting, wanted) = (controller.clone(), workload("web:1", 1, 10)?);
    let key = wanted.key.clone();
    let start = tokio::spawn(async move { starting.start(wanted).await });
    tokio::time::sleep(ControlSettings::default().interval * 5).await;
    assert_eq!(controller.readiness().late, [key.to_string()]);
    assert!(controller.view(&key).is_some_and(|view| view.last_pass.is_none()));
    panics.store(false, Ordering::SeqCst);
    // The first pass that ends answers the request that has waited since the beginning.
    assert!(start.await??.created);
    assert!(controller.readiness().late.is_empty());
    controller.shut_down().await;
    Ok(())
}

/// An update's own load ended each update with more replicas (Kubernetes #72775). Here each of four replicas is replaced
/// in turn, and a new one is at its limit for its first 25 seconds. A replica that warms up adds no load, and the count
/// derives from the replicas wanted.
#[tokio::test(start_paused = true)]
async fn replicas_replaced_one_after_another_end_as_many_as_they_were() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin(registry())?;
    let mut wanted = workload("web:1", 1, 10)?;
    let key = wanted.key.clone();
    wanted.bounds = Bounds::new(4, 10)?;
    let config = r#"{"metrics": [{"name": "cpu-utilization", "target": 0.6}]}"#;
    wanted.policies.scaling = vec![PolicyChoice { name: "target-tracking".to_owned(), config: config.to_owned() }];
    let uses = |cpu_cores| Usage {
        at: Timestamp(0),
        cpu_cores,
        memory_bytes: 1 << 20,
        network_receive_rate: 0.0,
        network_transmit_rate: 0.0,
        network_is_unknown: false,
    };
    host.engine.set_load(&key, uses(0.06));
    host.engine.set_starting_load(&key, Duration::from_secs(25), uses(0.1));
    host.controller.start(wanted).await?;
    let settled = Duration::from_secs(120);
    tokio::time::sleep(settled).await;
    let before = host.engine.replicas(&key);
    assert_eq!(before.len(), 4);
    for old in &before {
        host.controller.remove(&old.name, true).await?;
        // The next one is replaced while this one still warms up.
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    tokio::time::sleep(settled).await;
    let after = host.engine.replicas(&key);
    assert!(after.len() == 4 && before.iter().all(|old| after.iter().all(|new| new.id != old.id)), "{after:?}");
    let page = host.controller.decisions(&key, DecisionQuery::newest(1_000)).await?;
    let decisions: Vec<_> = page.decisions.iter().map(StoredDecision::record).collect::<Result<_, _>>()?;
    // The policy was called throughout, and the load it observed was above its target.
    let seen = decisions.iter().filter_map(|decision| decision.body["reason"].as_str()).collect::<Vec<_>>();
    assert!(decisions.iter().all(|decision| decision.body["target"] == 4), "{seen:#?}");
    let shown = decisions.iter().flat_map(|decision| {
        decision.body["scaling"]["observation"]["metrics"].as_array().cloned().unwrap_or_default()
    });
    let highest =
        shown.filter_map(|series| series["samples"].as_array()?.last()?["value"].as_f64()).fold(0.0, f64::max);
    assert!(highest > 0.9, "the policy observed a replica at its limit: the highest value is {highest}");
    host.controller.shut_down().await;
    Ok(())
}

/// Everything was evaluated at the same moment (the splay of Nomad Autoscaler prevents it). Here an engine comes back to
/// two hundred workloads. Each workload has its own offset within a tenth of the interval, and then its own interval.
#[tokio::test(start_paused = true)]
async fn when_the_engine_comes_back_workloads_are_looked_at_one_after_another() -> anyhow::Result<()> {
    let _turn = turn().await;
    const WORKLOADS: usize = 200;
    let (scaling, health) = built_in();
    let host = Host::begin(Arc::new(Policies::plain(scaling, health)))?;
    for number in 0..WORKLOADS {
        host.controller.start(workload(&format!("service-{number}:1"), 1, 10)?).await?;
    }
    let interval = ControlSettings::default().interval;
    host.engine.set_down(Some("connection refused"));
    tokio::time::sleep(interval * 2).await;
    host.engine.set_down(None);
    let back = tokio::time::Instant::now();
    let mut crowds = Vec::new();
    for within in [interval / 10, interval * 4] {
        tokio::time::sleep_until(back + within + Duration::from_millis(100)).await;
        let mut passes: BTreeMap<u64, usize> = BTreeMap::new();
        for view in host.controller.views() {
            let pass = view.last_pass.context("each had a pass")?;
            anyhow::ensure!(pass.error.is_none(), "{}: {:?}", view.workload.key, pass.error);
            // Spans of 50 ms: a tenth of the interval has 30.
            *passes.entry(pass.at.0 / 50).or_default() += 1;
        }
        crowds.push((passes.len(), passes.values().copied().max().unwrap_or_default()));
    }
    for (spans, most) in crowds.iter().copied() {
        assert!(spans >= 25 && most <= WORKLOADS / 10, "(spans, most in one): {crowds:?}");
    }
    host.controller.shut_down().await;
    Ok(())
}

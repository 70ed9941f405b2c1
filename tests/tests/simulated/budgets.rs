//! A policy that keeps the host busy with itself: what it causes and what it stores is bounded.

use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::contract::{ScalingDecision, ScalingObservation};
use windlass_core::policy::{Policies, ScalingPolicy};
use windlass_core::settings::{ControlSettings, StoreLimits};
use windlass_core::store::DecisionQuery;
use windlass_core::{PolicyFailure, PolicyIdentity, Timestamp};
use windlass_network::NetClient;
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;
use windlass_tests::policies::{built_in, turn};
use windlass_tests::workloads::workload;

/// Returns another 64 KiB and another reason each time, and requests the next evaluation at once.
#[derive(Default)]
struct Restless(PolicyIdentity);

#[async_trait]
impl ScalingPolicy for Restless {
    fn identity(&self) -> &PolicyIdentity {
        &self.0
    }

    async fn decide(&self, _: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        let memory = observation.now.0.to_le_bytes().repeat(8 << 10);
        let reason = format!("it is {}", observation.now);
        Ok(ScalingDecision { replicas: 1, reason, memory, evaluate_after: Some(0), parts: Vec::new() })
    }
}

#[tokio::test(start_paused = true)]
async fn a_restless_policy_causes_and_stores_no_more_than_its_budgets() -> anyhow::Result<()> {
    const MINUTES: u32 = 10;
    let _turn = turn().await;
    let clock = Clock::simulated(Timestamp(1_767_225_600_000));
    let directory = tempfile::tempdir()?;
    let limits = StoreLimits { daily_bytes: 2 << 20, ..StoreLimits::default() };
    let (_, health) = built_in();
    let controller = Controller::begin(Parts {
        engine: Arc::new(SimulatedEngine::new(move || clock.now(), Duration::from_millis(500))).into(),
        store: Arc::new(SqliteStore::open(&directory.path().join("data"), 1_000)?.with_limits(limits)),
        policies: Arc::new(Policies::plain(Arc::<Restless>::default(), health)),
        net: NetClient::new()?,
        host_name: "here".to_owned(),
        settings: ControlSettings::default(),
        clock,
    })?;
    let web = workload("web:1", 1, 1)?;
    let key = web.key.clone();
    controller.start(web).await?;
    tokio::time::sleep(Duration::from_secs(60) * MINUTES).await;

    // 60 passes in a row, then one each 5 s. Without a budget there are 600.
    let passes = controller.view(&key).map(|view| view.counters.passes).unwrap_or_default();
    assert!((120..=200).contains(&passes), "{passes} passes");
    let page = controller.decisions(&key, DecisionQuery::newest(1_000)).await?;
    assert!(page.decisions.len() as u64 + 5 > passes, "each is recorded: {} of {passes}", page.decisions.len());
    let newest = page.decisions[0].record()?;
    assert!(newest.body["reason"].as_str().is_some_and(|reason| reason.contains("it is ")), "{}", newest.body);
    assert_eq!(newest.body["omitted"][0]["limit"], "store.daily_bytes");
    let oldest = page.decisions[page.decisions.len() - 2].record()?;
    assert_eq!(oldest.body["scaling"]["answer"]["memory"].as_array().map(Vec::len), Some(64 << 10));
    // As text, the memories alone would have had 30 MB.
    let size = controller.store_size().await?;
    assert!(size.used_bytes < 6 << 20, "{size:?}");
    controller.shut_down().await;
    Ok(())
}

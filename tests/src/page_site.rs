//! Windlass with its page on a simulated engine, served on a port, with a day of history if a test wants one.

use crate::no_network::Nobody;
use crate::policies::{compiler, unhurried};
use crate::workloads::workload;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use windlass_api::ApiState;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::access::{AccessStore, TokenRecord};
use windlass_core::contract::Sample;
use windlass_core::metric::{Metric, MetricSource, SampleChange};
use windlass_core::policy::PolicyCatalogue;
use windlass_core::settings::{ApiSettings, ControlSettings};
use windlass_core::store::{NewDecision, SeriesChanges, Store};
use windlass_core::{History, PolicyChoice, Timestamp, Workload, WorkloadKey};
use windlass_discovery::Discovery;
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;

/// The served page.
pub struct PageSite {
    /// Of the first page.
    pub url: String,
    /// The engine that it shows.
    pub engine: SimulatedEngine,
    /// The controller of the workloads.
    pub controller: Controller,
    store: Arc<SqliteStore>,
    /// The server ends with it.
    _stop: oneshot::Sender<()>,
    _directory: tempfile::TempDir,
}

impl PageSite {
    /// A site without workloads.
    ///
    /// # Errors
    /// No port or no folder is free.
    pub async fn empty() -> anyhow::Result<Self> {
        Self::begin(&[], None, &[]).await
    }

    /// A site whose workload `shop` has a day of history.
    ///
    /// # Errors
    /// No port or no folder is free.
    pub async fn with_history() -> anyhow::Result<Self> {
        Self::begin(&[shop()?], None, &[]).await
    }

    /// A site whose callers need a token.
    ///
    /// # Errors
    /// No port or no folder is free.
    pub async fn with_token(token: &str) -> anyhow::Result<Self> {
        Self::begin(&[], Some(token), &[]).await
    }

    /// As [`PageSite::with_token`], and other tokens are in the store already.
    ///
    /// # Errors
    /// No port or no folder is free, or two tokens have the same identifier.
    pub async fn with_tokens(token: &str, others: &[TokenRecord]) -> anyhow::Result<Self> {
        Self::begin(&[], Some(token), others).await
    }

    /// The tokens in the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn tokens(&self) -> anyhow::Result<Vec<TokenRecord>> {
        Ok(self.store.tokens()?)
    }

    async fn begin(stored: &[Workload], token: Option<&str>, others: &[TokenRecord]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let clock = Clock::System;
        let engine = SimulatedEngine::new(move || clock.now(), Duration::ZERO);
        let store = SqliteStore::open(&directory.path().join("data"), 2_000)?;
        for workload in stored {
            store.save_workload(workload, 3)?;
            record_a_day(&store, &workload.key, clock.now())?;
        }
        for token in others {
            store.add_token(token)?;
        }
        let store = Arc::new(store);
        let policies = directory.path().join("policies");
        let registry = PolicyRegistry::open(unhurried(), compiler(), Defaults::default(), Some(&policies)).await?;
        let registry = Arc::new(registry);
        let controller = Controller::begin(Parts {
            engine: Arc::new(engine.clone()).into(),
            store: Arc::<SqliteStore>::clone(&store),
            policies: Arc::<PolicyRegistry>::clone(&registry),
            net: Arc::new(Nobody),
            host_name: "here".to_owned(),
            settings: ControlSettings { interval: Duration::from_secs(5), ..ControlSettings::default() },
            clock,
        })?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let settings = ApiSettings { upload_bytes: 1 << 20, token: token.map(str::to_owned), ..ApiSettings::default() };
        let catalogue: Arc<dyn PolicyCatalogue> = Arc::<PolicyRegistry>::clone(&registry);
        let discovery = Discovery::new(controller.clone(), None);
        let state = ApiState::new(controller.clone(), catalogue, discovery, Arc::new(settings.clone()));
        let state = state.with_tokens(Arc::<SqliteStore>::clone(&store))?;
        let router = windlass_page::router(state, registry);
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move {
            let ended = async move { drop(stopped.await) };
            windlass_api::serve(listener, router, &settings, ended).await.expect("it serves");
        });
        Ok(Self { url, engine, controller, store, _stop: stop, _directory: directory })
    }

    /// Starts a workload.
    ///
    /// # Errors
    /// The name, the minimum or the maximum is invalid, or another workload has the name.
    pub async fn start(&self, name: &str, min: u32, max: u32) -> anyhow::Result<WorkloadKey> {
        let key = WorkloadKey::named(name)?;
        self.controller.start(Workload { key: key.clone(), ..workload("web:1", min, max)? }).await?;
        Ok(key)
    }

    /// The URL of the page of a workload.
    #[must_use]
    pub fn workload(&self, name: &str) -> String {
        format!("{}/ui/workloads/{name}", self.url)
    }
}

/// A workload that follows its queue of orders.
fn shop() -> anyhow::Result<Workload> {
    let orders = Metric {
        source: MetricSource::Push,
        interval: Metric::INTERVAL,
        timeout: Metric::TIMEOUT,
        max_age: Duration::from_secs(86_400),
        allow_negative: false,
    };
    let mut shop = Workload { key: WorkloadKey::named("shop")?, ..workload("shop:2", 2, 12)? };
    shop.metrics = [("orders".to_owned(), orders)].into();
    shop.policies.scaling = vec![PolicyChoice { name: "target-tracking".to_owned(), config: TRACKING.to_owned() }];
    Ok(shop)
}

/// A replica serves 100 orders.
pub const TRACKING: &str = r#"{"metrics": [{"name": "orders", "target": 100, "kind": "total"}]}"#;

/// Orders over a day: a wave with a peak. `minute` counts back from now.
fn orders(minute: u64) -> f64 {
    let wave = (minute as f64 / 1_440.0 * std::f64::consts::TAU * 2.0).sin();
    (500.0 + 350.0 * wave + (minute % 7) as f64 * 8.0).round()
}

/// Records orders, ready replicas and CPU use of a day, and a decision for each change.
fn record_a_day(store: &SqliteStore, key: &WorkloadKey, now: Timestamp) -> anyhow::Result<()> {
    let minutes: Vec<(Timestamp, f64)> =
        (1..1_440).rev().map(|minute| (now.minus(Duration::from_secs(minute * 60)), orders(minute))).collect();
    // The replicas follow an hour late, so that there is something to improve.
    let late = |index: usize| (minutes[index.saturating_sub(60)].1 / 100.0).ceil().clamp(2.0, 12.0);
    let series = |name: &str, value: &dyn Fn(usize) -> f64| SeriesChanges {
        key: key.clone(),
        name: name.to_owned(),
        changes: (minutes.iter().enumerate())
            .map(|(index, (at, _))| SampleChange::Put(Sample { at: *at, value: value(index) }))
            .collect(),
        oldest: Timestamp(0),
    };
    let all = [
        series("orders", &|index| minutes[index].1),
        series("ready-replicas", &late),
        series("cpu-utilization", &|index| (minutes[index].1 / 100.0 / late(index)).min(1.0)),
    ];
    store.save_samples(&all, Timestamp(0))?;
    let mut last = 0.0;
    for (index, (at, orders)) in minutes.iter().enumerate() {
        let target = late(index);
        if target.total_cmp(&last).is_ne() {
            store.save_pass(key, &History::default(), Some(&decision(*at, *orders, target)), *at)?;
            last = target;
        }
    }
    Ok(())
}

fn decision(at: Timestamp, orders: f64, target: f64) -> NewDecision {
    let raw = (orders / 100.0).ceil();
    let replica = json!({"phase": "running", "health": "healthy", "id": "a"});
    let replicas: Vec<Value> = (0..target as usize).map(|_| replica.clone()).collect();
    let policy =
        json!({"name": "target-tracking", "version": "1.0.0", "digest": "sha256:0123456789abcdef", "revision": 0});
    let body = json!({
        "target": target as u64,
        "reason": format!("`target-tracking` proposed {raw}: {orders} orders at 100 a replica"),
        "stages": {"raw": raw as u64, "stabilized": target as u64, "limited": target as u64, "bounded": target as u64},
        "held_by": if raw < target { json!("window") } else { Value::Null },
        "overrides": {"paused": false, "freeze_scale_up": false, "freeze_scale_down": false, "force": null},
        "steps": [], "deferred": [], "alerts": [], "recommended": null, "actions": [],
        "health": {"policy": policy.clone(), "config": {}, "observation": {}, "answer": {}},
        "scaling": {
            "policy": policy,
            "config": {},
            "observation": {"replicas": replicas, "metrics": [
                {"name": "orders", "replica": null, "samples": [{"at": at, "value": orders}], "failure": null},
            ]},
            "answer": {"replicas": raw as u64, "reason": format!("{orders} orders at 100 a replica")},
        },
    });
    NewDecision::new(at, body)
}

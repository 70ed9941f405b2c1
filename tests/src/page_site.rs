//! Windlass with its page on a simulated engine, served on a port, with a day of history if a test wants one.

use crate::no_network::Nobody;
use crate::policies::{compiler, unhurried};
use crate::workloads::workload;
use axum::Router;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use windlass_api::{ApiState, Listeners, Tls};
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::access::{AccessStore, TokenRecord};
use windlass_core::contract::Sample;
use windlass_core::metric::{Metric, MetricSource, SampleChange};
use windlass_core::policy::PolicyCatalogue;
use windlass_core::series::{Band, BandKind};
use windlass_core::settings::{
    ApiSettings, ControlSettings, HttpGrant, NamedPolicy, PolicyLimits, PolicySettings, TlsFiles,
};
use windlass_core::store::{NewDecision, SeriesChanges, Store};
use windlass_core::{History, PolicyChoice, Timestamp, Workload, WorkloadKey};
use windlass_discovery::Discovery;
use windlass_network::certificates::Certificates;
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
    /// Its policies. One with the name [`ASKER`] may send requests.
    pub policies: Arc<PolicyRegistry>,
    store: Arc<SqliteStore>,
    address: SocketAddr,
    router: Router,
    settings: ApiSettings,
    tls: Option<Tls>,
    /// The server ends with it. `None` while the site does not answer.
    server: Option<Server>,
    _directory: tempfile::TempDir,
}

/// A server, and its end.
struct Server {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

/// The name of the policy that may send requests.
pub const ASKER: &str = "asker";

/// The workloads that a site begins with, and the callers that it admits.
#[derive(Default)]
struct Beginning<'a> {
    shop: bool,
    /// The workloads with an hour of history.
    services: usize,
    token: Option<&'a str>,
    /// Tokens that are in the store already.
    others: &'a [TokenRecord],
    tls: Option<Tls>,
}

impl PageSite {
    /// A site without workloads.
    ///
    /// # Errors
    /// No port or no folder is free.
    pub async fn empty() -> anyhow::Result<Self> {
        Self::begin(Beginning::default()).await
    }

    /// A site whose workload `shop` has a day of history.
    ///
    /// # Errors
    /// No port or no folder is free.
    pub async fn with_history() -> anyhow::Result<Self> {
        Self::begin(Beginning { shop: true, ..Beginning::default() }).await
    }

    /// A site with this many workloads of two replicas, each with an hour of history.
    ///
    /// # Errors
    /// No port or no folder is free.
    pub async fn with_services(services: usize) -> anyhow::Result<Self> {
        Self::begin(Beginning { services, ..Beginning::default() }).await
    }

    /// A site whose callers need a token.
    ///
    /// # Errors
    /// No port or no folder is free.
    pub async fn with_token(token: &str) -> anyhow::Result<Self> {
        Self::begin(Beginning { token: Some(token), ..Beginning::default() }).await
    }

    /// As [`PageSite::with_token`], and other tokens are in the store already.
    ///
    /// # Errors
    /// No port or no folder is free, or two tokens have the same identifier.
    pub async fn with_tokens(token: &str, others: &[TokenRecord]) -> anyhow::Result<Self> {
        Self::begin(Beginning { token: Some(token), others, ..Beginning::default() }).await
    }

    /// The tokens in the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn tokens(&self) -> anyhow::Result<Vec<TokenRecord>> {
        Ok(self.store.tokens()?)
    }

    /// A site that speaks HTTPS, and whose callers need a token.
    ///
    /// # Errors
    /// No port or no folder is free, or this machine has no random bytes.
    pub async fn with_tls(token: &str) -> anyhow::Result<Self> {
        let names = ["127.0.0.1".to_owned()];
        let issued = Certificates::issue("a lab", &names, Clock::System.now(), 1).map_err(anyhow::Error::msg)?;
        let tls = Tls::from_pem(&issued.certificate, issued.key.reveal()).map_err(anyhow::Error::msg)?;
        Self::begin(Beginning { token: Some(token), tls: Some(tls), ..Beginning::default() }).await
    }

    async fn begin(beginning: Beginning<'_>) -> anyhow::Result<Self> {
        let Beginning { shop: has_shop, services, token, others, tls } = beginning;
        let directory = tempfile::tempdir()?;
        let clock = Clock::System;
        let engine = SimulatedEngine::new(move || clock.now(), Duration::ZERO);
        let store = SqliteStore::open(&directory.path().join("data"), 2_000)?;
        if has_shop {
            let shop = shop()?;
            store.save_workload(&shop, 3)?;
            record_a_day(&store, &shop.key, clock.now())?;
        }
        for index in 0..services {
            let key = WorkloadKey::named(&format!("service-{index:03}"))?;
            store.save_workload(&Workload { key: key.clone(), ..workload("web:1", 1, 5)? }, 2)?;
            record_an_hour(&store, &key, index, clock.now())?;
        }
        for token in others {
            store.add_token(token)?;
        }
        let store = Arc::new(store);
        let policies = directory.path().join("policies");
        let registry = PolicyRegistry::open(limits()?, compiler(), Defaults::default(), Some(&policies)).await?;
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
        let settings = ApiSettings {
            upload_bytes: 1 << 20,
            token: token.map(str::to_owned),
            // The files are those of another place: the server has the certificate itself.
            tls: tls.as_ref().map(|_| TlsFiles { certificate: "c.pem".into(), key: "k.pem".into() }),
            // The streams of a page last as long as the page.
            shutdown_grace: Duration::from_millis(100),
            ..ApiSettings::default()
        };
        let catalogue: Arc<dyn PolicyCatalogue> = Arc::<PolicyRegistry>::clone(&registry);
        let discovery = Discovery::new(controller.clone(), None);
        let state = ApiState::new(controller.clone(), catalogue, discovery, Arc::new(settings.clone()));
        let state = state.with_tokens(Arc::<SqliteStore>::clone(&store))?;
        let router = windlass_page::router(state, Arc::<PolicyRegistry>::clone(&registry));
        let mut site = Self {
            url: String::new(),
            engine,
            controller,
            policies: registry,
            store,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            router,
            settings,
            tls,
            server: None,
            _directory: directory,
        };
        site.answer().await?;
        let scheme = if site.tls.is_some() { "https" } else { "http" };
        site.url = format!("{scheme}://{}", site.address);
        Ok(site)
    }

    /// Serves the site, at the same address if it was served before.
    ///
    /// # Errors
    /// The address is in use.
    pub async fn answer(&mut self) -> anyhow::Result<()> {
        let tcp = TcpListener::bind(self.address).await?;
        self.address = tcp.local_addr()?;
        let listeners = Listeners { tcp: Some(tcp), tls: self.tls.clone(), ..Listeners::default() };
        let (router, settings) = (self.router.clone(), self.settings.clone());
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            windlass_api::serve(listeners, router, &settings, stopped).await.expect("it serves");
        });
        self.server = Some(Server { stop, ended });
        Ok(())
    }

    /// Ends the connections of the site, and accepts no others.
    ///
    /// # Errors
    /// The server panicked.
    pub async fn fall_silent(&mut self) -> anyhow::Result<()> {
        let Some(Server { stop, ended }) = self.server.take() else { return Ok(()) };
        drop(stop);
        Ok(ended.await?)
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

/// The limits of the policies: one of them may send requests, to an address where nobody listens.
fn limits() -> anyhow::Result<PolicySettings> {
    let grant = HttpGrant { hosts: vec!["http://127.0.0.1:1".parse()?], ..HttpGrant::default() };
    let limits = PolicyLimits { http: Some(grant), ..unhurried() };
    let named = [(ASKER.to_owned(), NamedPolicy { source: None, limits })].into();
    Ok(PolicySettings { named, ..unhurried().into() })
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
    record_bands(store, key, now)?;
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

/// Records the bands of a day: one of each kind.
fn record_bands(store: &SqliteStore, key: &WorkloadKey, now: Timestamp) -> anyhow::Result<()> {
    let band = |kind, hours: u64, lasts: u64, text: &str| {
        let since = now.minus(Duration::from_secs(hours * 3_600));
        Band { kind, since, until: Some(since.plus(Duration::from_secs(lasts * 60))), text: text.to_owned() }
    };
    let bands = [
        band(BandKind::Rollout, 20, 70, "generation 2 is rolled out"),
        band(BandKind::Override, 14, 180, "scaling is paused"),
        band(BandKind::Outage, 9, 25, "no replica serves; the target is 4"),
        band(BandKind::Blind, 4, 40, "the engine could not be observed: no socket"),
    ];
    Ok(store.save_bands(key, &bands)?)
}

/// Records the ready replicas of an hour, which change every few minutes.
fn record_an_hour(store: &SqliteStore, key: &WorkloadKey, index: usize, now: Timestamp) -> anyhow::Result<()> {
    let at = |step: usize| now.minus(Duration::from_secs(15 * (240 - step as u64)));
    let ready = |step: usize| if ((step + index) / 20).is_multiple_of(2) { 2.0 } else { 1.0 };
    let changes = (0..240).map(|step| SampleChange::Put(Sample { at: at(step), value: ready(step) })).collect();
    let series = SeriesChanges { key: key.clone(), name: "ready-replicas".to_owned(), changes, oldest: Timestamp(0) };
    Ok(store.save_samples(&[series], Timestamp(0))?)
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

//! Requests and passes on the simulated engine, while the store fails or is slow, the engine refuses, or Windlass shuts down.

use super::faulty_store::{FaultyStore, Write, full};
use anyhow::Context as _;
use futures_util::FutureExt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::events::{EventFilter, EventKind};
use windlass_control::{ControlError, Controller, Parts, WorkloadView};
use windlass_core::engine::EngineError;
use windlass_core::net::{Net, NetError, Reach, SourceRequest, SourceResponse};
use windlass_core::policy::Policies;
use windlass_core::settings::ControlSettings;
use windlass_core::store::{DecisionQuery, StoreError, StoredDecision};
use windlass_core::workload::DesiredStatus;
use windlass_core::{
    Credentials, DurationMs, HttpProbe, Metric, MetricSource, Replica, SourceUrl, Timestamp, Workload, WorkloadKey,
};
use windlass_simulated_engine::{Call, SimulatedEngine};
use windlass_tests::no_network::Nobody;
use windlass_tests::policies::{built_in, turn};
use windlass_tests::wait::{eventually, throughout};
use windlass_tests::workloads::workload;

/// Time limit of a wait, in simulated time.
const LIMIT: Duration = Duration::from_secs(120);

/// Time, not simulated, for which a write waits for a later one that may overtake it.
const OVERTAKEN_WITHIN: Duration = Duration::from_millis(300);

/// A controller on a simulated engine in simulated time.
struct Host {
    engine: SimulatedEngine,
    controller: Controller,
    _directory: tempfile::TempDir,
}

impl Host {
    /// A host whose store works.
    fn begin(net: Arc<dyn Net>) -> anyhow::Result<Self> {
        Self::with_store(net, |_| Ok(()), |_| {})
    }

    fn with_store(
        net: Arc<dyn Net>,
        before: impl Fn(Write) -> Result<(), StoreError> + Send + Sync + 'static,
        after: impl Fn(Write) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let clock = Clock::simulated(Timestamp(1_700_000_000_000));
        let engine = SimulatedEngine::new(move || clock.now(), Duration::from_millis(500));
        let directory = tempfile::tempdir()?;
        let (scaling, health) = built_in();
        let controller = Controller::begin(Parts {
            engine: Arc::new(engine.clone()).into(),
            store: Arc::new(FaultyStore::open(&directory.path().join("data"), before, after)?),
            policies: Arc::new(Policies::plain(scaling, health)),
            net,
            host_name: "here".to_owned(),
            settings: ControlSettings::default(),
            clock,
        })?;
        Ok(Self { engine, controller, _directory: directory })
    }

    /// Starts a workload, and returns its key.
    async fn start(&self, workload: Workload) -> anyhow::Result<WorkloadKey> {
        let key = workload.key.clone();
        self.controller.start(workload).await?;
        Ok(key)
    }

    fn view(&self, key: &WorkloadKey) -> WorkloadView {
        self.controller.view(key).expect("it was started")
    }

    /// The only replica of a workload.
    fn replica(&self, key: &WorkloadKey) -> anyhow::Result<Replica> {
        self.engine.replicas(key).pop().context("a replica")
    }

    /// Waits until a replica runs that is not this one, and until a pass has observed it.
    async fn another_runs(&self, key: &WorkloadKey, than: &Replica) {
        eventually("another replica to run", LIMIT, async || {
            let replicas = self.view(key).replicas;
            let is_other = |replica: &Replica| replica.id != than.id && replica.is_running();
            if replicas.iter().any(is_other) { Ok(()) } else { Err(format!("{replicas:?}")) }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_joins_during_the_shutdown_does_not_hold_it_up() -> anyhow::Result<()> {
    let _turn = turn().await;
    let (entered, mut has_entered) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let before = move |write: Write| {
        if write == Write::Workload {
            // Errors mean that the test is over.
            let _ = entered.send(());
            let _ = released.lock().expect("no holder panics").recv();
        }
        Ok(())
    };
    let host = Host::with_store(Arc::new(Nobody), before, |_| {})?;
    let (starting, wanted) = (host.controller.clone(), workload("web:1", 1, 3)?);
    let start = tokio::spawn(async move { starting.start(wanted).await });
    has_entered.recv().await.context("the start stores its workload")?;
    let mut shutdown = Box::pin(host.controller.shut_down());
    assert!(shutdown.as_mut().now_or_never().is_none(), "its tasks have not ended yet");
    release.send(())?;
    let started = tokio::time::timeout(LIMIT, start).await??;
    assert_eq!(started.err(), Some(ControlError::ShuttingDown));
    tokio::time::timeout(LIMIT, shutdown).await.context("the shutdown ends")?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_container_that_the_engine_does_not_stop_or_remove_is_not_about_to_stop() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin(Arc::new(Nobody))?;
    let key = host.start(workload("web:1", 1, 1)?).await?;
    let first = host.replica(&key)?;
    let refused = || [EngineError::Refused("the device is busy".to_owned())];
    for force in [false, true] {
        if force {
            host.engine.fail(Call::Remove, refused());
        }
        let removed = host.controller.remove(&first.name, force).await;
        assert!(matches!(removed, Err(ControlError::Refused(_))), "{force}: {removed:?}");
        assert!(host.view(&key).leaving.is_empty(), "{force}");
    }
    // At the maximum, a release removes the replica that came in between.
    host.controller.hold(&first.name).await?;
    host.another_runs(&key, &first).await;
    host.engine.fail(Call::Stop, refused());
    let released = host.controller.release(&first.name).await;
    assert!(matches!(released, Err(ControlError::Refused(_))), "{released:?}");
    assert!(host.view(&key).leaving.is_empty());
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_could_not_be_stored_is_stored_when_a_pass_repeats_it() -> anyhow::Result<()> {
    let _turn = turn().await;
    let fails = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&fails);
    let before = move |write: Write| {
        if write == Write::Pass && is_broken.load(Ordering::SeqCst) { Err(full()) } else { Ok(()) }
    };
    let host = Host::with_store(Arc::new(Nobody), before, |_| {})?;
    let key = host.start(workload("web:1", 1, 3)?).await?;
    host.controller.reconcile(&key).await?;
    fails.store(true, Ordering::SeqCst);
    let before = host.controller.events().last();
    let lost = host.controller.override_policy(&key, false, |overrides| overrides.paused = true).await?;
    assert_eq!(lost.decision, None);
    fails.store(false, Ordering::SeqCst);
    // The first of these passes stores it, and the second one repeats it.
    for _ in 0..2 {
        assert_eq!(host.controller.reconcile(&key).await?.reason, lost.reason);
    }
    let page = host.controller.decisions(&key, DecisionQuery::newest(100)).await?;
    let decisions: Vec<_> = page.decisions.iter().map(StoredDecision::record).collect::<Result<_, _>>()?;
    let paused = decisions.iter().filter(|decision| decision.body["overrides"]["paused"] == true);
    assert_eq!(paused.count(), 1, "{decisions:#?}");
    let filter = EventFilter { kinds: vec![EventKind::Decision], ..EventFilter::default() };
    let published = host.controller.events().since(before, &filter).events;
    assert_eq!(published.len(), 1, "{published:#?}");
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_could_not_be_stored_has_no_effect() -> anyhow::Result<()> {
    let _turn = turn().await;
    let fails = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&fails);
    let before = move |write: Write| {
        if write == Write::Workload && is_broken.load(Ordering::SeqCst) { Err(full()) } else { Ok(()) }
    };
    let host = Host::with_store(Arc::new(Nobody), before, |_| {})?;
    let key = host.start(workload("web:1", 1, 1)?).await?;
    let replica = host.replica(&key)?;
    host.engine.stop_outside(&replica.id);
    eventually("the stop to be observed", LIMIT, async || {
        let stopped = host.view(&key).stopped_outside;
        if stopped.contains(&replica.id) { Ok(()) } else { Err(format!("{stopped:?}")) }
    })
    .await;
    fails.store(true, Ordering::SeqCst);
    let resumed = host.controller.override_policy(&key, true, |_| {}).await;
    assert!(matches!(resumed, Err(ControlError::Store(_))), "{resumed:?}");
    assert!(host.view(&key).stopped_outside.contains(&replica.id));
    fails.store(false, Ordering::SeqCst);
    let before = host.controller.events().last();
    host.controller.override_policy(&key, true, |_| {}).await?;
    let filter = EventFilter { kinds: vec![EventKind::Workload], ..EventFilter::default() };
    let events = host.controller.events().since(before, &filter).events;
    let says = |text: &str| events.iter().any(|event| event.json.contains(text));
    assert!(says("replicas that were stopped outside of Windlass count again"), "{events:?}");
    assert!(!host.view(&key).stopped_outside.contains(&replica.id));
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_workload_stays_if_another_one_comes_to_depend_on_it_during_its_deletion() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin(Arc::new(Nobody))?;
    let db = host.start(workload("db:1", 1, 1)?).await?;
    let first = host.replica(&db)?;
    // Another pass, after which the replica may receive requests.
    host.controller.reconcile(&db).await?;
    let mut balancer = host.controller.follow(LIMIT);
    let (deleting, key) = (host.controller.clone(), db.clone());
    let deletion = tokio::spawn(async move { deleting.delete(&key).await });
    eventually("the deletion to wait for the balancer", LIMIT, async || {
        if host.view(&db).leaving.is_empty() { Err("nothing is about to stop".to_owned()) } else { Ok(()) }
    })
    .await;
    host.start(Workload { depends_on: [db.clone()].into(), ..workload("web:1", 1, 1)? }).await?;
    balancer.changed().await;
    balancer.dealt_with();
    let deleted = deletion.await?;
    assert!(matches!(&deleted, Err(ControlError::Conflict(why)) if why.contains("depends on")), "{deleted:?}");
    host.another_runs(&db, &first).await;
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn holds_reach_the_store_in_the_order_in_which_they_began() -> anyhow::Result<()> {
    let _turn = turn().await;
    let (stored, second) = mpsc::channel::<()>();
    let second = Mutex::new(second);
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let before = move |write: Write| {
        if write == Write::Held(1) {
            // The second hold overtakes the first one, if nothing keeps their order.
            let _ = second.lock().expect("no holder panics").recv_timeout(OVERTAKEN_WITHIN);
        }
        Ok(())
    };
    let after = move |write: Write| {
        if let Write::Held(replicas) = write {
            seen.lock().expect("no holder panics").push(replicas);
            // An error means that the test is over.
            let _ = stored.send(());
        }
    };
    let host = Host::with_store(Arc::new(Nobody), before, after)?;
    host.start(workload("web:1", 2, 2)?).await?;
    let mut stopped = workload("web:1", 2, 2)?;
    stopped.resources.status = DesiredStatus::Stopped;
    host.start(stopped).await?;
    let order = order.lock().expect("no holder panics").clone();
    assert_eq!(order[..2], [1, 2], "{order:?}");
    host.controller.shut_down().await;
    Ok(())
}

/// A network in which a source of metrics never answers. It counts the requests.
#[derive(Default)]
struct Silent {
    requests: AtomicUsize,
}

#[async_trait::async_trait]
impl Net for Silent {
    async fn http_probe(&self, _: SocketAddr, _: &HttpProbe, _: Duration) -> Result<DurationMs, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn tcp_connect(&self, _: SocketAddr, _: bool, _: Duration) -> Result<DurationMs, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn query_source(&self, _: &SourceRequest<'_>, _: u64, _: Duration) -> Result<SourceResponse, NetError> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
    async fn post_json(&self, _: &str, _: Reach, _: &serde_json::Value, _: Duration) -> Result<(), NetError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_has_one_request_of_a_metric_at_a_time() -> anyhow::Result<()> {
    let _turn = turn().await;
    let net = Arc::new(Silent::default());
    let host = Host::begin(Arc::<Silent>::clone(&net))?;
    let second = Duration::from_secs(1);
    let source = MetricSource::Json {
        url: SourceUrl::new("http://127.0.0.1:1/"),
        pointer: "/queue".to_owned(),
        credentials: Credentials::default(),
    };
    let metric = Metric { source, interval: second, timeout: second, ..Metric::pushed() };
    host.start(Workload { metrics: [("queue".to_owned(), metric)].into(), ..workload("web:1", 1, 3)? }).await?;
    let requests = || net.requests.load(Ordering::SeqCst);
    throughout("one request at a time", second * 30, async || {
        if requests() <= 1 { Ok(()) } else { Err(format!("{} requests", requests())) }
    })
    .await;
    assert_eq!(requests(), 1);
    host.controller.shut_down().await;
    Ok(())
}

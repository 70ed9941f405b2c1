//! Commands that hang, and the results that are taken over from the engine.

use crate::probe::*;
use crate::replica_call::Commands;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use windlass_core::engine::{AnyEngine, Engine, EngineError, EngineEvent, LogLines, SlotEngine};
use windlass_core::fixtures::{running, workload};
use windlass_core::logs::LogQuery;
use windlass_core::net::{Net, NetError, Reach, SourceRequest, SourceResponse};
use windlass_core::{ContainerId, DurationMs, HealthCheck, HttpProbe};
use windlass_simulated_engine::SimulatedEngine;

/// A network that only opens TCP connections, and records for each whether it goes through a port proxy.
#[derive(Default)]
struct Connections {
    behind_proxy: Mutex<Vec<(SocketAddr, bool)>>,
}

#[async_trait]
impl Net for Connections {
    async fn http_probe(&self, _: SocketAddr, _: &HttpProbe, _: Duration) -> Result<DurationMs, NetError> {
        unreachable!()
    }
    async fn tcp_connect(&self, address: SocketAddr, behind_proxy: bool, _: Duration) -> Result<DurationMs, NetError> {
        self.behind_proxy.lock().push((address, behind_proxy));
        Ok(1)
    }
    async fn query_source(&self, _: &SourceRequest<'_>, _: u64, _: Duration) -> Result<SourceResponse, NetError> {
        unreachable!()
    }
    async fn post_json(&self, _: &str, _: Reach, _: &serde_json::Value, _: Duration) -> Result<(), NetError> {
        unreachable!()
    }
}

/// Probes a replica with the command `check`, with a time limit of 2 s.
async fn check(engine: &AnyEngine, commands: &Commands, replica: &Replica) -> Option<ProbeOutcome> {
    let target = ProbeTarget::Exec { command: vec!["check".to_owned()] };
    let probe = Probe { timeout: Duration::from_secs(2), ..Probe::usual(target) };
    probe_one(ReplicaCaller { engine, net: &Connections::default(), commands }, &probe, replica).await
}

/// An engine whose commands end when the test permits it, and which counts the commands that started.
struct Hanging {
    sim: SimulatedEngine,
    permits: Semaphore,
    begun: Mutex<usize>,
    answer: Mutex<Result<String, EngineError>>,
    /// The address of every port, if ports are published.
    published: Mutex<Option<SocketAddr>>,
}

impl Hanging {
    fn new() -> Arc<Self> {
        let sim = SimulatedEngine::new(|| Timestamp(0), Duration::ZERO);
        let (permits, begun, published) = (Semaphore::new(0), Mutex::default(), Mutex::default());
        Arc::new(Self { sim, permits, begun, answer: Mutex::new(Ok(String::new())), published })
    }
}

#[async_trait]
impl Engine for Hanging {
    async fn exec(&self, _: &ContainerId, _: &[String]) -> Result<String, EngineError> {
        *self.begun.lock() += 1;
        self.permits.acquire().await.expect("never closed").forget();
        self.answer.lock().clone()
    }
    async fn ping(&self) -> Result<(), EngineError> {
        self.sim.ping().await
    }
    async fn list(
        &self,
        workload: &windlass_core::WorkloadKey,
        declaration: &windlass_core::Declaration,
    ) -> Result<Vec<Replica>, EngineError> {
        self.sim.list(workload, declaration).await
    }
    async fn list_all(&self) -> Result<Vec<Replica>, EngineError> {
        self.sim.list_all().await
    }
    async fn cpus(&self) -> Option<u32> {
        self.sim.cpus().await
    }
    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogLines, EngineError> {
        self.sim.logs(id, query).await
    }
    fn events(&self) -> BoxStream<'static, EngineEvent> {
        self.sim.events()
    }
    fn usage(&self, id: &ContainerId) -> Option<windlass_core::contract::Usage> {
        self.sim.usage(id)
    }
    fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr> {
        self.published.lock().or_else(|| self.sim.endpoint(replica, port))
    }
}

#[async_trait]
impl SlotEngine for Hanging {
    async fn create(
        &self,
        workload: &windlass_core::Workload,
        slot: windlass_core::Slot,
    ) -> Result<Replica, EngineError> {
        self.sim.create(workload, slot).await
    }

    async fn prepare(&self, workload: &windlass_core::Workload) -> Result<(), EngineError> {
        self.sim.prepare(workload).await
    }

    async fn pull(&self, image: &windlass_core::ImageRef) -> Result<String, EngineError> {
        self.sim.pull(image).await
    }

    async fn start(&self, id: &ContainerId) -> Result<Replica, EngineError> {
        self.sim.start(id).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError> {
        self.sim.stop(id, grace).await
    }

    async fn restart(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError> {
        self.sim.restart(id, grace).await
    }

    async fn remove(&self, id: &ContainerId, force: bool) -> Result<(), EngineError> {
        self.sim.remove(id, force).await
    }
}

fn one() -> Replica {
    running(&workload("web", 1, 1), 1, 1_000)
}

#[tokio::test(start_paused = true)]
async fn a_command_that_hangs_is_never_begun_twice() {
    let engine = Hanging::new();
    let as_engine = AnyEngine::from(Arc::<Hanging>::clone(&engine));
    let (commands, replica) = (Commands::default(), one());
    let ask = async || check(&as_engine, &commands, &replica).await;
    let still_runs = ProbeOutcome::Failure("the command of an earlier call still runs in it".to_owned());
    assert_eq!(ask().await, Some(ProbeOutcome::Timeout));
    assert_eq!((ask().await, ask().await), (Some(still_runs.clone()), Some(still_runs)));
    assert_eq!(*engine.begun.lock(), 1);
    // When it has ended, the next probe runs it again.
    engine.permits.add_permits(2);
    while !commands.are_idle() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(ask().await, Some(ProbeOutcome::Success(_))));
    assert_eq!(*engine.begun.lock(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_command_fails_by_its_status_and_not_by_an_engine_that_is_away() {
    let engine = Hanging::new();
    engine.permits.add_permits(9);
    let as_engine = AnyEngine::from(Arc::<Hanging>::clone(&engine));
    let (commands, replica) = (Commands::default(), one());
    let outcome = async |error: EngineError| {
        *engine.answer.lock() = Err(error);
        check(&as_engine, &commands, &replica).await
    };
    let status = "the command ended with status 3: no";
    let failed = Some(ProbeOutcome::Failure(status.to_owned()));
    assert_eq!(outcome(EngineError::CommandFailed(status.to_owned())).await, failed);
    // A proxy in front of the engine forbids commands.
    assert_eq!(outcome(EngineError::Refused("`POST /containers/ID/exec` was refused".to_owned())).await, None);
    assert_eq!(outcome(EngineError::Unavailable("no socket".to_owned())).await, None);
    assert_eq!(outcome(EngineError::NotFound("id".to_owned())).await, None);
}

/// An engine's port proxy accepts connections for which nothing listens in the container.
#[tokio::test]
async fn only_a_connection_to_a_published_port_goes_through_a_proxy() {
    let engine = Hanging::new();
    let as_engine = AnyEngine::from(Arc::<Hanging>::clone(&engine));
    let (net, commands) = (Connections::default(), Commands::default());
    let address = "10.0.0.7:80".parse().expect("an address");
    let published = "127.0.0.1:32768".parse().expect("an address");
    let probe = Probe::usual(ProbeTarget::Tcp { port: 80 });
    for (own, at) in
        [(Some([10, 0, 0, 7].into()), None), (None, Some(published)), (Some([10, 0, 0, 7].into()), Some(published))]
    {
        *engine.published.lock() = at;
        let replica = Replica { address: own, ..one() };
        let caller = ReplicaCaller { engine: &as_engine, net: &net, commands: &commands };
        assert_eq!(probe_one(caller, &probe, &replica).await, Some(ProbeOutcome::Success(1)));
    }
    assert_eq!(*net.behind_proxy.lock(), [(address, false), (published, true), (published, true)]);
}

#[test]
fn what_the_engine_found_is_taken_over_once_and_only_where_it_counts() {
    let check = |at, outcome| ProbeResult { at: Timestamp(at), outcome };
    let mut replica = one();
    let checks = vec![check(5, ProbeOutcome::Success(1)), check(6, ProbeOutcome::Success(2))];
    replica.health_check = Some(HealthCheck { is_healthy: Some(true), checks });
    let known = |log: &ProbeLog| {
        let all = log.of([&replica.id].into_iter());
        all.values().flatten().map(|result| result.at.0).collect::<Vec<_>>()
    };
    let log = ProbeLog::new(10);
    for target in [ProbeTarget::None, ProbeTarget::Tcp { port: 80 }] {
        log.take_over(Some(&Probe::usual(target)), &replica, Timestamp(9));
        assert_eq!(known(&log), Vec::<u64>::new());
    }
    log.take_over(None, &replica, Timestamp(9));
    log.take_over(Some(&Probe::usual(ProbeTarget::Docker)), &replica, Timestamp(9));
    assert_eq!(known(&log), [5, 6]);
    // The clock is set back: earlier results move to now, and the engine's later ones are newer. Each is taken over once.
    let check_again = check(2, ProbeOutcome::Success(3));
    replica.health_check.as_mut().expect("it has one").checks.push(check_again);
    for now in [3, 4] {
        log.take_over(None, &replica, Timestamp(now));
        log.none_later_than(Timestamp(now));
        assert_eq!(known(&log), [3, 3, 2]);
    }

    let without = Replica { health_check: None, ..replica.clone() };
    let log = ProbeLog::new(10);
    log.take_over(None, &without, Timestamp(9));
    assert_eq!(known(&log), Vec::<u64>::new(), "the workload does not request it");
    log.take_over(Some(&Probe::usual(ProbeTarget::Docker)), &without, Timestamp(9));
    assert_eq!(known(&log), [9], "the workload requests it, and the image has none");
}

//! A simulated engine for tests and benchmarks of logic, timing and scale. Time is tokio's (paused in tests); the
//! caller sets start-up delay, load and faults. Behaviour that only a real engine can show is tested on one.
//!
//! [`SimulatedEngine`] leaves each replica to the host; [`SimulatedSwarm`] keeps the number of replicas by itself.

mod controls;
mod counts;
mod logs;

pub use crate::counts::{CountCall, Deploy, FailureAction, SimulatedSwarm, Template};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;
use windlass_core::contract::Usage;
use windlass_core::engine::{Engine, EngineError, EngineEvent, LogLines, SlotEngine};
use windlass_core::logs::{LogLine, LogQuery};
use windlass_core::workload::{ContainerPort, Workload};
use windlass_core::{
    ContainerId, Creator, Declaration, DeclaredService, ImageRef, MadeFrom, Phase, PortBinding, Publication, Replica,
    Slot, Timestamp, WorkloadKey,
};

/// Calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Engine::list`] and [`Engine::list_all`].
    List,
    /// [`Engine::declared`].
    Declared,
    /// [`SlotEngine::create`].
    Create,
    /// [`SlotEngine::prepare`].
    Prepare,
    /// [`SlotEngine::pull`].
    Pull,
    /// [`SlotEngine::start`].
    Start,
    /// [`SlotEngine::stop`].
    Stop,
    /// [`SlotEngine::restart`].
    Restart,
    /// [`SlotEngine::remove`].
    Remove,
}

#[derive(Debug, Default)]
struct EngineState {
    // By workload, so that listing one of many costs nothing for the others.
    replicas: BTreeMap<WorkloadKey, BTreeMap<ContainerId, Replica>>,
    workload_of: HashMap<ContainerId, WorkloadKey>,
    created: u64,
    // By workload, so that container names do not depend on concurrent creates for other workloads.
    created_for: HashMap<WorkloadKey, u64>,
    down: Option<String>,
    faults: HashMap<Call, Vec<EngineError>>,
    crash_after: BTreeMap<WorkloadKey, Duration>,
    load: BTreeMap<WorkloadKey, Usage>,
    starting_load: BTreeMap<WorkloadKey, (Duration, Usage)>,
    calls: HashMap<Call, u64>,
    /// The containers that were created, started and removed, in this order.
    journal: Vec<(Call, ContainerId)>,
    pulls_hang: bool,
    hanging_pulls: watch::Sender<usize>,
    /// The stops that the engine remembers until it ends.
    stops: Vec<EngineEvent>,
    declared: Vec<DeclaredService>,
    /// The lines that replicas printed besides the usual ones.
    printed: HashMap<ContainerId, Vec<LogLine>>,
}

impl EngineState {
    fn find(&mut self, id: &ContainerId) -> Result<&mut Replica, EngineError> {
        let workload = self.workload_of.get(id);
        workload
            .and_then(|workload| self.replicas.get_mut(workload)?.get_mut(id))
            .ok_or_else(|| EngineError::NotFound(id.to_string()))
    }

    fn insert(&mut self, replica: Replica) {
        self.workload_of.insert(replica.id.clone(), replica.workload.clone());
        self.replicas.entry(replica.workload.clone()).or_default().insert(replica.id.clone(), replica);
    }

    /// The container of Compose of which a service's copies are made.
    fn model_of(&self, workload: &Workload) -> Result<&Replica, EngineError> {
        let all = self.replicas.get(&workload.key).into_iter().flat_map(BTreeMap::values);
        let newest = all.filter(|it| it.is_of_compose()).max_by_key(|it| (it.created_at, &it.id));
        newest.ok_or_else(|| EngineError::Refused("no container of Compose is left".to_owned()))
    }

    fn remove(&mut self, id: &ContainerId) -> Option<WorkloadKey> {
        let workload = self.workload_of.remove(id)?;
        self.replicas.get_mut(&workload)?.remove(id);
        Some(workload)
    }
}

/// A pull that does not end by itself. It is counted until it is dropped.
struct HangingPull(watch::Sender<usize>);

impl HangingPull {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for HangingPull {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// An engine in memory. Cheap to clone: all clones are one engine.
#[derive(Clone)]
pub struct SimulatedEngine {
    engine: Arc<Mutex<EngineState>>,
    events: broadcast::Sender<EngineEvent>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    start_delay: Duration,
}

impl SimulatedEngine {
    /// An empty engine that takes its time stamps from `now` and needs `start_delay` to start a process.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static, start_delay: Duration) -> Self {
        Self { engine: Arc::default(), events: broadcast::channel(4_096).0, now: Arc::new(now), start_delay }
    }

    fn lock(&self) -> MutexGuard<'_, EngineState> {
        self.engine.lock()
    }

    fn send(&self, event: EngineEvent) {
        // Having no subscribers is fine.
        let _ = self.events.send(event);
    }

    /// Counts a call, and fails it if it is set to fail.
    fn enter(&self, call: Option<Call>) -> Result<MutexGuard<'_, EngineState>, EngineError> {
        let mut engine = self.lock();
        if let Some(why) = &engine.down {
            return Err(EngineError::Unavailable(why.clone()));
        }
        if let Some(call) = call {
            *engine.calls.entry(call).or_default() += 1;
            if let Some(error) = engine.faults.get_mut(&call).and_then(Vec::pop) {
                return Err(error);
            }
        }
        Ok(engine)
    }

    fn begin(&self, engine: &mut EngineState, id: &ContainerId) -> Result<Replica, EngineError> {
        let now = (self.now)();
        let replica = engine.find(id)?;
        if replica.phase != Phase::Running {
            replica.phase = Phase::Running;
            "running".clone_into(&mut replica.status);
            replica.started_at = Some(now);
        }
        let replica = replica.clone();
        engine.journal.push((Call::Start, id.clone()));
        if let Some(after) = engine.crash_after.get(&replica.workload).copied() {
            let (this, id, started) = (self.clone(), id.clone(), replica.started_at);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                let same = this.lock().find(&id).is_ok_and(|now| now.started_at == started && now.is_alive());
                if same {
                    this.kill(&id, 1);
                }
            });
        }
        self.send(EngineEvent::Changed(replica.workload.clone()));
        Ok(replica)
    }
}

fn end(replica: &mut Replica, code: i32, now: Timestamp) {
    replica.phase = Phase::Exited;
    "exited".clone_into(&mut replica.status);
    replica.exit_code = Some(code);
    replica.finished_at = Some(now);
    replica.ports.clear();
}

fn sorted(mut replicas: Vec<Replica>) -> Vec<Replica> {
    replicas.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    replicas
}

#[async_trait]
impl Engine for SimulatedEngine {
    async fn ping(&self) -> Result<(), EngineError> {
        self.enter(None).map(drop)
    }

    async fn list(&self, workload: &WorkloadKey, _: &Declaration) -> Result<Vec<Replica>, EngineError> {
        let engine = self.enter(Some(Call::List))?;
        let replicas = engine.replicas.get(workload);
        Ok(sorted(replicas.map(|replicas| replicas.values().cloned().collect()).unwrap_or_default()))
    }

    async fn list_all(&self) -> Result<Vec<Replica>, EngineError> {
        let engine = self.enter(Some(Call::List))?;
        Ok(sorted(engine.replicas.values().flat_map(BTreeMap::values).cloned().collect()))
    }

    async fn declared(&self) -> Result<Vec<DeclaredService>, EngineError> {
        Ok(self.enter(Some(Call::Declared))?.declared.clone())
    }

    async fn has_service(&self, declaration: &Declaration) -> Result<bool, EngineError> {
        let Declaration::Compose { project, service } = declaration else { return Ok(false) };
        let key = WorkloadKey::stored(format!("{project}-{service}"));
        Ok(self.enter(None)?.replicas.get(&key).is_some_and(|replicas| !replicas.is_empty()))
    }

    async fn cpus(&self) -> Option<u32> {
        None
    }

    /// Returns the last argument of the command.
    async fn exec(&self, id: &ContainerId, command: &[String]) -> Result<String, EngineError> {
        self.enter(None)?.find(id)?;
        Ok(command.last().cloned().unwrap_or_default())
    }

    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogLines, EngineError> {
        let mut engine = self.enter(None)?;
        let name = engine.find(id)?.name.clone();
        let printed = engine.printed.get(id).map(Vec::as_slice).unwrap_or_default();
        Ok(crate::logs::lines(&name, printed, query, (self.now)()))
    }

    fn events(&self) -> BoxStream<'static, EngineEvent> {
        let past = self.lock().stops.clone();
        let connected = futures_util::stream::iter(past.into_iter().chain([EngineEvent::Connected]));
        // A subscriber that fell behind missed events, so it has to observe everything.
        let later = BroadcastStream::new(self.events.subscribe()).map(|event| event.unwrap_or(EngineEvent::Connected));
        connected.chain(later).boxed()
    }

    fn usage(&self, id: &ContainerId) -> Option<Usage> {
        let mut engine = self.lock();
        let at = (self.now)();
        let replica = engine.find(id).ok().filter(|replica| replica.is_alive())?;
        let (workload, started) = (replica.workload.clone(), replica.started_at?);
        let starting = engine.starting_load.get(&workload).filter(|(lasts, _)| at.since(started) < *lasts);
        let usage = starting.map(|(_, usage)| usage).or(engine.load.get(&workload))?;
        Some(Usage { at, ..*usage })
    }

    fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::new(replica.address?, port))
    }
}

#[async_trait]
impl SlotEngine for SimulatedEngine {
    async fn create(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        let mut engine = self.enter(Some(Call::Create))?;
        engine.created += 1;
        let number = engine.created;
        let of_workload = engine.created_for.entry(workload.key.clone()).or_default();
        *of_workload += 1;
        let name = format!("{}-{slot}-{of_workload}", workload.image.short_name());
        let nth = |count: u32| u16::try_from(u64::from(slot.0) % u64::from(count)).unwrap_or(0);
        let binding = |publication: &Publication| PortBinding {
            host_ip: publication.host_ip.map_or("0.0.0.0".to_owned(), |ip| ip.to_string()),
            host_port: match publication.host_ports.capacity() {
                None => 32_768 + u16::try_from(number % 20_000).unwrap_or(0),
                Some(count) => publication.host_ports.first() + nth(count),
            },
        };
        let ports: BTreeMap<ContainerPort, Vec<PortBinding>> = (workload.ports.iter())
            .map(|(port, publications)| (*port, publications.iter().map(binding).collect()))
            .collect();
        let image_id = workload.image_id.clone().unwrap_or_else(|| workload.image.canonical());
        let own = MadeFrom { generation: Some(workload.generation()), image_id: Some(image_id) };
        let (made_from, creator) = match &workload.declaration {
            Declaration::Compose { .. } => (engine.model_of(workload)?.made_from.clone(), Creator::Clone),
            Declaration::Api | Declaration::Swarm { .. } => (own, Creator::Windlass),
        };
        let replica = Replica {
            id: ContainerId(format!("sim-{number:05}")),
            name,
            workload: workload.key.clone(),
            image: workload.image.to_string(),
            made_from,
            creator,
            slot,
            phase: Phase::Starting,
            status: "created".to_owned(),
            created_at: (self.now)(),
            started_at: None,
            finished_at: None,
            exit_code: None,
            out_of_memory: false,
            error: String::new(),
            engine_restarts: 0,
            restart_policy: None,
            limits: workload.limits(),
            stops_by_kill: false,
            has_slot_name: true,
            ports,
            // One address per replica, so that a test can break the probes of one replica.
            address: Some(Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap_or(0)).into()),
            node: None,
            is_protected: workload.labels.get(Workload::PROTECTION).is_some_and(|value| value == "true"),
            usage: None,
            health_check: None,
        };
        engine.journal.push((Call::Create, replica.id.clone()));
        engine.insert(replica.clone());
        Ok(replica)
    }

    async fn prepare(&self, _: &Workload) -> Result<(), EngineError> {
        self.enter(Some(Call::Prepare)).map(drop)
    }

    async fn pull(&self, image: &ImageRef) -> Result<String, EngineError> {
        let hangs = {
            let engine = self.enter(Some(Call::Pull))?;
            engine.pulls_hang.then(|| HangingPull::begin(&engine.hanging_pulls))
        };
        match hangs {
            Some(_hanging) => std::future::pending().await,
            // The identifier of an image is its reference.
            None => Ok(image.canonical()),
        }
    }

    async fn start(&self, id: &ContainerId) -> Result<Replica, EngineError> {
        drop(self.enter(Some(Call::Start))?);
        if !self.start_delay.is_zero() {
            tokio::time::sleep(self.start_delay).await;
        }
        let mut engine = self.enter(None)?;
        self.begin(&mut engine, id)
    }

    async fn stop(&self, id: &ContainerId, _grace: Duration) -> Result<Replica, EngineError> {
        let mut engine = self.enter(Some(Call::Stop))?;
        let now = (self.now)();
        let replica = engine.find(id)?;
        if replica.is_alive() {
            end(replica, 0, now);
        }
        let replica = replica.clone();
        self.send(EngineEvent::Changed(replica.workload.clone()));
        Ok(replica)
    }

    async fn restart(&self, id: &ContainerId, _grace: Duration) -> Result<Replica, EngineError> {
        let now = (self.now)();
        end(self.enter(Some(Call::Restart))?.find(id)?, 0, now);
        if !self.start_delay.is_zero() {
            tokio::time::sleep(self.start_delay).await;
        }
        let mut engine = self.enter(None)?;
        self.begin(&mut engine, id)
    }

    async fn remove(&self, id: &ContainerId, force: bool) -> Result<(), EngineError> {
        let mut engine = self.enter(Some(Call::Remove))?;
        let Ok(replica) = engine.find(id) else {
            return Ok(());
        };
        if replica.is_alive() && !force {
            return Err(EngineError::Refused(format!(
                "container `{id}` is running; stop it first, or remove it with force"
            )));
        }
        if let Some(workload) = engine.remove(id) {
            engine.journal.push((Call::Remove, id.clone()));
            self.send(EngineEvent::Changed(workload));
        }
        Ok(())
    }
}

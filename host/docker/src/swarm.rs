//! The Swarm implementation of [`CountEngine`]: services of a Docker Swarm, through one of its managers.
//!
//! Swarm places, restarts and replaces tasks; Windlass changes the count of a service. A service is read and written as raw
//! JSON, so that a change of the count changes one number whatever else the service has.

mod earlier;
mod lease;
mod manager;
mod node;
mod observer;
mod places;
mod service;
mod specification;
mod task;
mod watch;
mod write;

use self::earlier::Earlier;
use self::lease::Lease;
use self::manager::{LIMIT, Manager};
use self::observer::{Observer, Picture, TASKS_FOR};
use self::service::Service;
use self::specification::Facts;
use self::task::Task;
use self::write::Writer;
use crate::address::Address;
use crate::agents::{AgentTable, Poller};
use crate::client::EngineClient;
use crate::environment::Environment;
use crate::network::Networks;
use crate::reach::reachable_address;
use crate::usage::{Sampled, Sampler, UsageTable};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::contract::Usage;
use windlass_core::engine::{CountEngine, Engine, EngineError, EngineEvent, LogLines};
use windlass_core::logs::LogQuery;
use windlass_core::node_usage::AgentClient;
use windlass_core::settings::EngineSettings;
use windlass_core::workload::{ContainerPort, Protocol, Workload};
use windlass_core::{
    ContainerId, CountChange, Declaration, DeclaredService, Leadership, Replica, ServiceState, WorkloadKey,
};

pub use self::lease::LeaseTimes;

/// The settings of a Swarm that are not those of an engine.
#[derive(Clone, Default)]
pub struct SwarmSettings {
    /// File that remembers the earlier specification of each service for `windlass rollback`. `None`: Windlass forgets them
    /// when it ends.
    pub earlier_file: Option<PathBuf>,
    /// Time that the process of a managed workload's task has to end before Swarm kills it.
    pub stop_grace: Duration,
    /// A client of the nodes' agents, and the port on which they listen. `None`: the use of tasks on other nodes than the
    /// manager's is unknown.
    pub agents: Option<(Arc<dyn AgentClient>, u16)>,
    /// The name of this Windlass, distinct from all others of the instance, and the times of the lease by which one of them
    /// acts. `None`: this one always acts.
    pub lease: Option<(String, LeaseTimes)>,
}

/// A Docker Swarm of engines with API 1.41 (Docker 20.10) or newer.
pub struct SwarmEngine {
    manager: Manager,
    observer: Arc<Observer>,
    writer: Writer,
    networks: Networks,
    /// The resource use of tasks, from the agents of their nodes. `None`: only that of the manager's own node is known.
    agents: Option<AgentTable>,
    _poller: Option<Poller>,
    own_node: UsageTable,
    _sampler: Option<Sampler>,
    /// The lease by which one of several Windlasses acts. `None`: this one always does.
    lease: Option<Arc<Lease>>,
    /// The picture of the latest listing.
    latest: Mutex<Option<Picture>>,
    instance: String,
}

impl SwarmEngine {
    /// The Swarm of the manager at the address from `settings`, else from this process's environment. The manager may be
    /// offline.
    ///
    /// # Errors
    /// If the address is not of a supported kind, or the engine there is no manager of a Swarm.
    pub async fn connect(settings: &EngineSettings, swarm: SwarmSettings) -> Result<Arc<Self>, EngineError> {
        let environment = Environment::of_process();
        let address = Address::find(settings, &environment)?;
        let engine = EngineClient::new(address, settings.call_timeout.min(LIMIT));
        let manager = Manager::new(engine.clone());
        match manager.node().await {
            Err(error @ EngineError::Refused(_)) => return Err(error),
            Err(error) => tracing::warn!(%error, "the manager of the Swarm does not answer yet"),
            Ok(node) => tracing::info!(node, "the engine is a manager of a Swarm"),
        }
        let earlier = Arc::new(Earlier::open(swarm.earlier_file).await);
        let observer = Arc::new(Observer::new(manager.clone(), Arc::clone(&earlier)));
        let lease = match swarm.lease {
            Some((holder, times)) => Some(Lease::keep(manager.clone(), &settings.instance, holder, times).await),
            None => None,
        };
        let writer = Writer {
            manager: manager.clone(),
            lease: lease.clone(),
            observer: Arc::clone(&observer),
            earlier,
            facts: Facts { settings: settings.clone(), stop_grace: swarm.stop_grace },
            config_folder: environment.config_folder.clone(),
        };
        let networks = Networks::new(engine.clone(), environment.proc_folder.clone());
        let own_node =
            UsageTable::new(crate::cgroup::Roots::at(&environment.proc_folder).ok(), settings.sample_interval);
        let has_agents = swarm.agents.is_some();
        let sampler = (!has_agents).then(|| Sampler::start(&own_node, &engine, settings, Sampled::Tasks));
        let agents = has_agents.then(|| AgentTable::new(settings.sample_interval));
        let poller = agents.clone().zip(swarm.agents).map(|(table, (client, port))| {
            let (observer, networks) = (Arc::clone(&observer), networks.clone());
            let places = move || {
                let (observer, networks, engine) = (Arc::clone(&observer), networks.clone(), engine.clone());
                async move {
                    let own = own_networks(&engine, &networks).await;
                    Ok(places::places(&observer.picture().await?, port, own.as_deref()))
                }
            };
            Poller::start(table, client, settings.sample_interval, places)
        });
        let instance = settings.instance.clone();
        Ok(Arc::new(Self {
            manager,
            observer,
            writer,
            networks,
            agents,
            _poller: poller,
            own_node,
            _sampler: sampler,
            lease,
            latest: Mutex::default(),
            instance,
        }))
    }

    /// The replicas of a service, oldest first.
    async fn replicas(
        &self,
        picture: &Picture,
        service: &Service,
        workload: &WorkloadKey,
    ) -> Result<Vec<Replica>, EngineError> {
        let own = own_networks(self.manager.engine(), &self.networks).await;
        let of = |task: &Task| task.replica(workload, &service.name, picture.nodes.get(&task.node), own.as_deref());
        let mut replicas: Vec<Replica> = picture.tasks(service).iter().map(of).collect();
        let lacks_reason = |replica: &Replica| !replica.is_running() && replica.error.is_empty();
        if replicas.iter().any(lacks_reason) {
            let ended = self.manager.ended_tasks(&service.id).await?;
            let explained = |replica: Replica| {
                if lacks_reason(&replica) { Task::with_end_of(replica, &ended) } else { replica }
            };
            replicas = replicas.into_iter().map(explained).collect();
        }
        replicas.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        *self.latest.lock() = Some(picture.clone());
        Ok(replicas)
    }
}

/// The networks of the container in which Windlass runs. `None` if it runs in none: overlay networks are reached from
/// containers alone.
async fn own_networks(engine: &EngineClient, networks: &Networks) -> Option<Arc<HashSet<String>>> {
    let in_container = engine.known_info().is_some_and(|info| info.in_container);
    if in_container { networks.own().await } else { None }
}

#[async_trait]
impl Engine for SwarmEngine {
    async fn ping(&self) -> Result<(), EngineError> {
        // Without a leader, a manager still answers a ping.
        self.observer.picture().await.map(drop)
    }

    async fn list(&self, workload: &WorkloadKey, declaration: &Declaration) -> Result<Vec<Replica>, EngineError> {
        let picture = self.observer.picture().await?;
        match picture.service(workload, declaration, &self.instance) {
            Some(service) => self.replicas(&picture, service, workload).await,
            None => Ok(Vec::new()),
        }
    }

    async fn list_all(&self) -> Result<Vec<Replica>, EngineError> {
        let picture = self.observer.picture().await?;
        let mut all = Vec::new();
        for service in picture.services.iter() {
            if let Some(workload) = service.managed_key(&self.instance) {
                all.extend(self.replicas(&picture, service, &workload).await?);
            }
        }
        all.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(all)
    }

    async fn declared(&self) -> Result<Vec<DeclaredService>, EngineError> {
        let picture = self.observer.picture().await?;
        // A container's host name is the beginning of its identifier unless somebody chose another one.
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let own = Some(host_name).filter(|name| name.len() == 12).and_then(|name| picture.service_of_container(&name));
        Ok(service::declared(&picture.services, &self.instance, own))
    }

    async fn has_service(&self, declaration: &Declaration) -> Result<bool, EngineError> {
        let Declaration::Swarm { service } = declaration else { return Ok(false) };
        Ok(self.observer.picture().await?.services.iter().any(|known| known.name == *service))
    }

    async fn cpus(&self) -> Option<u32> {
        let picture = self.observer.picture().await.ok()?;
        picture.nodes.values().filter(|node| node.is_up()).filter_map(node::Node::cpus).max()
    }

    async fn exec(&self, id: &ContainerId, command: &[String]) -> Result<String, EngineError> {
        let picture = self.observer.picture().await?;
        let task = picture.task(id.as_str()).ok_or_else(|| EngineError::NotFound(id.to_string()))?;
        if task.node != self.manager.node().await? {
            let node = picture.nodes.get(&task.node).map_or(task.node.as_str(), node::Node::name);
            return Err(EngineError::Refused(format!(
                "replica {id} runs on node `{node}`, and commands run only on the node of the manager that Windlass uses; \
                 use a probe or a metric over the network"
            )));
        }
        crate::exec::run(self.manager.engine(), id, command).await
    }

    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogLines, EngineError> {
        let picture = self.observer.picture().await?;
        let task = picture.task(id.as_str()).ok_or_else(|| EngineError::NotFound(id.to_string()))?;
        self.manager.logs(&task.id, query).await
    }

    fn events(&self) -> BoxStream<'static, EngineEvent> {
        let watched =
            watch::subscribe(self.manager.engine().clone(), Arc::clone(&self.observer), self.instance.clone());
        match &self.lease {
            Some(lease) => futures_util::stream::select(watched, lease.gains()).boxed(),
            None => watched,
        }
    }

    fn listing_age(&self) -> Duration {
        TASKS_FOR
    }

    fn usage(&self, id: &ContainerId) -> Option<Usage> {
        match &self.agents {
            Some(agents) => agents.usage(id),
            None => self.own_node.usage(id),
        }
    }

    fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr> {
        if let Some(address) = replica.address {
            return Some(SocketAddr::new(address, port));
        }
        let host = self.manager.engine().known_info()?.host(false);
        let published = replica.ports.get(&ContainerPort { number: port, protocol: Protocol::Tcp })?;
        published.iter().find_map(|binding| reachable_address(binding, host))
    }
}

#[async_trait]
impl CountEngine for SwarmEngine {
    async fn service(&self, workload: &Workload) -> Result<Option<ServiceState>, EngineError> {
        let picture = self.observer.picture().await?;
        let service = picture.service(&workload.key, &workload.declaration, &self.instance);
        Ok(service.and_then(|service| service.state(picture.tasks(service))))
    }

    fn node(&self, replica: &ContainerId) -> Option<String> {
        let picture = self.latest.lock().clone()?;
        picture.node_of(replica.as_str()).map(str::to_owned)
    }

    async fn set_count(&self, workload: &Workload, change: CountChange) -> Result<(), EngineError> {
        self.writer.set_count(workload, change).await
    }

    async fn deploy(&self, workload: &Workload, count: u32) -> Result<(), EngineError> {
        self.writer.deploy(workload, count).await
    }

    async fn roll_back(&self, workload: &Workload) -> Result<(), EngineError> {
        self.writer.roll_back(workload).await
    }

    async fn remove_service(&self, workload: &Workload) -> Result<(), EngineError> {
        self.writer.remove(workload).await
    }

    fn leadership(&self) -> Leadership {
        self.lease.as_ref().map_or(Leadership::Leads, |lease| lease.leadership())
    }
}

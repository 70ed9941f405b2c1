//! The calls of the simulated Swarm that the host makes.

use crate::counts::state::{CountCall, SimService, Template};
use crate::counts::swarm::SimulatedSwarm;
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::net::SocketAddr;
use tokio_stream::wrappers::BroadcastStream;
use windlass_core::contract::Usage;
use windlass_core::engine::{CountEngine, Engine, EngineError, EngineEvent, LogLines};
use windlass_core::logs::LogQuery;
use windlass_core::{
    ContainerId, CountChange, Declaration, DeclaredService, Leadership, Replica, ServiceState, ServiceUpdate, Workload,
    WorkloadKey,
};

#[async_trait]
impl Engine for SimulatedSwarm {
    async fn ping(&self) -> Result<(), EngineError> {
        self.enter(None).map(drop)
    }

    async fn list(&self, workload: &WorkloadKey, _: &Declaration) -> Result<Vec<Replica>, EngineError> {
        let state = self.enter(Some(CountCall::List))?;
        Ok(state.services.get(workload).map(|service| service.replicas(workload)).unwrap_or_default())
    }

    async fn list_all(&self) -> Result<Vec<Replica>, EngineError> {
        let state = self.enter(Some(CountCall::List))?;
        Ok(state.services.iter().flat_map(|(key, service)| service.replicas(key)).collect())
    }

    async fn declared(&self) -> Result<Vec<DeclaredService>, EngineError> {
        let state = self.enter(None)?;
        let declared = state.services.iter().filter(|(_, service)| !service.labels.is_empty());
        Ok(declared
            .map(|(key, service)| DeclaredService {
                key: key.clone(),
                declaration: Declaration::Swarm { service: key.to_string() },
                image: service.image.clone(),
                labels: service.labels.clone(),
                depends_on: Vec::new(),
                obstacle: None,
            })
            .collect())
    }

    async fn has_service(&self, declaration: &Declaration) -> Result<bool, EngineError> {
        let Declaration::Swarm { service } = declaration else { return Ok(false) };
        Ok(self.enter(None)?.services.contains_key(&WorkloadKey::stored(service)))
    }

    async fn cpus(&self) -> Option<u32> {
        None
    }

    /// Returns the last argument of the command.
    async fn exec(&self, id: &ContainerId, command: &[String]) -> Result<String, EngineError> {
        let mut state = self.enter(None)?;
        let (_, task) = state.task(id).ok_or_else(|| EngineError::NotFound(id.to_string()))?;
        let slot = task.slot;
        let key = state.service_of.get(id).cloned();
        state.commands.extend(key.map(|key| (key, slot)));
        Ok(command.last().cloned().unwrap_or_default())
    }

    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogLines, EngineError> {
        let state = self.enter(None)?;
        state.task(id).ok_or_else(|| EngineError::NotFound(id.to_string()))?;
        Ok(crate::logs::lines(id.as_str(), &[], query, (self.now)()))
    }

    fn events(&self) -> BoxStream<'static, EngineEvent> {
        let connected = futures_util::stream::iter([EngineEvent::Connected]);
        // A subscriber that fell behind missed events, so it has to observe everything.
        let later = BroadcastStream::new(self.events.subscribe()).map(|event| event.unwrap_or(EngineEvent::Connected));
        connected.chain(later).boxed()
    }

    /// A replica on a node that does not answer has no sample.
    fn usage(&self, id: &ContainerId) -> Option<Usage> {
        let state = self.lock();
        let (service, task) = state.task(id)?;
        let node = state.nodes.get(task.node.as_ref()?)?;
        let share = service.load?.of_one(service.running())?;
        let usage = Usage {
            at: (self.now)(),
            cpu_cores: share,
            memory_bytes: 0,
            network_receive_rate: 0.0,
            network_transmit_rate: 0.0,
            network_is_unknown: false,
        };
        (task.runs() && node.answers).then_some(usage)
    }

    fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::new(replica.address?, port))
    }
}

#[async_trait]
impl CountEngine for SimulatedSwarm {
    async fn service(&self, workload: &Workload) -> Result<Option<ServiceState>, EngineError> {
        let state = self.enter(Some(CountCall::Service))?;
        Ok(state.services.get(&workload.key).map(SimService::observed))
    }

    fn leadership(&self) -> Leadership {
        let leader = self.lock().leader.clone();
        leader.map_or(Leadership::Leads, |leader| Leadership::Follows { leader: Some(leader) })
    }

    fn node(&self, replica: &ContainerId) -> Option<String> {
        self.lock().task(replica).and_then(|(_, task)| task.node.clone())
    }

    async fn set_count(&self, workload: &Workload, change: CountChange) -> Result<(), EngineError> {
        {
            let mut state = self.enter(Some(CountCall::SetCount))?;
            let service = state.service(&workload.key)?;
            if service.version != change.version {
                return Err(EngineError::Stale("update out of sequence".to_owned()));
            }
            if service.update != ServiceUpdate::None && !change.force {
                return Err(EngineError::Refused("the service is being updated".to_owned()));
            }
            service.count = change.to;
            service.is_redeployed = false;
        }
        self.specified(&workload.key);
        Ok(())
    }

    async fn deploy(&self, workload: &Workload, count: u32) -> Result<(), EngineError> {
        {
            let mut state = self.enter(Some(CountCall::Deploy))?;
            let template = Template::of(workload);
            match state.services.get_mut(&workload.key) {
                Some(service) => {
                    service.specify(template);
                    service.count = count;
                    service.is_redeployed = false;
                }
                None => {
                    let service = SimService::new(workload.image.clone(), template, count);
                    state.services.insert(workload.key.clone(), service);
                }
            }
        }
        self.specified(&workload.key);
        Ok(())
    }

    async fn roll_back(&self, workload: &Workload) -> Result<(), EngineError> {
        {
            let mut state = self.enter(Some(CountCall::RollBack))?;
            let service = state.service(&workload.key)?;
            let Some(before) = service.before.take() else {
                return Err(EngineError::Refused("the service has no earlier specification".to_owned()));
            };
            service.specify(before);
        }
        self.specified(&workload.key);
        Ok(())
    }

    async fn remove_service(&self, workload: &Workload) -> Result<(), EngineError> {
        self.enter(Some(CountCall::RemoveService))?.services.remove(&workload.key);
        self.place_waiting();
        self.changed(&workload.key);
        Ok(())
    }
}

//! Changes to the simulated Swarm from outside of the host: faults, load, and what people do to services.

use crate::counts::state::{CountCall, FailureAction, Load, SimService, Stage, Task, Template};
use crate::counts::swarm::SimulatedSwarm;
use std::collections::BTreeMap;
use windlass_core::engine::{EngineError, EngineEvent};
use windlass_core::{ContainerId, ImageRef, Replica, ServiceState, Slot, Workload, WorkloadKey};

/// A `docker stack deploy` or `docker service update` by somebody.
#[derive(Debug, Clone, Default)]
pub struct Deploy {
    /// The new template.
    pub template: Template,
    /// The new count. `None` if it stays.
    pub count: Option<u32>,
}

impl SimulatedSwarm {
    /// Makes the Swarm unavailable with this reason, or available again with `None`.
    pub fn set_down(&self, why: Option<&str>) {
        self.lock().down = why.map(str::to_owned);
        let event = why.map_or(EngineEvent::Connected, |why| EngineEvent::Lost(why.to_owned()));
        // Having no subscribers is fine.
        let _ = self.events.send(event);
    }

    /// Lets another Windlass act, or this one with `None`.
    pub fn set_leader(&self, leader: Option<&str>) {
        self.lock().leader = leader.map(str::to_owned);
    }

    /// Makes the next calls of this kind fail with these errors, in this order.
    pub fn fail(&self, call: CountCall, errors: impl IntoIterator<Item = EngineError>) {
        let mut errors: Vec<_> = errors.into_iter().collect();
        errors.reverse();
        self.lock().faults.insert(call, errors);
    }

    /// Number of calls of this kind, including failed calls.
    pub fn calls(&self, call: CountCall) -> u64 {
        self.lock().calls.get(&call).copied().unwrap_or_default()
    }

    /// Creates a service, as somebody else. One replica without a count.
    pub fn create_outside(&self, key: &WorkloadKey, image: ImageRef, deploy: Deploy) {
        let service = SimService::new(image, deploy.template, deploy.count.unwrap_or(1));
        self.lock().services.insert(key.clone(), service);
        self.specified(key);
    }

    /// Deploys a service anew, as somebody else.
    pub fn redeploy(&self, key: &WorkloadKey, deploy: Deploy) {
        self.write(key, |service| {
            let is_other = service.template != deploy.template;
            service.specify(deploy.template);
            if let Some(count) = deploy.count {
                service.is_redeployed = is_other;
                service.count = count;
            }
        });
    }

    /// Sets the count of a service, as `docker service scale` does.
    pub fn scale_outside(&self, key: &WorkloadKey, count: u32) {
        self.write(key, |service| {
            service.count = count;
            service.is_redeployed = false;
        });
    }

    /// Returns a service to the specification before the last write, as `docker service rollback` does.
    pub fn roll_back_outside(&self, key: &WorkloadKey) {
        self.write(key, |service| {
            if let Some(previous) = service.previous.take() {
                (service.template, service.count) = (previous.template, previous.count);
                service.is_redeployed = false;
            }
        });
    }

    fn write(&self, key: &WorkloadKey, change: impl FnOnce(&mut SimService)) {
        if let Some(service) = self.lock().services.get_mut(key) {
            change(service);
        }
        self.specified(key);
    }

    /// Sets the reaction to failures during an update.
    pub fn set_failure_action(&self, key: &WorkloadKey, action: FailureAction) {
        if let Some(service) = self.lock().services.get_mut(key) {
            service.failure_action = action;
        }
    }

    /// Gives a service labels, so that it is declared.
    pub fn set_labels(&self, key: &WorkloadKey, labels: BTreeMap<String, String>) {
        if let Some(service) = self.lock().services.get_mut(key) {
            service.labels = labels;
        }
        self.changed(key);
    }

    /// Sets the CPU use of each running replica, in cores.
    pub fn set_load(&self, key: &WorkloadKey, cores: f64) {
        self.load(key, Load::Each(cores));
    }

    /// Sets the CPU use that all running replicas share, in cores.
    pub fn set_shared_load(&self, key: &WorkloadKey, cores: f64) {
        self.load(key, Load::Shared(cores));
    }

    fn load(&self, key: &WorkloadKey, load: Load) {
        if let Some(service) = self.lock().services.get_mut(key) {
            service.load = Some(load);
        }
    }

    /// Adds a service whose replicas have run for long, all on one node: `node`, which must exist.
    pub fn add_service(&self, workload: &Workload, count: u32, node: &str) {
        let since = (self.now)();
        let mut state = self.lock();
        let mut service = SimService::new(workload.image.clone(), Template::of(workload), count);
        state.index += 1;
        service.version = state.index;
        for slot in (1..=count).map(Slot) {
            state.created += 1;
            let number = state.created;
            // Docker identifiers have 64 hexadecimal digits.
            let id = ContainerId(format!("{number:064x}"));
            let (template, node) = (service.template.clone(), Some(node.to_owned()));
            let stage = Stage::Running { since };
            service.tasks.push(Task { id: id.clone(), number, slot, template, node, created_at: since, stage });
            state.service_of.insert(id, workload.key.clone());
        }
        state.services.insert(workload.key.clone(), service);
    }

    /// The service as the engine reports it. `None` if it does not exist.
    pub fn observed(&self, key: &WorkloadKey) -> Option<ServiceState> {
        self.lock().services.get(key).map(SimService::observed)
    }

    /// The replicas of a service that should run, oldest first.
    pub fn replicas(&self, key: &WorkloadKey) -> Vec<Replica> {
        self.lock().services.get(key).map(|service| service.replicas(key)).unwrap_or_default()
    }

    /// The version of the template that a replica was made from. `None` if there is no such replica.
    pub fn version(&self, id: &ContainerId) -> Option<String> {
        self.lock().task(id).map(|(_, task)| task.template.version.clone())
    }

    /// The slots of a service in which commands ran, in the order of the commands.
    pub fn commands(&self, key: &WorkloadKey) -> Vec<Slot> {
        let state = self.lock();
        state.commands.iter().filter(|(of, _)| of == key).map(|(_, slot)| *slot).collect()
    }

    /// The number of replicas that still run on dead nodes, as far as the managers know.
    pub fn ghosts(&self, key: &WorkloadKey) -> usize {
        self.lock().services.get(key).map(|service| service.ghosts.len()).unwrap_or_default()
    }
}

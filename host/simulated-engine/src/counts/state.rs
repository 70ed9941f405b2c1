//! The state of the simulated Swarm: nodes, services and tasks.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;
use windlass_core::engine::EngineError;
use windlass_core::{
    ContainerId, Generation, ImageRef, MadeFrom, PendingReplica, Phase, Replica, ServiceState, ServiceUpdate, Slot,
    Timestamp, Workload, WorkloadKey,
};

/// Calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CountCall {
    /// [`windlass_core::engine::Engine::list`] and [`windlass_core::engine::Engine::list_all`].
    List,
    /// [`windlass_core::engine::CountEngine::service`].
    Service,
    /// [`windlass_core::engine::CountEngine::set_count`].
    SetCount,
    /// [`windlass_core::engine::CountEngine::deploy`].
    Deploy,
    /// [`windlass_core::engine::CountEngine::roll_back`].
    RollBack,
    /// [`windlass_core::engine::CountEngine::remove_service`].
    RemoveService,
}

#[derive(Debug, Default)]
pub(crate) struct CountState {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) services: BTreeMap<WorkloadKey, SimService>,
    /// The service of each task, so that finding one of many costs nothing for the others.
    pub(crate) service_of: HashMap<ContainerId, WorkloadKey>,
    pub(crate) created: u64,
    /// The index of the last change of the Swarm's store; a changed service gets it as its version.
    pub(crate) index: u64,
    pub(crate) down: Option<String>,
    /// Another Windlass that acts. `None` if this one does.
    pub(crate) leader: Option<String>,
    pub(crate) faults: HashMap<CountCall, Vec<EngineError>>,
    pub(crate) calls: HashMap<CountCall, u64>,
    /// The slots in which commands ran, by service.
    pub(crate) commands: Vec<(WorkloadKey, Slot)>,
}

impl CountState {
    pub(crate) fn service(&mut self, key: &WorkloadKey) -> Result<&mut SimService, EngineError> {
        self.services.get_mut(key).ok_or_else(|| EngineError::NotFound(key.to_string()))
    }

    pub(crate) fn task(&self, id: &ContainerId) -> Option<(&SimService, &Task)> {
        let service = self.services.get(self.service_of.get(id)?)?;
        Some((service, service.tasks.iter().find(|task| task.id == *id)?))
    }
}

/// A node of the Swarm.
#[derive(Debug)]
pub(crate) struct Node {
    /// The number of tasks that fit on it.
    pub(crate) room: u32,
    /// Its labels, for placement constraints.
    pub(crate) labels: Vec<String>,
    /// Whether the machine runs.
    pub(crate) answers: bool,
    /// Whether the managers have noticed that it does not.
    pub(crate) is_down: bool,
}

/// The part of a service's specification from which its tasks are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// Distinguishes specifications.
    pub version: String,
    /// The label that a node must have. `None` if every node fits.
    pub constraint: Option<String>,
    /// Processes end with an error this long after their start. `None` if they run on.
    pub crash_after: Option<Duration>,
}

impl Template {
    pub(crate) fn of(workload: &Workload) -> Self {
        Self { version: workload.generation().to_string(), ..Self::default() }
    }
}

/// The reaction to a replica that fails while the service is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailureAction {
    /// The update stands still, which is Swarm's default.
    #[default]
    Pause,
    /// The service returns to the specification before.
    Rollback,
    /// The update goes on.
    Continue,
}

/// The CPU use of a service's replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Load {
    /// Cores per replica.
    Each(f64),
    /// Cores that all running replicas share.
    Shared(f64),
}

impl Load {
    /// The use of one of this many running replicas. `None` if none runs.
    pub(crate) fn of_one(self, running: usize) -> Option<f64> {
        let running = u32::try_from(running).ok().filter(|running| *running > 0)?;
        Some(match self {
            Self::Each(cores) => cores,
            Self::Shared(cores) => cores / f64::from(running),
        })
    }
}

/// A specification: the template and the count.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) template: Template,
    pub(crate) count: u32,
}

/// A service and its tasks.
#[derive(Debug)]
pub(crate) struct SimService {
    pub(crate) image: ImageRef,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) version: u64,
    pub(crate) template: Template,
    pub(crate) count: u32,
    /// The specification before the last write, whatever that changed: `docker service rollback` returns to it.
    pub(crate) previous: Option<Spec>,
    /// The specification of the last write.
    pub(crate) written: Spec,
    /// The template before the last write that changed it.
    pub(crate) before: Option<Template>,
    pub(crate) failure_action: FailureAction,
    pub(crate) update: ServiceUpdate,
    pub(crate) update_message: String,
    /// The number of the updater in progress. Another write of the service begins another one.
    pub(crate) updater: u64,
    pub(crate) is_redeployed: bool,
    pub(crate) tasks: Vec<Task>,
    /// Tasks of dead nodes. Nothing stops them until the node is back.
    pub(crate) ghosts: Vec<Task>,
    /// The failures in each slot since the last update, and the tasks made for it.
    pub(crate) failed: HashMap<Slot, u32>,
    pub(crate) load: Option<Load>,
}

impl SimService {
    pub(crate) fn new(image: ImageRef, template: Template, count: u32) -> Self {
        Self {
            image,
            labels: BTreeMap::new(),
            version: 0,
            written: Spec { template: template.clone(), count },
            template,
            count,
            previous: None,
            before: None,
            failure_action: FailureAction::default(),
            update: ServiceUpdate::None,
            update_message: String::new(),
            updater: 0,
            is_redeployed: false,
            tasks: Vec::new(),
            ghosts: Vec::new(),
            failed: HashMap::new(),
            load: None,
        }
    }

    /// Gives the service another template, and remembers the one before.
    pub(crate) fn specify(&mut self, template: Template) {
        if self.template != template {
            self.before = Some(std::mem::replace(&mut self.template, template));
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.tasks.iter().filter(|task| task.runs()).count()
    }

    /// The service as the API reports it.
    pub(crate) fn observed(&self) -> ServiceState {
        let pending = self.tasks.iter().filter_map(|task| match &task.stage {
            Stage::Pending { reason } => {
                Some(PendingReplica { slot: task.slot, since: task.created_at, reason: reason.clone() })
            }
            _ => None,
        });
        ServiceState {
            id: format!("service-{}", self.image.short_name()),
            version: self.version,
            count: self.count,
            update: self.update,
            update_message: self.update_message.clone(),
            pending: pending.collect(),
            is_redeployed: self.is_redeployed,
        }
    }

    /// The tasks that should run, oldest first.
    pub(crate) fn replicas(&self, key: &WorkloadKey) -> Vec<Replica> {
        let listed = self.tasks.iter().filter(|task| task.stage != Stage::Delayed);
        let mut replicas: Vec<Replica> = listed.map(|task| task.replica(self, key)).collect();
        replicas
            .sort_by(|one, other| (one.created_at, one.slot, &one.id).cmp(&(other.created_at, other.slot, &other.id)));
        replicas
    }
}

/// The stage of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits until the delay after the failure of the one before is over.
    Delayed,
    /// No node fits, for this reason.
    Pending { reason: String },
    /// Its node prepares it.
    Starting,
    /// Its process runs since this time.
    Running { since: Timestamp },
}

/// A task: one replica of a service.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: ContainerId,
    pub(crate) number: u64,
    pub(crate) slot: Slot,
    pub(crate) template: Template,
    pub(crate) node: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) stage: Stage,
}

impl Task {
    pub(crate) fn runs(&self) -> bool {
        matches!(self.stage, Stage::Running { .. })
    }

    fn replica(&self, service: &SimService, key: &WorkloadKey) -> Replica {
        let (phase, status, error) = match &self.stage {
            Stage::Pending { reason } => (Phase::Starting, "pending", reason.as_str()),
            Stage::Delayed | Stage::Starting => (Phase::Starting, "starting", ""),
            Stage::Running { .. } => (Phase::Running, "running", ""),
        };
        let started_at = match self.stage {
            Stage::Running { since } => Some(since),
            Stage::Delayed | Stage::Pending { .. } | Stage::Starting => None,
        };
        Replica {
            id: self.id.clone(),
            name: format!("{key}.{}.{}", self.slot, self.number),
            workload: key.clone(),
            image: service.image.to_string(),
            made_from: MadeFrom { generation: Some(Generation::stored(self.template.version.clone())), image_id: None },
            creator: Default::default(),
            slot: self.slot,
            phase,
            status: status.to_owned(),
            created_at: self.created_at,
            started_at,
            finished_at: None,
            exit_code: None,
            out_of_memory: false,
            error: error.to_owned(),
            engine_restarts: service.failed.get(&self.slot).copied().unwrap_or_default(),
            restart_policy: None,
            limits: Default::default(),
            stops_by_kill: false,
            has_slot_name: true,
            ports: BTreeMap::new(),
            address: Some(Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(self.number).unwrap_or(0)).into()),
            node: self.node.clone(),
            is_protected: false,
            usage: None,
            health_check: None,
        }
    }
}

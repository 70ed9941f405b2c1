//! Keeps the number of replicas of a service: creates, places and removes tasks, and replaces those that fail.

use crate::counts::nodes::fitting;
use crate::counts::state::{CountState, SimService, Spec, Stage, Task, Template};
use crate::counts::swarm::SimulatedSwarm;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use windlass_core::{ContainerId, Slot, WorkloadKey};

/// Time between the failure of a task and the start of the next one: Swarm's default.
const RESTART_DELAY: Duration = Duration::from_secs(5);

impl SimulatedSwarm {
    /// Reacts to a written specification: another version, the right number of tasks, and an updater if tasks are outdated.
    pub(crate) fn specified(&self, key: &WorkloadKey) {
        {
            let mut state = self.lock();
            state.index += 1;
            let index = state.index;
            let Some(service) = state.services.get_mut(key) else { return };
            let spec = Spec { template: service.template.clone(), count: service.count };
            // As Swarm does for any write, one of the count alone too.
            if service.version > 0 {
                service.previous = Some(std::mem::replace(&mut service.written, spec));
            }
            service.version = index;
        }
        self.reconcile(key);
        self.begin_update(key, false);
        self.changed(key);
    }

    /// Creates the missing tasks of a service and removes those above its count, in Swarm's order.
    pub(crate) fn reconcile(&self, key: &WorkloadKey) {
        let mut begun = Vec::new();
        {
            let mut state = self.lock();
            let Some(service) = state.services.get_mut(key) else { return };
            let count = usize::try_from(service.count).unwrap_or(usize::MAX);
            let slots: BTreeSet<Slot> = service.tasks.iter().map(|task| task.slot).collect();
            let surplus: BTreeSet<Slot> =
                removal_order(service).into_iter().take(slots.len().saturating_sub(count)).collect();
            let removed: Vec<ContainerId> =
                service.tasks.extract_if(.., |task| surplus.contains(&task.slot)).map(|task| task.id).collect();
            service.failed.retain(|slot, _| !surplus.contains(slot));
            let missing = count.saturating_sub(slots.len());
            let free: Vec<Slot> = (1..).map(Slot).filter(|slot| !slots.contains(slot)).take(missing).collect();
            let template = service.template.clone();
            removed.iter().for_each(|id| drop(state.service_of.remove(id)));
            for slot in free {
                begun.extend(self.create(&mut state, key, slot, template.clone()));
            }
        }
        for id in begun {
            self.start_later(id);
        }
        self.place_waiting();
    }

    /// Adds a task and places it. Returns it if it found a node.
    pub(crate) fn create(
        &self,
        state: &mut CountState,
        key: &WorkloadKey,
        slot: Slot,
        template: Template,
    ) -> Option<ContainerId> {
        state.created += 1;
        let number = state.created;
        let id = ContainerId(format!("task-{number:05}"));
        let placed = fitting(state, key, &template);
        let (node, stage) = match placed {
            Ok(node) => (Some(node), Stage::Starting),
            Err(reason) => (None, Stage::Pending { reason }),
        };
        let is_placed = node.is_some();
        let task = Task { id: id.clone(), number, slot, template, node, created_at: (self.now)(), stage };
        state.service_of.insert(id.clone(), key.clone());
        state.services.get_mut(key)?.tasks.push(task);
        is_placed.then_some(id)
    }

    /// Places the tasks that wait for a node, the oldest first.
    pub(crate) fn place_waiting(&self) {
        let mut begun = Vec::new();
        {
            let mut state = self.lock();
            let mut waiting: Vec<(u64, WorkloadKey, ContainerId, Template)> = Vec::new();
            for (key, service) in &state.services {
                let pending = service.tasks.iter().filter(|task| matches!(task.stage, Stage::Pending { .. }));
                waiting.extend(pending.map(|task| (task.number, key.clone(), task.id.clone(), task.template.clone())));
            }
            waiting.sort_by_key(|(number, ..)| *number);
            for (_, key, id, template) in waiting {
                let placed = fitting(&state, &key, &template);
                let tasks = state.services.get_mut(&key).map(|service| &mut service.tasks);
                let Some(task) = tasks.and_then(|tasks| tasks.iter_mut().find(|task| task.id == id)) else { continue };
                match placed {
                    Ok(node) => {
                        (task.node, task.stage) = (Some(node), Stage::Starting);
                        begun.push(id);
                    }
                    Err(reason) => task.stage = Stage::Pending { reason },
                }
            }
        }
        for id in begun {
            self.start_later(id);
        }
    }

    /// Starts the process of a placed task after the usual delay.
    pub(crate) fn start_later(&self, id: ContainerId) {
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(this.start_delay).await;
            this.start(&id);
        });
    }

    fn start(&self, id: &ContainerId) {
        let since = (self.now)();
        let (key, crash_after) = {
            let mut state = self.lock();
            let Some((key, task)) = find(&mut state, id) else { return };
            if task.stage != Stage::Starting {
                return;
            }
            task.stage = Stage::Running { since };
            (key, task.template.crash_after)
        };
        if let Some(after) = crash_after {
            let (this, id) = (self.clone(), id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                this.fail_task(&id);
            });
        }
        self.changed(&key);
    }

    /// Ends a running task with an error. Another one takes its slot after a delay.
    pub fn fail_task(&self, id: &ContainerId) {
        let (key, next, is_new) = {
            let mut state = self.lock();
            let Some((key, task)) = find(&mut state, id) else { return };
            if !task.runs() {
                return;
            }
            let (slot, failed_template) = (task.slot, task.template.clone());
            state.created += 1;
            let number = state.created;
            let next = ContainerId(format!("task-{number:05}"));
            let created_at = (self.now)();
            state.service_of.remove(id);
            state.service_of.insert(next.clone(), key.clone());
            let Some(service) = state.services.get_mut(&key) else { return };
            *service.failed.entry(slot).or_default() += 1;
            // The next one is made from the service's specification of now, whether or not an update is paused.
            let template = service.template.clone();
            let is_new = failed_template == template;
            let task = Task { id: next.clone(), number, slot, template, node: None, created_at, stage: Stage::Delayed };
            service.tasks.retain(|known| known.id != *id);
            service.tasks.push(task);
            (key, next, is_new)
        };
        if is_new {
            self.note_failed(&key, id);
        }
        self.changed(&key);
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RESTART_DELAY).await;
            this.end_delay(&next);
        });
    }

    fn end_delay(&self, id: &ContainerId) {
        let key = {
            let mut state = self.lock();
            let Some((key, task)) = find(&mut state, id) else { return };
            if task.stage == Stage::Delayed {
                task.stage = Stage::Pending { reason: String::new() };
            }
            key
        };
        self.place_waiting();
        self.changed(&key);
    }
}

/// A task with the key of its service.
pub(crate) fn find<'a>(state: &'a mut CountState, id: &ContainerId) -> Option<(WorkloadKey, &'a mut Task)> {
    let key = state.service_of.get(id)?.clone();
    let task = state.services.get_mut(&key)?.tasks.iter_mut().find(|task| task.id == *id)?;
    Some((key, task))
}

/// The slots in the order in which Swarm removes them (swarmkit, `manager/orchestrator/replicated`): it numbers the tasks on
/// each node, those that run first, and keeps the lowest numbers; a slot without a node or with two tasks goes first.
fn removal_order(service: &SimService) -> Vec<Slot> {
    let mut slots: BTreeMap<Slot, Vec<&Task>> = BTreeMap::new();
    for task in &service.tasks {
        slots.entry(task.slot).or_default().push(task);
    }
    let mut slots: Vec<(Slot, Vec<&Task>)> = slots.into_iter().collect();
    slots.sort_by_key(|(_, tasks)| !tasks.iter().any(|task| task.runs()));
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    let mut numbered: Vec<(usize, Slot)> = Vec::new();
    for (slot, tasks) in &slots {
        let number = match tasks.as_slice() {
            [Task { node: Some(node), .. }] => {
                let number = on_node.entry(node).or_default();
                *number += 1;
                *number
            }
            _ => usize::MAX,
        };
        numbered.push((number, *slot));
    }
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().rev().map(|(_, slot)| slot).collect()
}

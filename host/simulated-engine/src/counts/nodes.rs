//! Nodes of the simulated Swarm: placement on them, their death, which the managers notice late, and their return.

use crate::counts::state::{CountState, Node, Stage, Task, Template};
use crate::counts::swarm::SimulatedSwarm;
use std::time::Duration;
use windlass_core::WorkloadKey;

/// Time from the death of a node until the managers notice it.
const NOTICED_AFTER: Duration = Duration::from_secs(15);

impl SimulatedSwarm {
    /// Adds a node with room for this many tasks, and with these labels.
    pub fn add_node(&self, name: &str, room: u32, labels: &[&str]) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.lock().nodes.insert(name.to_owned(), Node { room, labels, answers: true, is_down: false });
        self.nodes_changed();
    }

    /// Changes the number of tasks that fit on a node. Those that are there stay.
    pub fn set_room(&self, name: &str, room: u32) {
        if let Some(node) = self.lock().nodes.get_mut(name) {
            node.room = room;
        }
        self.nodes_changed();
    }

    /// Cuts the power of a node: its replicas have no samples at once, and other nodes get their places once the managers
    /// notice.
    pub fn kill_node(&self, name: &str) {
        if let Some(node) = self.lock().nodes.get_mut(name) {
            node.answers = false;
        }
        let (this, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(NOTICED_AFTER).await;
            this.notice_death(&name);
        });
    }

    /// Starts a node again. Its old replicas are stopped.
    pub fn revive_node(&self, name: &str) {
        {
            let mut state = self.lock();
            let Some(node) = state.nodes.get_mut(name) else { return };
            (node.answers, node.is_down) = (true, false);
            for service in state.services.values_mut() {
                service.ghosts.retain(|task| task.node.as_deref() != Some(name));
            }
        }
        self.nodes_changed();
    }

    fn notice_death(&self, name: &str) {
        let lost = {
            let mut state = self.lock();
            let Some(node) = state.nodes.get_mut(name) else { return };
            if node.answers {
                return;
            }
            node.is_down = true;
            let mut lost = Vec::new();
            for (key, service) in &mut state.services {
                let is_lost = |task: &mut Task| task.node.as_deref() == Some(name);
                let tasks: Vec<_> = service.tasks.extract_if(.., is_lost).collect();
                if !tasks.is_empty() {
                    lost.push(key.clone());
                    service.ghosts.extend(tasks);
                }
            }
            lost
        };
        for key in lost {
            self.reconcile(&key);
            self.changed(&key);
        }
    }

    fn nodes_changed(&self) {
        self.place_waiting();
        let keys: Vec<WorkloadKey> = self.lock().services.keys().cloned().collect();
        keys.iter().for_each(|key| self.changed(key));
    }
}

/// The node for a new task: of those that fit, the one with the fewest tasks of the service, then with the fewest tasks. The
/// error is Swarm's reason that none fits.
pub(crate) fn fitting(state: &CountState, key: &WorkloadKey, template: &Template) -> Result<String, String> {
    let tasks_on = |name: &str, only: Option<&WorkloadKey>| {
        let services = state.services.iter().filter(|(other, _)| only.is_none_or(|only| only == *other));
        let tasks = services.flat_map(|(_, service)| &service.tasks);
        let is_there = tasks.filter(|task| task.node.as_deref() == Some(name) && task.stage != Stage::Delayed);
        u32::try_from(is_there.count()).unwrap_or(u32::MAX)
    };
    let (mut full, mut unfit) = (0_u32, 0_u32);
    let mut best: Option<(u32, u32, &String)> = None;
    for (name, node) in state.nodes.iter().filter(|(_, node)| !node.is_down) {
        let all = tasks_on(name, None);
        if template.constraint.as_ref().is_some_and(|label| !node.labels.contains(label)) {
            unfit += 1;
        } else if all >= node.room {
            full += 1;
        } else {
            let candidate = (tasks_on(name, Some(key)), all, name);
            best = Some(best.map_or(candidate, |best| best.min(candidate)));
        }
    }
    let nodes = |count: u32| if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
    let mut reasons = Vec::new();
    if unfit > 0 {
        reasons.push(format!("scheduling constraints not satisfied on {}", nodes(unfit)));
    }
    if full > 0 {
        reasons.push(format!("insufficient resources on {}", nodes(full)));
    }
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    best.map(|(_, _, name)| name.clone()).ok_or_else(|| format!("no suitable node{reasons}"))
}

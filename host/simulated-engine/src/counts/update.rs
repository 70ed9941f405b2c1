//! Updates of services: outdated tasks are replaced one at a time, the old one first. A failure pauses the update, rolls the
//! service back, or is ignored.

use crate::counts::state::{FailureAction, SimService};
use crate::counts::swarm::SimulatedSwarm;
use std::time::Duration;
use windlass_core::{ContainerId, ServiceUpdate, Slot, WorkloadKey};

/// A replica that fails within this time after it was replaced counts as a failure of the update: Swarm's default.
const MONITOR: Duration = Duration::from_secs(5);

/// The wait for a new task to run.
const POLL: Duration = Duration::from_millis(250);

/// The state of a new task.
enum Progress {
    Runs,
    Waits,
    /// Another write or a failure ended the updater.
    Ended,
}

impl SimulatedSwarm {
    /// Begins an update if tasks are outdated. It ends the one in progress: a write of the service begins anew.
    pub(crate) fn begin_update(&self, key: &WorkloadKey, is_rollback: bool) {
        let updater = {
            let mut state = self.lock();
            state.index += 1;
            let index = state.index;
            let Some(service) = state.services.get_mut(key) else { return };
            service.updater += 1;
            service.update_message.clear();
            if outdated(service).is_none() {
                service.update = ServiceUpdate::None;
                return;
            }
            service.update = if is_rollback { ServiceUpdate::RollingBack } else { ServiceUpdate::Updating };
            service.failed.clear();
            service.version = index;
            service.updater
        };
        let (this, key) = (self.clone(), key.clone());
        tokio::spawn(async move { this.update(&key, updater).await });
    }

    async fn update(&self, key: &WorkloadKey, updater: u64) {
        while let Some(id) = self.replace_next(key, updater) {
            loop {
                match self.progress(key, updater, &id) {
                    Progress::Runs => break,
                    Progress::Waits => tokio::time::sleep(POLL).await,
                    Progress::Ended => return,
                }
            }
        }
        tokio::time::sleep(MONITOR).await;
        {
            let mut state = self.lock();
            state.index += 1;
            let index = state.index;
            let Some(service) = state.services.get_mut(key).filter(|service| service.updater == updater) else {
                return;
            };
            let is_rollback = service.update == ServiceUpdate::RollingBack;
            service.update = ServiceUpdate::None;
            service.update_message = if is_rollback { "rollback completed" } else { "update completed" }.to_owned();
            service.version = index;
        }
        self.changed(key);
    }

    /// Stops the next outdated task and creates its successor. `None` if there is none.
    fn replace_next(&self, key: &WorkloadKey, updater: u64) -> Option<ContainerId> {
        let (id, is_placed) = {
            let mut state = self.lock();
            let service = state.services.get_mut(key).filter(|service| service.updater == updater)?;
            let slot = outdated(service)?;
            let template = service.template.clone();
            let old: Vec<ContainerId> =
                service.tasks.extract_if(.., |task| task.slot == slot).map(|task| task.id).collect();
            old.iter().for_each(|id| drop(state.service_of.remove(id)));
            let placed = self.create(&mut state, key, slot, template);
            let id = state.services.get(key)?.tasks.last()?.id.clone();
            (id, placed.is_some())
        };
        if is_placed {
            self.start_later(id.clone());
        }
        self.place_waiting();
        self.changed(key);
        Some(id)
    }

    fn progress(&self, key: &WorkloadKey, updater: u64, id: &ContainerId) -> Progress {
        let state = self.lock();
        let Some(service) = state.services.get(key).filter(|service| service.updater == updater) else {
            return Progress::Ended;
        };
        match service.tasks.iter().find(|task| task.id == *id) {
            Some(task) if !task.runs() => Progress::Waits,
            // A task that is gone was removed by a smaller count, or has failed and goes on as another.
            Some(_) | None => Progress::Runs,
        }
    }

    /// Reacts to a failed task as the service's failure action says, if an update is in progress.
    pub(crate) fn note_failed(&self, key: &WorkloadKey, id: &ContainerId) {
        let rolls_back = {
            let mut state = self.lock();
            state.index += 1;
            let index = state.index;
            let Some(service) = state.services.get_mut(key) else { return };
            let message = format!("due to failure or early termination of task {id}");
            match (service.update, service.failure_action) {
                (ServiceUpdate::Updating, FailureAction::Pause) => {
                    service.update = ServiceUpdate::Paused;
                    service.update_message = format!("update paused {message}");
                    service.updater += 1;
                    service.version = index;
                    false
                }
                (ServiceUpdate::RollingBack, _) => {
                    service.update = ServiceUpdate::RollbackPaused;
                    service.update_message = format!("rollback paused {message}");
                    service.updater += 1;
                    service.version = index;
                    false
                }
                (ServiceUpdate::Updating, FailureAction::Rollback) => {
                    // Swarm returns to the specification before the last write, whatever that changed.
                    let previous = service.previous.take();
                    if let Some(previous) = previous {
                        (service.template, service.count) = (previous.template, previous.count);
                        service.version = index;
                    }
                    true
                }
                _ => false,
            }
        };
        if rolls_back {
            self.reconcile(key);
            self.begin_update(key, true);
        }
    }
}

/// The lowest slot whose task is of another template. `None` if all are up to date.
fn outdated(service: &SimService) -> Option<Slot> {
    service.tasks.iter().filter(|task| task.template != service.template).map(|task| task.slot).min()
}

//! Changes to the simulated engine from outside of the host: faults, load, and what people do to containers.

use super::{Call, SimulatedEngine, end, sorted};
use std::time::Duration;
use tokio::sync::watch;
use windlass_core::contract::Usage;
use windlass_core::engine::{EngineError, EngineEvent};
use windlass_core::logs::{LogLine, LogStream};
use windlass_core::{ContainerId, DeclaredService, Phase, Replica, WorkloadKey};

impl SimulatedEngine {
    /// Makes the engine unavailable with this reason, or available again with `None`.
    pub fn set_down(&self, why: Option<&str>) {
        {
            let mut engine = self.lock();
            engine.down = why.map(str::to_owned);
            engine.stops.clear();
        }
        self.send(why.map_or(EngineEvent::Connected, |why| EngineEvent::Lost(why.to_owned())));
    }

    /// Makes the next calls of this kind fail with these errors, in this order.
    pub fn fail(&self, call: Call, errors: impl IntoIterator<Item = EngineError>) {
        let mut errors: Vec<_> = errors.into_iter().collect();
        errors.reverse();
        self.lock().faults.insert(call, errors);
    }

    /// Makes later pulls hang, and returns the number of those that do.
    pub fn hang_pulls(&self) -> watch::Receiver<usize> {
        let mut engine = self.lock();
        engine.pulls_hang = true;
        engine.hanging_pulls.subscribe()
    }

    /// Makes processes of this workload exit with code 1 this long after their start. `None` lets them run.
    pub fn set_crash_after(&self, key: &WorkloadKey, after: Option<Duration>) {
        let mut engine = self.lock();
        match after {
            Some(after) => engine.crash_after.insert(key.clone(), after),
            None => engine.crash_after.remove(key),
        };
    }

    /// Sets the resource use of every replica of this workload.
    pub fn set_load(&self, key: &WorkloadKey, usage: Usage) {
        self.lock().load.insert(key.clone(), usage);
    }

    /// Sets the resource use of this workload's replicas for a time after their start; it overrides
    /// [`SimulatedEngine::set_load`].
    pub fn set_starting_load(&self, key: &WorkloadKey, lasts: Duration, usage: Usage) {
        self.lock().starting_load.insert(key.clone(), (lasts, usage));
    }

    /// Ends a replica's process with this exit code, from outside the host.
    pub fn kill(&self, id: &ContainerId, code: i32) {
        let now = (self.now)();
        let killed = self.lock().find(id).map(|replica| {
            end(replica, code, now);
            replica.workload.clone()
        });
        if let Ok(workload) = killed {
            self.send(EngineEvent::Changed(workload));
        }
    }

    /// Stops a replica through the engine, as `docker stop` does: a signal, the end of the process, and the record of the
    /// stop.
    pub fn stop_outside(&self, id: &ContainerId) {
        self.signal_outside(id);
        self.kill(id, 0);
        let at = (self.now)();
        let workload = self.lock().workload_of.get(id).cloned();
        if let Some(workload) = workload {
            let stop = EngineEvent::Stopped { workload, replica: id.clone(), at };
            self.lock().stops.push(stop.clone());
            self.send(stop);
        }
    }

    /// Sends SIGKILL to a replica through the engine, as `docker kill` does.
    pub fn kill_outside(&self, id: &ContainerId) {
        self.send_signal(id, true);
        self.kill(id, 137);
    }

    /// Sends another signal to a replica through the engine, as `docker kill -s QUIT` does. Its process runs on.
    pub fn signal_outside(&self, id: &ContainerId) {
        self.send_signal(id, false);
    }

    fn send_signal(&self, id: &ContainerId, kills: bool) {
        let at = (self.now)();
        let workload = self.lock().workload_of.get(id).cloned();
        if let Some(workload) = workload {
            self.send(EngineEvent::Signalled { workload, replica: id.clone(), at, kills });
        }
    }

    /// Puts a replica into a phase that the engine reaches without the host: paused, restarting, dead. A paused replica
    /// whose phase becomes running continues its process.
    pub fn set_phase(&self, id: &ContainerId, phase: Phase) {
        self.change(id, |replica| {
            replica.phase = phase;
            format!("{phase:?}").to_lowercase().clone_into(&mut replica.status);
        });
    }

    /// Adds a running container with the labels of a replica, as `docker commit` and `docker run` do.
    pub fn copy_labels(&self, id: &ContainerId) {
        let mut engine = self.lock();
        let Ok(original) = engine.find(id).cloned() else { return };
        engine.created += 1;
        let number = engine.created;
        let copy = Replica {
            id: ContainerId(format!("copy-{number:05}")),
            name: format!("copy-of-{}", original.name),
            has_slot_name: false,
            created_at: (self.now)(),
            started_at: Some((self.now)()),
            ..original
        };
        engine.insert(copy);
    }

    /// Changes the engine's description of a replica.
    pub fn change(&self, id: &ContainerId, change: impl FnOnce(&mut Replica)) {
        let changed = self.lock().find(id).map(|replica| {
            change(replica);
            replica.workload.clone()
        });
        if let Ok(workload) = changed {
            self.send(EngineEvent::Changed(workload));
        }
    }

    /// Starts a replica through the engine, as a user would.
    pub fn start_outside(&self, id: &ContainerId) {
        let mut engine = self.lock();
        // A removed replica is not started.
        let _ = self.begin(&mut engine, id);
    }

    /// Makes a replica print a line. `stream` is the one that it prints to.
    pub fn print(&self, id: &ContainerId, stream: LogStream, text: &str) {
        let line = LogLine { at: Some((self.now)()), stream, text: text.to_owned() };
        self.lock().printed.entry(id.clone()).or_default().push(line);
    }

    /// Removes a replica without the host's knowledge.
    pub fn vanish(&self, id: &ContainerId) {
        let workload = self.lock().remove(id);
        if let Some(key) = workload {
            self.send(EngineEvent::Changed(key));
        }
    }

    /// Sets the services that declare their workloads by labels. Each that differs is an event, as `docker compose up` causes.
    pub fn declare(&self, services: Vec<DeclaredService>) {
        let mut engine = self.lock();
        let gone = engine.declared.iter().filter(|old| !services.contains(old));
        let new = services.iter().filter(|new| !engine.declared.contains(new));
        let changed: Vec<WorkloadKey> = gone.chain(new).map(|service| service.key.clone()).collect();
        engine.declared = services;
        drop(engine);
        for key in changed {
            self.send(EngineEvent::Changed(key));
        }
    }

    /// Adds a container that the host finds after a restart.
    pub fn adopt(&self, replica: Replica) {
        self.lock().insert(replica);
    }

    /// All replicas of a workload, oldest first.
    pub fn replicas(&self, key: &WorkloadKey) -> Vec<Replica> {
        sorted(self.lock().replicas.get(key).map(|replicas| replicas.values().cloned().collect()).unwrap_or_default())
    }

    /// Number of calls of this kind, including failed calls.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls.get(&call).copied().unwrap_or_default()
    }

    /// The containers that calls created, started and removed, in this order.
    pub fn journal(&self) -> Vec<(Call, ContainerId)> {
        self.lock().journal.clone()
    }
}

//! An operator's requests about one container: hold, release, protect, remove. Each holds the workload's pass lock, so it
//! never overlaps a pass, and wakes the workload at its end.

use crate::controller::Controller;
use crate::drain;
use crate::error::ControlError;
use crate::reconcile::observe::is_ours;
use crate::stop::Stopper;
use crate::workload::handle::WorkloadHandle;
use crate::workload_events::publish_request;
use std::sync::Arc;
use windlass_core::engine::{AnyEngine, EngineError, SlotEngine};
use windlass_core::workload::DesiredStatus;
use windlass_core::{ContainerId, Replica, WorkloadKey};

/// A container that was found by name or identifier, and its workload.
pub(crate) struct Found {
    pub(crate) replica: Replica,
    /// `None` if its workload is unknown: nothing counts or repairs it.
    handle: Option<Arc<WorkloadHandle>>,
}

impl Controller {
    /// Stops a container and holds it: it is neither counted nor restarted until it is released. The target falls by 1,
    /// down to the minimum; the next pass creates what the minimum still requires.
    ///
    /// `name_or_id`: its name, its identifier, or at least the first 12 characters of the identifier.
    pub async fn hold(&self, name_or_id: &str) -> Result<Replica, ControlError> {
        let found = self.find(name_or_id).await?;
        let Some(handle) = found.handle else {
            self.check_may_change(&found.replica, None)?;
            let grace = self.context.settings.stop_grace;
            return self.slots()?.stop(&found.replica.id, grace).await.map_err(|error| self.refusal(error));
        };
        let _lock = self.lock(&handle).await?;
        self.check_may_change(&found.replica, Some(&handle))?;
        let held = self.hold_one(&handle, &found.replica.id).await?;
        publish_request(&self.context, &held, "hold", "an operator stops and holds it");
        handle.wake();
        Ok(held)
    }

    /// Starts a held container and counts it: the target rises to include it. At the maximum, the youngest other replica is
    /// removed.
    pub async fn release(&self, name_or_id: &str) -> Result<Replica, ControlError> {
        let found = self.find(name_or_id).await?;
        let Some(handle) = found.handle else {
            self.check_may_change(&found.replica, None)?;
            return self.slots()?.start(&found.replica.id).await.map_err(|error| self.refusal(error));
        };
        let _lock = self.lock(&handle).await?;
        if let Err(conflict) = self.check_may_change(&found.replica, Some(&handle)) {
            // A running container needs no change.
            return if found.replica.is_running() { Ok(found.replica) } else { Err(conflict) };
        }
        let released = self.release_one(&handle, &found.replica.id).await?;
        publish_request(&self.context, &released, "release", "an operator starts it");
        handle.wake();
        Ok(released)
    }

    /// Protects a container from scale-in by a policy, or ends the protection.
    pub async fn protect(&self, name_or_id: &str, is_protected: bool) -> Result<Replica, ControlError> {
        let found = self.find(name_or_id).await?;
        let Some(handle) = found.handle else {
            let why = "the workload of this container is unknown, so no scale-in can remove it";
            return Err(ControlError::Conflict(why.to_owned()));
        };
        let _lock = self.lock(&handle).await?;
        let id = found.replica.id.clone();
        if self.is_count_engine() {
            if !is_protected {
                return Ok(found.replica);
            }
            let why = "Swarm chooses the tasks that it removes, so none can be protected; freeze scale-in instead";
            return Err(ControlError::Conflict(why.to_owned()));
        }
        let history = {
            let mut state = handle.state();
            if is_protected {
                state.history.protected.insert(id);
            } else {
                state.history.protected.remove(&id);
            }
            state.history.clone()
        };
        let (key, now) = (handle.key.clone(), self.context.clock.now());
        self.context.store.call(move |store| store.save_pass(&key, &history, None, now)).await?;
        let (change, what) = if is_protected {
            ("protect", "an operator protects it from scale-in")
        } else {
            ("unprotect", "an operator does not protect it from scale-in any more")
        };
        publish_request(&self.context, &found.replica, change, what);
        handle.wake();
        Ok(found.replica)
    }

    /// Removes a container; a running one only with `force`. The next pass replaces it if it counted.
    pub async fn remove(&self, name_or_id: &str, force: bool) -> Result<Replica, ControlError> {
        let found = self.find(name_or_id).await?;
        let id = found.replica.id.clone();
        let Some(handle) = found.handle else {
            self.check_may_change(&found.replica, None)?;
            self.slots()?.remove(&id, force).await.map_err(|error| self.refusal(error))?;
            self.context.workloads.orphans().retain(|orphan| orphan.id != id);
            return Ok(found.replica);
        };
        let _lock = self.lock(&handle).await?;
        self.check_may_change(&found.replica, Some(&handle))?;
        // Without force, the engine refuses to remove a container that runs.
        if force || !found.replica.is_alive() {
            drain::before_stop(&self.context, &handle, [&id]).await;
        }
        if force && found.replica.is_alive() {
            // The engine kills it without a grace period. Its stop hook runs all the same.
            let workload = handle.state().workload.clone();
            let stopper = Stopper::new(&self.context, &handle, &workload);
            stopper.call_hook(&found.replica, "an operator removes it").await;
        }
        if let Err(error) = self.slots()?.remove(&id, force).await {
            drain::cancel(&self.context, &handle, &id);
            handle.wake();
            return Err(self.refusal(error));
        }
        {
            let mut state = handle.state();
            // A removal is not a crash: the slot is filled again without backoff.
            state.history.slots.remove(&found.replica.slot);
            state.snapshot.replicas.retain(|replica| replica.id != id);
            state.leaving.remove(&id);
        }
        self.set_held(&handle, &id, false).await?;
        publish_request(&self.context, &found.replica, "remove", "an operator removes it");
        handle.wake();
        Ok(found.replica)
    }

    /// Starts the stopped containers of a workload in which none runs; of the held ones, the oldest up to its maximum. If one
    /// does not start, the pass repairs it.
    pub(crate) async fn start_stopped(&self, handle: &Arc<WorkloadHandle>) -> Result<(), ControlError> {
        let replicas = self.list(handle).await?;
        if replicas.iter().any(Replica::is_alive) {
            return Ok(());
        }
        let (held, counted, most) = {
            let state = handle.state();
            let (held, counted): (Vec<&Replica>, Vec<&Replica>) =
                replicas.iter().partition(|replica| state.held.contains(&replica.id));
            (held, counted, state.workload.bounds.max())
        };
        let room = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(counted.len());
        let starts = counted.into_iter().chain(held.into_iter().take(room)).map(async |replica| {
            let Err(error) = self.release_one(handle, &replica.id).await else { return Ok(()) };
            tracing::warn!(container = %replica.id, %error, "the stopped container could not be started");
            self.set_held(handle, &replica.id, false).await
        });
        futures_util::future::try_join_all(starts).await.map(drop)
    }

    /// Stops and holds every replica of a workload whose desired status is `stopped`.
    pub(crate) async fn hold_all(&self, handle: &Arc<WorkloadHandle>) -> Result<(), ControlError> {
        let replicas = self.list(handle).await?;
        let holds = replicas.iter().map(|replica| self.hold_one(handle, &replica.id));
        futures_util::future::try_join_all(holds).await.map(drop)
    }

    /// Refuses a change of a container that is not the host's to change: a task of a Swarm, or a container of a workload
    /// whose labels only allow recommendations.
    fn check_may_change(&self, replica: &Replica, handle: Option<&WorkloadHandle>) -> Result<(), ControlError> {
        if self.is_count_engine() {
            return Err(ControlError::Conflict(format!(
                "container `{}` is a task of a service, and Swarm starts, replaces and removes tasks by itself; change the \
                 number of replicas instead",
                replica.name
            )));
        }
        let conflict = handle.and_then(|handle| handle.state().workload.container_conflict());
        conflict.map_or(Ok(()), |why| Err(ControlError::Conflict(why)))
    }

    /// Returns true if the engine keeps the number of replicas, as a Swarm does.
    pub(crate) fn is_count_engine(&self) -> bool {
        matches!(self.context.engine, AnyEngine::Counts(_))
    }

    /// The engine, if it leaves each replica to the host. A request about one replica conflicts with an engine that keeps
    /// them by itself.
    fn slots(&self) -> Result<&dyn SlotEngine, ControlError> {
        self.context.engine.slots().map_err(|error| ControlError::Conflict(error.to_string()))
    }

    /// Lists the replicas of a workload, without containers that only have their labels.
    pub(crate) async fn list(&self, handle: &WorkloadHandle) -> Result<Vec<Replica>, ControlError> {
        let (declaration, containers) = {
            let state = handle.state();
            (state.workload.declaration.clone(), state.history.containers.clone())
        };
        let listed = self.context.engine.list(&handle.key, &declaration).await.map_err(|error| self.refusal(error))?;
        Ok(listed.into_iter().filter(|replica| is_ours(replica, containers.as_ref())).collect())
    }

    /// Stops and holds a replica. The caller holds the pass lock.
    ///
    /// The hold is stored first, so a host that dies in between does not lose the request. A container that still runs
    /// then is not held (see `observe`).
    async fn hold_one(&self, handle: &Arc<WorkloadHandle>, id: &ContainerId) -> Result<Replica, ControlError> {
        let counted_before = handle.state().snapshot.counted().any(|replica| replica.id == *id);
        self.set_held(handle, id, true).await?;
        drain::before_stop(&self.context, handle, [id]).await;
        let stopped = match self.stop(handle, id, "an operator stops it").await {
            Ok(stopped) => stopped,
            Err(error) => {
                drain::cancel(&self.context, handle, id);
                self.set_held(handle, id, false).await?;
                return Err(self.refusal(error));
            }
        };
        let workload = {
            let mut state = handle.state();
            if counted_before {
                let fewer = state.target().saturating_sub(1);
                state.set_target(fewer);
            }
            state.update(stopped.clone());
            state.workload.clone()
        };
        self.context.callbacks.notify(&workload, &stopped, "stop");
        self.save(handle).await?;
        Ok(stopped)
    }

    /// Starts a held replica. The caller holds the pass lock. At the maximum, the youngest replica is removed: it replaced
    /// the held one. A container of Compose is removed only if there is no copy.
    async fn release_one(&self, handle: &Arc<WorkloadHandle>, id: &ContainerId) -> Result<Replica, ControlError> {
        let makes_room = {
            let state = handle.state();
            let counts_already = state.snapshot.counted().any(|replica| replica.id == *id);
            let full = !counts_already && state.counted() >= state.workload.bounds.max();
            let youngest =
                state.snapshot.counted().max_by_key(|replica| (!replica.is_of_compose(), replica.created_at));
            youngest.filter(|_| full).cloned()
        };
        let started = self.slots()?.start(id).await.map_err(|error| self.refusal(error))?;
        self.set_held(handle, id, false).await?;
        if let Some(youngest) = makes_room {
            self.make_room(handle, &youngest).await?;
        }
        let workload = {
            let mut state = handle.state();
            state.update(started.clone());
            // If its slot was given up, a release retries it.
            state.history.slots.remove(&started.slot);
            state.workload.resources.status = DesiredStatus::Running;
            let target = state.target().max(state.counted());
            state.set_target(target);
            state.workload.clone()
        };
        self.context.callbacks.notify(&workload, &started, "start");
        self.save(handle).await?;
        Ok(started)
    }

    /// Calls the stop hook of a replica, then stops it. The caller holds the pass lock.
    async fn stop(&self, handle: &WorkloadHandle, id: &ContainerId, reason: &str) -> Result<Replica, EngineError> {
        let (workload, known) = {
            let state = handle.state();
            (state.workload.clone(), state.snapshot.replica(id).cloned())
        };
        match known {
            Some(replica) => {
                let stopper = Stopper::new(&self.context, handle, &workload);
                stopper.stop(&replica, reason).await.map(|stopped| stopped.replica)
            }
            // It is newer than the last observation.
            None => self.context.engine.slots()?.stop(id, self.context.settings.stop_grace).await,
        }
    }

    /// Stops and removes a replica in whose place another one starts.
    async fn stop_and_remove(&self, handle: &WorkloadHandle, id: &ContainerId) -> Result<Replica, EngineError> {
        let stopped = self.stop(handle, id, "an operator starts another replica at the maximum").await?;
        self.context.engine.slots()?.remove(id, true).await?;
        Ok(stopped)
    }

    async fn make_room(&self, handle: &WorkloadHandle, replica: &Replica) -> Result<(), ControlError> {
        drain::before_stop(&self.context, handle, [&replica.id]).await;
        let stopped = match self.stop_and_remove(handle, &replica.id).await {
            Ok(stopped) => stopped,
            Err(error) => {
                drain::cancel(&self.context, handle, &replica.id);
                handle.wake();
                return Err(self.refusal(error));
            }
        };
        let workload = {
            let mut state = handle.state();
            state.history.slots.remove(&replica.slot);
            state.snapshot.replicas.retain(|known| known.id != replica.id);
            state.workload.clone()
        };
        self.context.callbacks.notify(&workload, &stopped, "stop");
        let what = "it makes room for the replica that an operator starts";
        publish_request(&self.context, &stopped, "remove", what);
        Ok(())
    }

    async fn set_held(&self, handle: &WorkloadHandle, id: &ContainerId, held: bool) -> Result<(), ControlError> {
        // Several replicas may be held at once, and the last copy that the store receives must be the newest.
        let _lock = handle.held_lock.lock().await;
        let all: Vec<ContainerId> = {
            let mut state = handle.state();
            let changed = if held { state.held.insert(id.clone()) } else { state.held.remove(id) };
            if !changed {
                return Ok(());
            }
            state.held.iter().cloned().collect()
        };
        let key = handle.key.clone();
        self.context.store.call(move |store| store.save_held(&key, &all)).await
    }

    /// Finds a container among the observed ones, then by one request to the engine: it may be newer than the last
    /// observation. A container that only has a replica's labels is not found.
    pub(crate) async fn find(&self, name_or_id: &str) -> Result<Found, ControlError> {
        for handle in self.context.workloads.all() {
            let known = handle.state().snapshot.replicas.iter().find(|replica| replica.is_called(name_or_id)).cloned();
            if let Some(replica) = known {
                return Ok(Found { replica, handle: Some(handle) });
            }
        }
        let known = self.context.workloads.orphans().iter().find(|replica| replica.is_called(name_or_id)).cloned();
        if let Some(replica) = known {
            return Ok(Found { replica, handle: None });
        }
        let listed = self.context.engine.list_all().await.map_err(|error| self.refusal(error))?;
        match listed.into_iter().find(|replica| replica.is_called(name_or_id)) {
            Some(replica) => {
                let handle = self.context.workloads.get(&WorkloadKey::stored(replica.workload.as_str()));
                let is_stranger = handle
                    .as_ref()
                    .is_some_and(|handle| !is_ours(&replica, handle.state().history.containers.as_ref()));
                if is_stranger {
                    return Err(ControlError::Conflict(format!(
                        "container `{}` has the labels of a replica of `{}`, but Windlass did not create it; it is left \
                         alone",
                        replica.name, replica.workload
                    )));
                }
                Ok(Found { replica, handle })
            }
            None => Err(ControlError::NoSuchContainer(name_or_id.to_owned())),
        }
    }
}

//! What an operator does to one container: hold, release, remove. Each holds the workload's gate, so that
//! it never meets a pass, and ends by waking the workload.

use crate::controller::Controller;
use crate::drain;
use crate::error::ControlError;
use crate::workload::state::{Cell, CellState};
use std::sync::Arc;
use windlass_core::engine::EngineError;
use windlass_core::workload::DesiredStatus;
use windlass_core::{ContainerId, Phase, ProbeTarget, Replica, Workload, WorkloadKey};

/// The fewest characters that stand for an identifier they begin.
const SHORTEST_PREFIX: usize = 12;

/// A container that was asked for by name or identifier, and the workload that looks after it.
struct Found {
    replica: Replica,
    /// None: its workload is unknown; nothing counts or heals it.
    cell: Option<Arc<Cell>>,
}

/// A start that asks replicas another question, with the gate held: answers to the one before are forgotten. The image's
/// own HEALTHCHECK must be there in what runs already.
pub(crate) fn change_probe(cell: &Cell, known: &CellState, wanted: &Workload) -> Result<(), ControlError> {
    let goes_by_image = wanted.probe.as_ref().is_some_and(|probe| probe.target == ProbeTarget::Docker);
    let lacks_check = |replica: &Replica| replica.phase == Phase::Running && replica.health_check.is_none();
    if goes_by_image && known.snapshot.replicas.iter().any(lacks_check) {
        return Err(ControlError::Conflict(format!(
            "the containers of `{}` that run have no HEALTHCHECK, which the probe `docker` is; choose another `probe`",
            wanted.key
        )));
    }
    if wanted.probe != known.workload.probe {
        cell.probes.clear();
    }
    Ok(())
}

impl Controller {
    /// Stops a container and holds it: it is neither counted nor restarted until it is released. The
    /// target falls by one, down to the minimum; what the minimum still wants is created.
    ///
    /// `name_or_id`: its name, its identifier, or 12 and more characters the identifier begins with.
    pub async fn hold(&self, name_or_id: &str) -> Result<Replica, ControlError> {
        let found = self.find(name_or_id).await?;
        let Some(cell) = found.cell else {
            let grace = self.shared.settings.stop_grace;
            return self.shared.engine.stop(&found.replica.id, grace).await.map_err(|error| self.refusal(error));
        };
        let _gate = self.gate(&cell).await?;
        let held = self.hold_one(&cell, &found.replica.id).await?;
        cell.wake();
        Ok(held)
    }

    /// Starts a container again and counts it: the target rises to count it, and at the maximum the youngest
    /// other replica makes room.
    pub async fn release(&self, name_or_id: &str) -> Result<Replica, ControlError> {
        let found = self.find(name_or_id).await?;
        let Some(cell) = found.cell else {
            return self.shared.engine.start(&found.replica.id).await.map_err(|error| self.refusal(error));
        };
        let _gate = self.gate(&cell).await?;
        let released = self.release_one(&cell, &found.replica.id).await?;
        cell.wake();
        Ok(released)
    }

    /// Protects a container from a policy that wants fewer, or does not any more.
    pub async fn protect(&self, name_or_id: &str, is_protected: bool) -> Result<Replica, ControlError> {
        let found = self.find(name_or_id).await?;
        let Some(cell) = found.cell else {
            let why = "the workload of this container is unknown, so that nothing scales it in";
            return Err(ControlError::Conflict(why.to_owned()));
        };
        let _gate = self.gate(&cell).await?;
        let id = found.replica.id.clone();
        let (target, history) = {
            let mut state = cell.state();
            if is_protected {
                state.history.protected.insert(id);
            } else {
                state.history.protected.remove(&id);
            }
            (state.workload.target, state.history.clone())
        };
        let key = cell.key.clone();
        self.shared.store(move |store| store.save_pass(&key, target, &history, None)).await?;
        cell.wake();
        Ok(found.replica)
    }

    /// Removes a container; one that runs only with `force`. The next pass replaces it if it counted.
    pub async fn remove(&self, name_or_id: &str, force: bool) -> Result<Replica, ControlError> {
        let found = self.find(name_or_id).await?;
        let id = found.replica.id.clone();
        let Some(cell) = found.cell else {
            self.shared.engine.remove(&id, force).await.map_err(|error| self.refusal(error))?;
            self.shared.orphans().retain(|orphan| orphan.id != id);
            return Ok(found.replica);
        };
        let _gate = self.gate(&cell).await?;
        drain::told(&self.shared, &cell, [&id]).await;
        if force && found.replica.is_alive() {
            // Killed without a grace, as the engine does; what it is at it may finish all the same.
            let workload = cell.state().workload.clone();
            self.shared.stopper(&workload).tell(&found.replica, "an operator removes it").await;
        }
        self.shared.engine.remove(&id, force).await.map_err(|error| self.refusal(error))?;
        {
            let mut state = cell.state();
            // An operator's wish is no crash: the slot is filled again without backoff.
            state.history.slots.remove(&found.replica.slot);
            state.snapshot.replicas.retain(|replica| replica.id != id);
            state.leaving.remove(&id);
        }
        self.set_held(&cell, &id, false).await?;
        cell.wake();
        Ok(found.replica)
    }

    /// A start of a workload in which nothing runs: its oldest stopped container is kept and started.
    /// One that does not start is left to the pass.
    pub(crate) async fn wake_stopped(&self, cell: &Arc<Cell>) -> Result<(), ControlError> {
        let replicas = self.look(cell).await?;
        if replicas.iter().any(Replica::is_alive) {
            return Ok(());
        }
        if let Some(oldest) = replicas.first()
            && let Err(error) = self.release_one(cell, &oldest.id).await
        {
            tracing::warn!(container = %oldest.id, %error, "the stopped container could not be started");
            self.set_held(cell, &oldest.id, false).await?;
        }
        Ok(())
    }

    /// A workload that is desired stopped: every replica is stopped and held.
    pub(crate) async fn hold_all(&self, cell: &Arc<Cell>) -> Result<(), ControlError> {
        let replicas = self.look(cell).await?;
        let holds = replicas.iter().map(|replica| self.hold_one(cell, &replica.id));
        futures_util::future::try_join_all(holds).await.map(drop)
    }

    async fn look(&self, cell: &Cell) -> Result<Vec<Replica>, ControlError> {
        self.shared.engine.list(Some(&cell.key)).await.map_err(|error| self.refusal(error))
    }

    /// With the gate held. The hold is stored first: a host that dies in between has not lost the wish,
    /// and a container that still runs then is not held (see `observe`).
    async fn hold_one(&self, cell: &Arc<Cell>, id: &ContainerId) -> Result<Replica, ControlError> {
        let counted_before = cell.state().snapshot.counted().any(|replica| replica.id == *id);
        self.set_held(cell, id, true).await?;
        drain::told(&self.shared, cell, [id]).await;
        let stopped = match self.stop(cell, id, "an operator stops it").await {
            Ok(stopped) => stopped,
            Err(error) => {
                drain::stays(&self.shared, cell, id);
                self.set_held(cell, id, false).await?;
                return Err(self.refusal(error));
            }
        };
        let workload = {
            let mut state = cell.state();
            if counted_before {
                let fewer = state.workload.target.saturating_sub(1);
                state.workload.target = state.workload.bounds.clamp(fewer);
            }
            state.show(stopped.clone());
            state.workload.clone()
        };
        self.shared.callbacks.notify(&workload, &stopped, "stop");
        self.shared.store(move |store| store.save_workload(&workload)).await?;
        Ok(stopped)
    }

    /// With the gate held. Where the workload already runs its maximum, the youngest replica makes room: it is
    /// the one that took the held one's place.
    async fn release_one(&self, cell: &Arc<Cell>, id: &ContainerId) -> Result<Replica, ControlError> {
        let makes_room = {
            let state = cell.state();
            let counts_already = state.snapshot.counted().any(|replica| replica.id == *id);
            let full = !counts_already && state.counted() >= state.workload.bounds.max();
            state.snapshot.counted().max_by_key(|replica| replica.created_at).filter(|_| full).cloned()
        };
        let started = self.shared.engine.start(id).await.map_err(|error| self.refusal(error))?;
        self.set_held(cell, id, false).await?;
        if let Some(youngest) = makes_room {
            self.make_room(cell, &youngest).await?;
        }
        let workload = {
            let mut state = cell.state();
            state.show(started.clone());
            // Who lets it run wants to see whether it goes now: if its slot was given up, it is healed again.
            state.history.slots.remove(&started.slot);
            state.workload.resources.status = DesiredStatus::Running;
            let wanted = state.workload.target.max(state.counted());
            state.workload.target = state.workload.bounds.clamp(wanted);
            state.workload.clone()
        };
        self.shared.callbacks.notify(&workload, &started, "start");
        self.shared.store(move |store| store.save_workload(&workload)).await?;
        Ok(started)
    }

    /// With the gate held: the hook of the replica, then its end.
    async fn stop(&self, cell: &Cell, id: &ContainerId, reason: &str) -> Result<Replica, EngineError> {
        let (workload, shown) = {
            let state = cell.state();
            (state.workload.clone(), state.snapshot.replica(id).cloned())
        };
        let stopper = self.shared.stopper(&workload);
        match shown {
            Some(replica) => stopper.stop(&replica, reason).await.map(|stopped| stopped.replica),
            // Newer than the last look.
            None => self.shared.engine.stop(id, stopper.grace).await,
        }
    }

    async fn make_room(&self, cell: &Cell, replica: &Replica) -> Result<(), ControlError> {
        drain::told(&self.shared, cell, [&replica.id]).await;
        let stopped = self.stop(cell, &replica.id, "it makes room for one that an operator starts").await;
        let stopped = stopped.map_err(|error| self.refusal(error))?;
        self.shared.engine.remove(&replica.id, true).await.map_err(|error| self.refusal(error))?;
        let workload = {
            let mut state = cell.state();
            state.history.slots.remove(&replica.slot);
            state.snapshot.replicas.retain(|shown| shown.id != replica.id);
            state.workload.clone()
        };
        self.shared.callbacks.notify(&workload, &stopped, "stop");
        Ok(())
    }

    async fn set_held(&self, cell: &Cell, id: &ContainerId, held: bool) -> Result<(), ControlError> {
        let all: Vec<ContainerId> = {
            let mut state = cell.state();
            let changed = if held { state.held.insert(id.clone()) } else { state.held.remove(id) };
            if !changed {
                return Ok(());
            }
            state.held.iter().cloned().collect()
        };
        let key = cell.key.clone();
        self.shared.store(move |store| store.save_held(&key, &all)).await
    }

    /// Looks in what is known, then asks the engine once: a container may be newer than the last look.
    async fn find(&self, name_or_id: &str) -> Result<Found, ControlError> {
        let matches = |replica: &Replica| {
            let id = replica.id.as_str();
            replica.name == name_or_id
                || id == name_or_id
                || (name_or_id.len() >= SHORTEST_PREFIX && id.starts_with(name_or_id))
        };
        for cell in self.shared.cells() {
            let known = cell.state().snapshot.replicas.iter().find(|replica| matches(replica)).cloned();
            if let Some(replica) = known {
                return Ok(Found { replica, cell: Some(cell) });
            }
        }
        let known = self.shared.orphans().iter().find(|replica| matches(replica)).cloned();
        if let Some(replica) = known {
            return Ok(Found { replica, cell: None });
        }
        let listed = self.shared.engine.list(None).await.map_err(|error| self.refusal(error))?;
        match listed.into_iter().find(|replica| matches(replica)) {
            Some(replica) => {
                let cell = self.shared.cell(&WorkloadKey::stored(replica.workload.as_str()));
                Ok(Found { replica, cell })
            }
            None => Err(ControlError::NoSuchContainer(name_or_id.to_owned())),
        }
    }
}

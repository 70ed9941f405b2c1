//! The simulated Swarm: its state behind a lock, its events and its clock.

use crate::counts::state::{CountCall, CountState};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use windlass_core::engine::{EngineError, EngineEvent};
use windlass_core::{Timestamp, WorkloadKey};

/// A Swarm in memory. Cheap to clone: all clones are one Swarm.
#[derive(Clone)]
pub struct SimulatedSwarm {
    state: Arc<Mutex<CountState>>,
    pub(crate) events: broadcast::Sender<EngineEvent>,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Time from the placement of a replica until its process runs.
    pub(crate) start_delay: Duration,
}

impl SimulatedSwarm {
    /// A Swarm without nodes and services that takes its time stamps from `now` and needs `start_delay` to start a process.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static, start_delay: Duration) -> Self {
        Self { state: Arc::default(), events: broadcast::channel(4_096).0, now: Arc::new(now), start_delay }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, CountState> {
        self.state.lock()
    }

    pub(crate) fn changed(&self, key: &WorkloadKey) {
        // Having no subscribers is fine.
        let _ = self.events.send(EngineEvent::Changed(key.clone()));
    }

    /// Counts a call, and fails it if it is set to fail.
    pub(crate) fn enter(&self, call: Option<CountCall>) -> Result<MutexGuard<'_, CountState>, EngineError> {
        let mut state = self.lock();
        if let Some(why) = &state.down {
            return Err(EngineError::Unavailable(why.clone()));
        }
        if let Some(call) = call {
            *state.calls.entry(call).or_default() += 1;
            if let Some(error) = state.faults.get_mut(&call).and_then(Vec::pop) {
                return Err(error);
            }
        }
        Ok(state)
    }
}

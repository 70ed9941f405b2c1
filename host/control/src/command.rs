//! Runs commands in replicas, for probes and metrics. One that takes too long runs on, since nobody can end it: until it
//! has ended, the same is not begun again in the same replica.

use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::ContainerId;
use windlass_core::engine::{Engine, EngineError};

/// What runs where: the replica, and what it runs for.
type Place = (ContainerId, String);

/// Commands that run in replicas.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    running: Arc<Mutex<HashSet<Place>>>,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) enum Ran {
    /// It was not begun: that of an earlier time still runs.
    NotBegun,
    /// It took too long, and runs on.
    TimedOut,
    /// It ended; the error may be the engine's.
    Ended(Result<String, EngineError>),
}

/// A command runs until this is dropped.
struct Running {
    place: Place,
    all: Arc<Mutex<HashSet<Place>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.lock().remove(&self.place);
    }
}

impl Commands {
    /// Runs a command in a replica; `purpose` tells it from others there.
    pub(crate) async fn run(
        &self,
        engine: &Arc<dyn Engine>,
        id: &ContainerId,
        purpose: &str,
        command: &[String],
        timeout: Duration,
    ) -> Ran {
        let Some(running) = self.begin((id.clone(), purpose.to_owned())) else { return Ran::NotBegun };
        let (engine, id, command) = (Arc::clone(engine), id.clone(), command.to_vec());
        // Beside the question, so that who asked may stop waiting.
        let ran = tokio::spawn(async move {
            let _running = running;
            engine.exec(&id, &command).await
        });
        match tokio::time::timeout(timeout, ran).await {
            Err(_) => Ran::TimedOut,
            Ok(ended) => Ran::Ended(ended.unwrap_or_else(|error| Err(EngineError::Unavailable(error.to_string())))),
        }
    }

    /// Whether nothing runs.
    #[cfg(test)]
    pub(crate) fn are_idle(&self) -> bool {
        self.running.lock().is_empty()
    }

    fn begin(&self, place: Place) -> Option<Running> {
        let is_first = self.running.lock().insert(place.clone());
        is_first.then(|| Running { place, all: Arc::clone(&self.running) })
    }
}

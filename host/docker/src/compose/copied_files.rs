//! The files that Compose copied into containers after it created them. The engine does not describe them.

use crate::client::EngineClient;
use crate::compose::obstacle::copied_in;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The most containers that are remembered.
const MOST: usize = 1_000;

/// The answer about each container. A container is asked once, since Compose copies before the first start. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct CopiedFiles {
    known: Arc<Mutex<HashMap<String, Option<String>>>>,
}

impl CopiedFiles {
    /// A file that Compose copied into a container. `None` if there is none, or the engine does not list changed files.
    pub(crate) async fn of(&self, engine: &EngineClient, inspected: &Value) -> Option<String> {
        let id = inspected["Id"].as_str()?.to_owned();
        if let Some(known) = self.known.lock().get(&id) {
            return known.clone();
        }
        let changes = match engine.get("list changed files", &format!("/containers/{id}/changes")).await {
            Ok(changes) => changes,
            Err(error) => {
                tracing::debug!(container = id, ?error, "the changed files of a container are unknown");
                return None;
            }
        };
        let found = copied_in(&changes, inspected);
        // Before the first start, Compose may not have copied yet.
        if inspected["State"]["Running"].as_bool() == Some(true) {
            let mut known = self.known.lock();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(id, found.clone());
        }
        found
    }
}

//! The specification that each service had before its current one, for a return to it.
//!
//! Swarm remembers one earlier specification, and forgets it at every write, even of the count alone. A file remembers it
//! here, because labels on the service would be such a write.

use super::service::Service;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windlass_core::error_chain;

/// The earlier specifications, by the identifiers of their services.
type Specifications = BTreeMap<String, Value>;

/// The earlier specifications of the services that Windlass scales.
pub(super) struct Earlier {
    /// They contain environments, so no other user may read the file. `None`: they end with the process.
    file: Option<PathBuf>,
    specifications: Mutex<Specifications>,
    writing: tokio::sync::Mutex<()>,
}

impl Earlier {
    /// Reads the file, if there is one. A file that cannot be read is reported and begun anew.
    pub(super) async fn open(file: Option<PathBuf>) -> Self {
        let mut specifications = Specifications::new();
        if let Some(path) = &file {
            match read(path).await {
                Ok(read) => specifications = read,
                Err(why) => tracing::warn!(
                    file = %path.display(), why,
                    "the earlier specifications of services are lost; `windlass rollback` knows only later ones"
                ),
            }
        }
        Self { file, specifications: Mutex::new(specifications), writing: tokio::sync::Mutex::default() }
    }

    /// Remembers the specifications before those of the `changed` services, unless only the count differs. Forgets services
    /// that are not among `all`.
    pub(super) async fn note(&self, changed: impl Iterator<Item = &Service>, all: &[Service]) {
        let mut is_new = {
            let mut known = self.specifications.lock();
            let before = known.len();
            known.retain(|id, _| all.iter().any(|service| service.id == *id));
            known.len() != before
        };
        // Nobody rolls back other services through Windlass.
        for service in changed.filter(|service| service.declared().is_some()) {
            is_new |= self.insert(service);
        }
        if is_new {
            self.save().await;
        }
    }

    /// Remembers the specification before that of a service which is about to be changed.
    pub(super) async fn keep(&self, service: &Service) {
        let is_new = self.insert(service);
        if is_new {
            self.save().await;
        }
    }

    /// The specification that a service had before its current one. `None` if it is unknown.
    pub(super) fn of(&self, service: &Service) -> Option<Value> {
        let known = || self.specifications.lock().get(&service.id).cloned();
        let previous = service.previous().filter(|previous| service.differs_from(previous)).cloned();
        previous.or_else(known).filter(|earlier| service.differs_from(earlier))
    }

    /// Whether the specification before that of the service was new here.
    fn insert(&self, service: &Service) -> bool {
        let Some(previous) = service.previous().filter(|previous| service.differs_from(previous)) else { return false };
        let known = self.specifications.lock().insert(service.id.clone(), previous.clone());
        known.as_ref() != Some(previous)
    }

    async fn save(&self) {
        let Some(path) = self.file.clone() else { return };
        let _writing = self.writing.lock().await;
        let text = serde_json::to_vec(&*self.specifications.lock()).unwrap_or_default();
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || windlass_files::replace(&path, &text, 0o600)).await;
        let why = match written {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error_chain(&error),
            Err(error) => error_chain(&error),
        };
        tracing::warn!(file = shown, why, "cannot write the earlier specifications of services");
    }
}

async fn read(path: &Path) -> Result<Specifications, String> {
    match tokio::fs::read(path).await {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| error_chain(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Specifications::new()),
        Err(error) => Err(error_chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::time::Instant;

    fn specification(image: &str, count: u32) -> Value {
        json!({"Name": "web", "Labels": {"windlass.enable": "true"}, "Mode": {"Replicated": {"Replicas": count}},
            "TaskTemplate": {"ContainerSpec": {"Image": image}}})
    }

    fn service(now: &Value, previous: &Value) -> Service {
        let raw = json!({"ID": "s1", "Version": {"Index": 7}, "Spec": now, "PreviousSpec": previous});
        Service::read(raw, Instant::now()).unwrap()
    }

    #[tokio::test]
    async fn the_specification_before_a_change_of_the_count_is_remembered_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("services.json"));
        let earlier = Earlier::open(file.clone()).await;
        let updated = [service(&specification("web:2", 1), &specification("web:1", 1))];
        earlier.note(updated.iter(), &updated).await;
        // Windlass changed the count, and Swarm forgot the specification with `web:1`.
        let scaled = [service(&specification("web:2", 5), &specification("web:2", 1))];
        earlier.note(scaled.iter(), &scaled).await;
        assert_eq!(earlier.of(&scaled[0]), Some(specification("web:1", 1)));
        let earlier = Earlier::open(file.clone()).await;
        assert_eq!(earlier.of(&scaled[0]), Some(specification("web:1", 1)), "after a restart");
        // A person went back by other means.
        assert_eq!(earlier.of(&service(&specification("web:1", 5), &specification("web:1", 5))), None);
        earlier.note([].iter(), &[]).await;
        assert_eq!(Earlier::open(file).await.of(&scaled[0]), None, "the service was removed");
    }

    #[tokio::test]
    async fn only_the_user_may_read_what_services_were() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("services.json");
        let earlier = Earlier::open(Some(path.clone())).await;
        let updated = [service(&specification("web:2", 1), &specification("web:1", 1))];
        earlier.note(updated.iter(), &updated).await;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "no JSON").unwrap();
        assert!(Earlier::open(Some(path)).await.specifications.lock().is_empty());
    }
}

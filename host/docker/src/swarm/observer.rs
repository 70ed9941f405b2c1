//! One picture of the Swarm for all workloads, so that a hundred passes do not send a hundred requests.

use super::earlier::Earlier;
use super::manager::Manager;
use super::node::Node;
use super::service::Service;
use super::task::Task;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::Instant;
use windlass_core::engine::EngineError;
use windlass_core::{Declaration, Timestamp, WorkloadKey};

/// Time for which a list of tasks is used: the longest time between two polls, and the time of a slow answer.
pub(super) const TASKS_FOR: Duration = Duration::from_secs(8);
/// Time for which the lists of services and nodes are used. Their changes are events, which end it earlier.
pub(super) const SERVICES_FOR: Duration = Duration::from_secs(32);
/// Time for which an error is the answer to everybody, so that a hundred passes do not wait for it one after the other.
const ERROR_FOR: Duration = Duration::from_secs(1);

/// The tasks of a Swarm.
#[derive(Debug, Default)]
struct Tasks {
    by_service: HashMap<String, Vec<Task>>,
    /// The node of each replica.
    nodes: HashMap<String, String>,
}

impl Tasks {
    /// The tasks of a listing at `now`, which follows the one `before`.
    fn listed(tasks: Vec<Task>, before: Option<&Self>, now: Timestamp) -> Self {
        let mut all = Self::default();
        for mut task in tasks {
            let is_new = before.is_some_and(|before| before.of_service(&task.service, &task.id).is_none());
            let known = before.and_then(|before| before.of_service(&task.service, &task.id)?.waits_since);
            // The leader's clock may differ from this machine's, so a time of its own is used only for what nobody saw begin.
            task.waits_since = known.or(is_new.then_some(now)).or(Some(task.created_at().min(now)));
            all.nodes.insert(task.replica_id().to_owned(), task.node.clone());
            all.by_service.entry(task.service.clone()).or_default().push(task);
        }
        all
    }

    fn of_service(&self, service: &str, id: &str) -> Option<&Task> {
        self.by_service.get(service)?.iter().find(|task| task.id == id)
    }
}

/// The services, tasks and nodes of a Swarm.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) services: Arc<Vec<Service>>,
    tasks: Arc<Tasks>,
    pub(super) nodes: Arc<HashMap<String, Node>>,
}

impl Picture {
    /// The service of a workload.
    pub(super) fn service(
        &self,
        workload: &WorkloadKey,
        declaration: &Declaration,
        instance: &str,
    ) -> Option<&Service> {
        self.services.iter().find(|service| service.is_of(workload, declaration, instance))
    }

    #[cfg(test)]
    pub(super) fn of(services: Vec<Service>, tasks: Vec<Task>, nodes: Vec<Node>) -> Self {
        let nodes = nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
        let tasks = Tasks::listed(tasks, None, Timestamp::default());
        Self { services: Arc::new(services), tasks: Arc::new(tasks), nodes: Arc::new(nodes) }
    }

    /// The tasks of a node.
    pub(super) fn tasks_on(&self, node: &str) -> impl Iterator<Item = &Task> {
        self.tasks.by_service.values().flatten().filter(move |task| task.node == node)
    }

    /// The tasks of a service.
    pub(super) fn tasks(&self, service: &Service) -> &[Task] {
        self.tasks.by_service.get(&service.id).map_or(&[], Vec::as_slice)
    }

    /// The identifier of the service of a container. `beginning` is how the container's identifier begins.
    pub(super) fn service_of_container(&self, beginning: &str) -> Option<&str> {
        let task = self.tasks.by_service.values().flatten().find(|task| task.replica_id().starts_with(beginning))?;
        Some(task.service.as_str())
    }

    /// The name of the node of a replica.
    pub(super) fn node_of(&self, replica: &str) -> Option<&str> {
        self.tasks.nodes.get(replica).and_then(|node| self.nodes.get(node)).map(Node::name)
    }

    /// The task whose replica has this identifier.
    pub(super) fn task(&self, replica: &str) -> Option<&Task> {
        self.tasks.by_service.values().flatten().find(|task| task.replica_id() == replica)
    }
}

/// Reads the picture, and keeps it as long as it is good enough.
pub(super) struct Observer {
    manager: Manager,
    earlier: Arc<Earlier>,
    parts: Mutex<Parts>,
    /// Counts the changes that ended the picture.
    epoch: AtomicU64,
}

#[derive(Default)]
struct Parts {
    services: Option<Part<Vec<Service>>>,
    tasks: Option<Part<Tasks>>,
    nodes: Option<Part<HashMap<String, Node>>>,
    failure: Option<(EngineError, Instant)>,
}

struct Part<T> {
    value: Arc<T>,
    read_at: Instant,
    epoch: u64,
}

impl<T> Part<T> {
    /// The part, if it is young enough and nothing has changed since.
    fn usable(part: Option<&Self>, epoch: u64, limit: Duration) -> Option<Self> {
        let Self { value, read_at, epoch: of } = part?;
        let is_usable = *of == epoch && read_at.elapsed() < limit;
        is_usable.then(|| Self { value: Arc::clone(value), read_at: *read_at, epoch })
    }
}

impl Observer {
    pub(super) fn new(manager: Manager, earlier: Arc<Earlier>) -> Self {
        Self { manager, earlier, parts: Mutex::default(), epoch: AtomicU64::new(0) }
    }

    /// The picture as of the latest poll or change.
    pub(super) async fn picture(&self) -> Result<Picture, EngineError> {
        self.read(TASKS_FOR).await
    }

    /// The picture with tasks that are read now.
    pub(super) async fn poll(&self) -> Result<Picture, EngineError> {
        self.read(Duration::ZERO).await
    }

    /// Ends the picture: something was changed.
    pub(super) fn end_picture(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    async fn read(&self, tasks_for: Duration) -> Result<Picture, EngineError> {
        let mut parts = self.parts.lock().await;
        // A change during the requests ends the picture that they make.
        let epoch = self.epoch.load(Ordering::Relaxed);
        if let Some((error, at)) = &parts.failure
            && at.elapsed() < ERROR_FOR
        {
            return Err(error.clone());
        }
        let answer = Box::pin(self.parts(&parts, epoch, tasks_for)).await;
        match answer {
            Ok((picture, new)) => {
                *parts = new;
                Ok(picture)
            }
            Err(error) => {
                parts.failure = Some((error.clone(), Instant::now()));
                Err(error)
            }
        }
    }

    async fn parts(&self, known: &Parts, epoch: u64, tasks_for: Duration) -> Result<(Picture, Parts), EngineError> {
        // The answers are as old as the requests.
        let read_at = Instant::now();
        let services = async {
            match Part::usable(known.services.as_ref(), epoch, SERVICES_FOR) {
                Some(services) => Ok(services),
                None => self.services(known).await.map(|services| Part { value: Arc::new(services), read_at, epoch }),
            }
        };
        let tasks = async {
            match Part::usable(known.tasks.as_ref(), epoch, tasks_for) {
                Some(tasks) => Ok(tasks),
                None => self.tasks(known).await.map(|tasks| Part { value: Arc::new(tasks), read_at, epoch }),
            }
        };
        let nodes = async {
            match Part::usable(known.nodes.as_ref(), epoch, SERVICES_FOR) {
                Some(nodes) => Ok(nodes),
                None => self.manager.nodes().await.map(|nodes| Part { value: Arc::new(nodes), read_at, epoch }),
            }
        };
        let (services, tasks, nodes) = tokio::try_join!(services, tasks, nodes)?;
        let picture =
            Picture { services: services.value.clone(), tasks: tasks.value.clone(), nodes: nodes.value.clone() };
        Ok((picture, Parts { services: Some(services), tasks: Some(tasks), nodes: Some(nodes), failure: None }))
    }

    async fn tasks(&self, known: &Parts) -> Result<Tasks, EngineError> {
        let tasks = self.manager.tasks().await?;
        let before = known.tasks.as_ref().map(|part| part.value.as_ref());
        Ok(Tasks::listed(tasks, before, Timestamp::from(SystemTime::now())))
    }

    async fn services(&self, known: &Parts) -> Result<Vec<Service>, EngineError> {
        let raw: Vec<Value> = self.manager.services().await?;
        let now = Instant::now();
        let before: HashMap<&str, &Service> =
            known.services.iter().flat_map(|part| part.value.iter()).map(|it| (it.id.as_str(), it)).collect();
        let services = raw.into_iter().filter_map(|raw| {
            let service = Service::read(raw, now)?;
            let same = before.get(service.id.as_str()).filter(|known| known.version == service.version);
            let first_seen = same.map_or(now, |known| known.first_seen);
            Some(service.seen_since(first_seen))
        });
        let services: Vec<Service> = services.collect();
        let changed = services.iter().filter(|service| service.first_seen == now);
        self.earlier.note(changed, &services).await;
        Ok(services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::client::EngineClient;
    use serde_json::json;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    #[test]
    fn a_wait_for_a_node_is_measured_by_the_own_clock() {
        let waiting = |id: &str, created: &str| -> Task {
            serde_json::from_value(json!({"ID": id, "ServiceID": "s1", "DesiredState": "running", "CreatedAt": created,
                "Status": {"State": "pending"}}))
            .unwrap()
        };
        let since = |tasks: &Tasks, id: &str| tasks.of_service("s1", id).and_then(Task::pending).map(|it| it.since);
        let minute = |minute: u64| Timestamp(1_772_359_200_000 + minute * 60_000);
        let ahead = "2026-03-01T11:00:00Z";
        let first = Tasks::listed(vec![waiting("old", "2026-03-01T09:59:00Z"), waiting("odd", ahead)], None, minute(0));
        assert_eq!(since(&first, "old"), Some(Timestamp(minute(0).0 - 60_000)), "it waited before this Windlass began");
        assert_eq!(since(&first, "odd"), Some(minute(0)), "no wait begins in the future");
        // The leader's clock is an hour behind, or ahead.
        let later = vec![waiting("odd", ahead), waiting("behind", "2026-03-01T09:01:00Z"), waiting("ahead", ahead)];
        let second = Tasks::listed(later.clone(), Some(&first), minute(1));
        let third = Tasks::listed(later, Some(&second), minute(2));
        for tasks in [second, third] {
            assert_eq!(["odd", "behind", "ahead"].map(|id| since(&tasks, id)), [0, 1, 1].map(|it| Some(minute(it))));
        }
    }

    /// The paths that were requested of a manager, and whether it has a leader.
    #[derive(Default)]
    struct Requests {
        paths: parking_lot::Mutex<Vec<String>>,
        has_leader: AtomicBool,
    }

    impl Requests {
        fn take(&self) -> Vec<String> {
            let mut paths = std::mem::take(&mut *self.paths.lock());
            paths.sort();
            paths
        }

        fn answer(&self, path: &str) -> (u16, Value) {
            match path {
                "/version" => (200, json!({"ApiVersion": "1.41"})),
                "/info" => (200, json!({})),
                _ if !self.has_leader.load(Ordering::Relaxed) => {
                    (500, json!({"message": "rpc error: The swarm does not have a leader."}))
                }
                "/services" => {
                    let specification = json!({"Name": "web", "Labels": {"windlass.enable": "true"},
                        "Mode": {"Replicated": {"Replicas": 1}}});
                    (200, json!([{"ID": "s1", "Version": {"Index": 7}, "Spec": specification}]))
                }
                "/tasks" => (200, json!([{"ID": "t1", "ServiceID": "s1", "NodeID": "n1", "Slot": 1}])),
                _ => (200, json!([{"ID": "n1", "Status": {"State": "ready"}}])),
            }
        }
    }

    async fn manager(folder: &Path) -> (Observer, Arc<Requests>) {
        let socket = folder.join("m.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let requests = Arc::new(Requests { has_leader: AtomicBool::new(true), ..Requests::default() });
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = vec![0; 4 << 10];
                let read = client.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = head.split([' ', '?']).nth(1).unwrap().trim_start_matches("/v1.41").to_owned();
                let (status, body) = seen.answer(&path);
                seen.paths.lock().push(path);
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let engine = EngineClient::new(Address::Socket(socket.display().to_string()), Duration::from_secs(5));
        engine.info().await.unwrap();
        requests.take();
        (Observer::new(Manager::new(engine), Arc::new(Earlier::open(None).await)), requests)
    }

    #[tokio::test]
    async fn a_hundred_passes_at_rest_send_no_request_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let (observer, requests) = manager(folder.path()).await;
        let all = async |count: usize| {
            let pictures = futures_util::future::join_all((0..count).map(|_| observer.picture())).await;
            let web = (WorkloadKey::stored("web"), Declaration::Swarm { service: "web".to_owned() });
            for picture in pictures {
                let picture = picture.unwrap();
                let service = picture.service(&web.0, &web.1, "default").unwrap();
                assert_eq!(picture.tasks(service).len(), 1);
            }
        };
        all(200).await;
        assert_eq!(requests.take(), ["/nodes", "/services", "/tasks"]);
        observer.poll().await.unwrap();
        all(200).await;
        assert_eq!(requests.take(), ["/tasks"], "a poll reads the tasks alone");
        observer.end_picture();
        all(200).await;
        assert_eq!(requests.take(), ["/nodes", "/services", "/tasks"]);
    }

    #[tokio::test]
    async fn one_pass_finds_out_that_there_is_no_leader_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let (observer, requests) = manager(folder.path()).await;
        requests.has_leader.store(false, Ordering::Relaxed);
        let answers = futures_util::future::join_all((0..100).map(|_| observer.picture())).await;
        for answer in answers {
            assert!(matches!(answer, Err(EngineError::Unavailable(why)) if why.contains("no leader")));
        }
        assert!(requests.take().len() <= 3);
    }
}

//! The requests to a manager of a Swarm: each has a time limit, and its errors say what they mean for the Swarm.

use super::node::Node;
use super::task::Task;
use crate::call_error::CallError;
use crate::client::EngineClient;
use crate::logs;
use http::HeaderValue;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use windlass_core::engine::{EngineError, LogLines};
use windlass_core::logs::LogQuery;

/// Time limit of a request. A Swarm without a leader answers none.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// The tasks that Swarm keeps or is about to start, as a filter in a query.
const CURRENT_TASKS: &str = "/tasks?filters=%7B%22desired-state%22%3A%5B%22running%22%2C%22ready%22%5D%7D";

/// A client of one manager.
#[derive(Clone)]
pub(super) struct Manager {
    engine: EngineClient,
    node: Arc<OnceCell<String>>,
}

impl Manager {
    /// `engine` is the manager's own engine; its time limit is at most [`LIMIT`].
    pub(super) fn new(engine: EngineClient) -> Self {
        Self { engine, node: Arc::default() }
    }

    /// The client of the manager's own engine.
    pub(super) fn engine(&self) -> &EngineClient {
        &self.engine
    }

    /// The identifier of the manager's own node, if the engine is a manager.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if the engine answers and is no manager.
    pub(super) async fn node(&self) -> Result<&str, EngineError> {
        let read = async {
            let info = self.limited(async {
                self.engine.info().await?;
                self.engine.call("read the state of the Swarm", |docker| async move { docker.info().await }).await
            });
            let swarm = self.meaning(info.await)?.swarm.unwrap_or_default();
            match swarm.node_id.filter(|id| swarm.control_available == Some(true) && !id.is_empty()) {
                Some(id) => Ok(id),
                None => {
                    let state = swarm.local_node_state.map(|state| state.to_string()).unwrap_or_default();
                    let state = if state.is_empty() { "inactive" } else { &state };
                    Err(EngineError::Refused(format!(
                        "the engine at {} is no manager of a Swarm (its part in a Swarm: {state}); run `docker swarm init` \
                         there, set `engine.host` to a manager, or set `engine.kind` to `docker`",
                        self.engine.address()
                    )))
                }
            }
        };
        self.node.get_or_try_init(|| read).await.map(String::as_str)
    }

    /// All services, as the manager describes them.
    pub(super) async fn services(&self) -> Result<Vec<Value>, EngineError> {
        self.list("list services", "/services").await
    }

    /// A service by its identifier or name. `None` if there is none.
    pub(super) async fn service(&self, id_or_name: &str) -> Result<Option<Value>, EngineError> {
        let path = format!("/services/{id_or_name}");
        self.found(self.limited(self.engine.get("inspect a service", &path)).await)
    }

    /// The tasks of all services that Swarm keeps or is about to start.
    pub(super) async fn tasks(&self) -> Result<Vec<Task>, EngineError> {
        self.typed("list tasks", CURRENT_TASKS).await
    }

    /// The tasks of a service that ended, of which Swarm remembers a few for each slot.
    pub(super) async fn ended_tasks(&self, service: &str) -> Result<Vec<Task>, EngineError> {
        let path = format!(
            "/tasks?filters=%7B%22desired-state%22%3A%5B%22shutdown%22%5D%2C%22service%22%3A%5B%22{service}%22%5D%7D"
        );
        self.typed("list the ended tasks of a service", &path).await
    }

    /// The lines of a task.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if there is no such task.
    pub(super) async fn logs(&self, task: &str, query: LogQuery) -> Result<LogLines, EngineError> {
        let path = format!("/tasks/{task}");
        let inspected = self.found(self.limited(self.engine.get("inspect a task", &path)).await)?;
        let inspected = inspected.ok_or_else(|| EngineError::NotFound(task.to_owned()))?;
        let has_terminal = inspected.pointer("/Spec/ContainerSpec/TTY").and_then(Value::as_bool).unwrap_or_default();
        self.meaning(logs::lines(&self.engine, &format!("{path}/logs"), query, has_terminal).await)
    }

    /// All nodes, by their identifiers.
    pub(super) async fn nodes(&self) -> Result<HashMap<String, Node>, EngineError> {
        let nodes: Vec<Node> = self.typed("list nodes", "/nodes").await?;
        Ok(nodes.into_iter().map(|node| (node.id.clone(), node)).collect())
    }

    /// A network of the manager's engine, or of the Swarm. `None` if there is none of this name.
    pub(super) async fn network(&self, name: &str) -> Result<Option<Value>, EngineError> {
        let path = format!("/networks/{name}");
        self.found(self.limited(self.engine.get("inspect network", &path)).await)
    }

    /// A config of the Swarm by its name. `None` if there is none.
    pub(super) async fn config(&self, name: &str) -> Result<Option<Value>, EngineError> {
        let path = format!("/configs/{name}");
        self.found(self.limited(self.engine.get("inspect a config", &path)).await)
    }

    /// Creates a config.
    ///
    /// # Errors
    /// [`EngineError::NameTaken`] if another config has its name.
    pub(super) async fn create_config(&self, specification: &Value) -> Result<(), EngineError> {
        self.create_at("create a config", "/configs/create", specification, None).await
    }

    /// Replaces the labels of a config.
    ///
    /// # Errors
    /// [`EngineError::Stale`] if the config has another version.
    pub(super) async fn update_config(&self, id: &str, version: u64, specification: &Value) -> Result<(), EngineError> {
        let path = format!("/configs/{id}/update?version={version}");
        let answer = self.limited(self.post("update a config", &path, specification, None)).await;
        self.meaning(answer).map(drop)
    }

    /// Replaces the specification of a service.
    ///
    /// # Errors
    /// [`EngineError::Stale`] if the service has another version.
    pub(super) async fn update(
        &self,
        id: &str,
        version: u64,
        specification: &Value,
        login: Option<HeaderValue>,
    ) -> Result<(), EngineError> {
        // Without a login, the engine keeps the one that the service has.
        let path = format!("/services/{id}/update?version={version}");
        let answer = self.limited(self.post("update a service", &path, specification, login)).await;
        self.meaning(answer).map(drop)
    }

    /// Creates a service.
    ///
    /// # Errors
    /// [`EngineError::NameTaken`] if another service has its name.
    pub(super) async fn create(&self, specification: &Value, login: Option<HeaderValue>) -> Result<(), EngineError> {
        self.create_at("create a service", "/services/create", specification, login).await
    }

    async fn create_at(
        &self,
        operation: &str,
        path: &str,
        specification: &Value,
        login: Option<HeaderValue>,
    ) -> Result<(), EngineError> {
        match self.limited(self.post(operation, path, specification, login)).await {
            Err(CallError::Response { status: 409, message }) => Err(EngineError::NameTaken(message)),
            answer => self.meaning(answer).map(drop),
        }
    }

    /// Removes a service. A missing one is no error.
    pub(super) async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let operation = "remove a service";
        let answer = self.engine.call(operation, |docker| async move { docker.delete_service(id).await });
        self.found(self.limited(answer).await).map(drop)
    }

    async fn post(
        &self,
        operation: &str,
        path: &str,
        body: &Value,
        login: Option<HeaderValue>,
    ) -> Result<Value, CallError> {
        match login {
            Some(login) => self.engine.post_with(operation, path, body, login).await,
            None => self.engine.post(operation, path, body).await,
        }
    }

    async fn list(&self, operation: &str, path: &str) -> Result<Vec<Value>, EngineError> {
        let answer = self.limited(self.engine.get(operation, path)).await;
        match self.meaning(answer)? {
            Value::Null => Ok(Vec::new()),
            Value::Array(list) => Ok(list),
            _ => Err(EngineError::Unreadable(format!("{operation}: the answer is no list"))),
        }
    }

    async fn typed<T: DeserializeOwned>(&self, operation: &str, path: &str) -> Result<Vec<T>, EngineError> {
        let list = self.list(operation, path).await?;
        let read = |value| serde_json::from_value(without_nulls(value));
        let read: Result<Vec<T>, _> = list.into_iter().map(read).collect();
        read.map_err(|error| EngineError::Unreadable(format!("{operation}: {error}")))
    }

    fn found<T>(&self, answer: Result<T, CallError>) -> Result<Option<T>, EngineError> {
        match answer {
            Err(error) if error.is_missing() => Ok(None),
            answer => self.meaning(answer).map(Some),
        }
    }

    async fn limited<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let timed_out = CallError::TimedOut { operation: "ask the manager".to_owned(), limit: LIMIT };
        tokio::time::timeout(LIMIT, call).await.unwrap_or(Err(timed_out))
    }

    fn meaning<T>(&self, answer: Result<T, CallError>) -> Result<T, EngineError> {
        answer.map_err(|error| meaning(error, self.engine.address()))
    }
}

/// The value without the members that are null, which are as good as absent.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let known = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(known.map(|(name, member)| (name, without_nulls(member))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_nulls).collect()),
        value => value,
    }
}

/// The meaning of a manager's error. Its status says little: 500 stands for most of them.
fn meaning(error: CallError, manager: &impl Display) -> EngineError {
    match error {
        CallError::TimedOut { operation, limit } => EngineError::Unavailable(format!(
            "{manager} did not answer within {} s ({operation}); if the Swarm has no leader, start its other managers",
            limit.as_secs()
        )),
        CallError::Response { status: 500.., message } if has_no_leader(&message) => EngineError::Unavailable(format!(
            "the Swarm has no leader, because more than half of its managers must be up; start the others: {message}"
        )),
        CallError::Response { message, .. } if message.contains("not a swarm manager") => {
            EngineError::Unavailable(format!("{manager} is no manager of a Swarm any more: {message}"))
        }
        CallError::Response { message, .. } if message.contains("update out of sequence") => {
            EngineError::Stale(message)
        }
        other => other.into(),
    }
}

fn has_no_leader(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["does not have a leader", "deadline exceeded", "no leader", "lost quorum", "raft"]
        .iter()
        .any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(status: u16, message: &str) -> EngineError {
        meaning(CallError::Response { status, message: message.to_owned() }, &"unix:///m.sock")
    }

    #[test]
    fn a_swarm_without_a_leader_is_unavailable() {
        for message in [
            "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online.",
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
        ] {
            let EngineError::Unavailable(why) = meant(500, message) else { panic!("{message}") };
            assert!(why.contains("has no leader") && why.contains("start the others"), "{why}");
        }
        let silent = CallError::TimedOut { operation: "list tasks".to_owned(), limit: LIMIT };
        let silent = meaning(silent, &"unix:///m.sock").to_string();
        assert!(silent.contains("unix:///m.sock did not answer within 5 s (list tasks)"), "{silent}");
        let left = meant(503, "This node is not a swarm manager. Use \"docker swarm init\".");
        assert!(matches!(left, EngineError::Unavailable(why) if why.contains("no manager of a Swarm any more")));
    }

    #[test]
    fn a_stale_version_is_told_from_other_errors_by_its_text() {
        let stale = meant(500, "rpc error: code = Unknown desc = update out of sequence");
        assert!(matches!(stale, EngineError::Stale(_)), "{stale}");
        let refused = meant(400, "invalid mount config");
        assert!(matches!(refused, EngineError::Refused(_)), "{refused}");
    }
}

//! The adapter on one node of a Swarm, and the command `docker` on another one.

use super::WAIT;
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use windlass_core::engine::{CountEngine, Engine, EngineError};
use windlass_core::settings::EngineSettings;
use windlass_core::{CountChange, Declaration, Replica, ServiceState, ServiceUpdate, Workload, WorkloadKey, fixtures};
use windlass_docker::swarm::{LeaseTimes, SwarmEngine, SwarmSettings};
use windlass_tests::images::Fixture;
use windlass_tests::swarm::{self, NODES, Swarm};
use windlass_tests::wait::eventually;

/// The node of the adapter.
pub(crate) const MANAGER: usize = 2;
/// Another node, on which the command `docker` runs.
const OTHER: usize = 3;
/// The name of the adapter's instance.
pub(crate) const INSTANCE: &str = "here";

/// Signs of a failure that passes, and that leaves nothing done: an election on a busy machine, or a service that Swarm wrote
/// at the same moment.
const PASSING: [&str; 3] = ["does not have a leader", "context deadline exceeded", "update out of sequence"];

pub(crate) struct SwarmSite {
    pub(crate) engine: Arc<SwarmEngine>,
    hosts: Vec<String>,
    folder: TempDir,
}

impl SwarmSite {
    pub(crate) async fn new(swarm: &Swarm) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let hosts: Vec<String> = (1..=NODES).map(|node| swarm.host(node)).collect();
        let engine = connect(&hosts[MANAGER - 1], &folder).await;
        Ok(Self { engine, hosts, folder })
    }

    /// The address of the manager that the adapter uses.
    pub(crate) fn host(&self) -> &str {
        &self.hosts[MANAGER - 1]
    }

    /// The address of another manager.
    pub(crate) fn other_host(&self) -> &str {
        &self.hosts[OTHER - 1]
    }

    /// The addresses of all nodes, that of the adapter first.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &String> {
        [MANAGER, OTHER, 1].into_iter().map(move |node| &self.hosts[node - 1])
    }

    /// The adapter after a restart of Windlass.
    pub(crate) async fn restarted(&self) -> Arc<SwarmEngine> {
        connect(self.host(), &self.folder).await
    }

    /// Runs the command `docker` on another node than the adapter's.
    pub(crate) async fn docker(&self, arguments: &[&str]) -> String {
        eventually("a Swarm that takes the command", WAIT, async || {
            swarm::docker(self.other_host(), arguments).await.map_err(|error| {
                let why = format!("{error:#}");
                assert!(PASSING.iter().any(|sign| why.contains(sign)), "{why}");
                why
            })
        })
        .await
    }

    /// The node of each task of a service, sorted. An error if Swarm keeps a task that does not run.
    pub(crate) async fn nodes_of(&self, service: &str) -> Result<Vec<String>, String> {
        let listed = ["service", "ps", "--filter", "desired-state=running", "--format"];
        let tasks = self.docker(&[&listed[..], &["{{.Node}} {{.CurrentState}}", service]].concat()).await;
        let node = |task: &str| {
            let (node, state) = task.split_once(' ')?;
            state.starts_with("Running").then(|| node.to_owned())
        };
        let nodes: Option<Vec<String>> = tasks.lines().map(node).collect();
        let mut nodes = nodes.ok_or(tasks)?;
        nodes.sort();
        Ok(nodes)
    }

    /// Waits until a service with as many tasks as there are nodes has one on each. A busy machine may lose a node for a
    /// moment, and Swarm moves no task back to it unless it is forced to begin all of them anew.
    pub(crate) async fn on_each_node(&self, service: &str) {
        eventually("a task on each node", 2 * WAIT, async || {
            let nodes = self.nodes_of(service).await?;
            let different: BTreeSet<&String> = nodes.iter().collect();
            if different.len() == NODES {
                return Ok(());
            }
            if nodes.len() == NODES {
                let anew = ["service", "update", "--force", "--quiet", service];
                let begun_anew = tokio::time::timeout(WAIT, self.docker(&anew)).await;
                begun_anew.map_err(|error| error.to_string())?;
            }
            Err(nodes.join(" "))
        })
        .await;
    }

    /// Creates a service whose label asks Windlass to scale it.
    pub(crate) async fn create(&self, name: &str, count: u32, more: &[&str]) {
        self.create_for(INSTANCE, name, count, more).await;
    }

    /// [`SwarmSite::create`] for the Windlass of another instance.
    pub(crate) async fn create_for(&self, instance: &str, name: &str, count: u32, more: &[&str]) {
        let (count, instance) = (count.to_string(), format!("windlass.instance={instance}"));
        let mut arguments = vec!["service", "create", "--detach", "--no-resolve-image", "--name", name];
        arguments.extend(["--replicas", &count, "--restart-delay", "1s"]);
        arguments.extend(["--label", "windlass.enable=true", "--label", &instance]);
        self.docker(&[&arguments[..], more].concat()).await;
    }

    /// The service as the engine describes it.
    pub(crate) async fn inspect(&self, name: &str) -> Value {
        let mut found: Value = serde_json::from_str(&self.docker(&["service", "inspect", name]).await).unwrap();
        found[0].take()
    }

    pub(crate) async fn state(&self, workload: &Workload) -> ServiceState {
        eventually("the service", WAIT, async || self.try_state(workload).await).await
    }

    pub(crate) async fn try_state(&self, workload: &Workload) -> Result<ServiceState, String> {
        let state = self.engine.service(workload).await.map_err(|error| error.to_string())?;
        state.ok_or_else(|| "no service".to_owned())
    }

    /// Waits until the service is in this state of an update.
    pub(crate) async fn update_is(&self, workload: &Workload, wanted: ServiceUpdate) -> ServiceState {
        eventually("the state of the update", WAIT, async || {
            let state = self.try_state(workload).await?;
            if state.update == wanted { Ok(state) } else { Err(format!("{state:?}")) }
        })
        .await
    }

    pub(crate) async fn replicas(&self, workload: &Workload) -> Result<Vec<Replica>, String> {
        self.engine.list(&workload.key, &workload.declaration).await.map_err(|error| error.to_string())
    }

    /// Waits until as many replicas run, and no others are there.
    pub(crate) async fn running(&self, workload: &Workload, count: usize) -> Vec<Replica> {
        eventually("the replicas to run", WAIT, async || {
            let all = self.replicas(workload).await?;
            let is_so = all.len() == count && all.iter().all(Replica::is_running);
            let seen = |it: &Replica| format!("{} {} {}; ", it.name, it.status, it.error);
            if is_so { Ok(all) } else { Err(all.iter().map(seen).collect()) }
        })
        .await
    }

    /// Changes the count at the version of now.
    pub(crate) async fn set_count(&self, workload: &Workload, to: u32, force: bool) -> Result<(), EngineError> {
        self.set_count_at_once(&self.engine, workload, to, force).await
    }

    /// Changes the count through another adapter.
    pub(crate) async fn set_count_by(
        &self,
        engine: &SwarmEngine,
        workload: &Workload,
        to: u32,
    ) -> Result<(), EngineError> {
        self.set_count_at_once(engine, workload, to, false).await
    }

    async fn set_count_at_once(
        &self,
        engine: &SwarmEngine,
        workload: &Workload,
        to: u32,
        force: bool,
    ) -> Result<(), EngineError> {
        eventually("the version of the service to stay", WAIT, async || {
            let version = self.version(workload).await;
            match engine.set_count(workload, CountChange { to, version, force }).await {
                // Swarm began an update in between.
                Err(EngineError::Stale(why)) => Err(why),
                outcome => Ok(outcome),
            }
        })
        .await
    }

    async fn version(&self, workload: &Workload) -> u64 {
        let Declaration::Swarm { service } = &workload.declaration else { panic!("{workload:?}") };
        self.inspect(service).await["Version"]["Index"].as_u64().unwrap()
    }

    /// The count of a service of any instance.
    pub(crate) async fn count_of(&self, service: &str) -> Value {
        self.inspect(service).await["Spec"]["Mode"]["Replicated"]["Replicas"].take()
    }

    /// An adapter of one of several Windlasses of an instance.
    pub(crate) async fn contender(&self, instance: &str, name: &str, times: LeaseTimes) -> Arc<SwarmEngine> {
        let host = Some(self.host().to_owned());
        let settings = EngineSettings { instance: instance.to_owned(), host, ..EngineSettings::default() };
        let swarm = SwarmSettings { lease: Some((name.to_owned(), times)), ..SwarmSettings::default() };
        SwarmEngine::connect(&settings, swarm).await.unwrap()
    }
}

async fn connect(host: &str, folder: &TempDir) -> Arc<SwarmEngine> {
    let settings =
        EngineSettings { instance: INSTANCE.to_owned(), host: Some(host.to_owned()), ..EngineSettings::default() };
    let earlier_file = Some(folder.path().join("services.json"));
    let swarm = SwarmSettings { earlier_file, stop_grace: Duration::from_secs(2), agents: None, lease: None };
    let engine = SwarmEngine::connect(&settings, swarm).await.unwrap();
    // As the control loop does: without somebody who reads the events, changes are noticed late.
    let mut events = engine.events();
    tokio::spawn(async move { while events.next().await.is_some() {} });
    engine
}

/// The workload that a service declares by its label.
pub(crate) fn adopted(service: &str) -> Workload {
    Workload {
        key: WorkloadKey::stored(service.replace('_', "-")),
        declaration: Declaration::Swarm { service: service.to_owned() },
        ..fixtures::workload(Fixture::Web.reference(), 0, 9)
    }
}

/// The engine's message in a rejection.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(outcome: Result<T, EngineError>) -> String {
    match outcome {
        Err(EngineError::Refused(text)) => text,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

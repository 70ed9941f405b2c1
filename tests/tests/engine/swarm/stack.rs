//! `examples/swarm/stack.yaml` as it stands: Windlass and its agents as containers on the nodes.

use super::WAIT;
use super::site::{MANAGER, SwarmSite};
use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use windlass_tests::images::Fixture;
use windlass_tests::response::client_of;
use windlass_tests::site::binary;
use windlass_tests::swarm::{NODES, Swarm, docker, finished};
use windlass_tests::wait::{eventually, until};

/// The image of Windlass on the nodes.
pub(crate) const IMAGE: &str = "windlass-tests/program:1";

/// The workload of the stack's web server.
const WEB: &str = "/workloads/windlass-web";

/// The Windlass of the deployed stack, in a container on one of the nodes.
struct Stack {
    host: String,
    container: String,
    client: reqwest::Client,
}

/// Deploys the stack on a manager, as the manual says.
pub(crate) async fn deploy(site: &SwarmSite, swarm: &Swarm) -> anyhow::Result<()> {
    let program = binary()?.display().to_string();
    let made = finished(on_manager(swarm, &program)?.args(["swarm", "init"])).await?;
    let next = made.lines().find_map(|line| line.strip_prefix("next: ")).with_context(|| made.clone())?;
    // The stack leaves open on which manager Windlass runs.
    let others: Vec<String> = (1..=NODES).filter(|node| *node != MANAGER).map(Swarm::name).collect();
    for node in &others {
        site.docker(&["node", "update", "--availability", "pause", node]).await;
    }
    let variables = [("WINDLASS_IMAGE", IMAGE), ("WEB_IMAGE", Fixture::Web.reference()), ("WINDLASS_MODE", "act")];
    let mut shell = on_manager(swarm, "sh")?;
    shell.args(["-c", next]).envs(variables).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    finished(&mut shell).await?;
    let placed = until("Windlass to be placed", WAIT, async || {
        let listed =
            ["service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}", "windlass_windlass"];
        let node = site.docker(&listed).await;
        if node.trim() == Swarm::name(MANAGER) { Ok(()) } else { Err(node) }
    });
    placed.await?;
    for node in &others {
        site.docker(&["node", "update", "--availability", "active", node]).await;
    }
    Ok(())
}

/// A program on the manager's node, without the environment of the person who runs the tests.
fn on_manager(swarm: &Swarm, program: &str) -> anyhow::Result<Command> {
    let mut command = swarm.command(MANAGER, program)?;
    let names = std::env::vars().map(|(name, _)| name);
    for name in names.filter(|name| name.starts_with("WINDLASS_") || name.starts_with("DOCKER_")) {
        command.env_remove(name);
    }
    Ok(command)
}

impl Stack {
    /// Finds the container. It is on the node [`MANAGER`], unless Swarm moved it since.
    async fn find(site: &SwarmSite) -> Result<Self, String> {
        let listed = ["ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=windlass_windlass"];
        for host in site.hosts() {
            // The engine of a node that died does not answer.
            let Ok(found) = docker(host, &listed).await else { continue };
            let Some(id) = found.lines().next() else { continue };
            let inspected = docker(host, &["inspect", "--format", "{{.State.Pid}}", id]).await;
            let process = inspected.map_err(|error| format!("{error:#}"))?;
            let socket = PathBuf::from(format!("/proc/{}/root/run/windlass/windlass.sock", process.trim()));
            if !socket.exists() {
                return Err(format!("no socket `{}`", socket.display()));
            }
            return Ok(Self { host: host.clone(), container: id.to_owned(), client: client_of(&socket) });
        }
        Err("no container".to_owned())
    }

    async fn request(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let mut request = self.client.request(method, format!("http://windlass{path}"));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
        match serde_json::from_str(&text) {
            Ok(value) if status.is_success() => Ok(value),
            _ => Err(format!("{status}: {text}")),
        }
    }

    /// The web server's tasks after a pass. An error if one of them has a use of nothing.
    async fn tasks(&self) -> Result<Vec<Value>, String> {
        self.request(Method::POST, &format!("{WEB}/reconcile"), &json!({})).await?;
        let answer = self.request(Method::GET, &format!("{WEB}/health"), &Value::Null).await?;
        let tasks = answer["health"].as_array().cloned().unwrap_or_default();
        let has_none = |task: &Value| task["mem_percent"].as_f64().is_some_and(|percent| percent <= 0.0);
        assert!(!tasks.iter().any(has_none), "a missing use is no zero: {tasks:?}");
        Ok(tasks)
    }

    /// The nodes of the web server's tasks, if there is one for each node and `is_so` for each.
    async fn nodes(&self, is_so: fn(&Value) -> bool) -> Result<BTreeSet<String>, String> {
        let tasks = self.tasks().await?;
        if tasks.len() != NODES || !tasks.iter().all(is_so) {
            return Err(format!("{tasks:?}"));
        }
        let running = ["service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}", "windlass_web"];
        let nodes = docker(&self.host, &running).await.map_err(|error| format!("{error:#}"))?;
        Ok(nodes.lines().map(str::to_owned).collect())
    }

    /// The log, which a container writes to the standard error.
    async fn log(&self) -> Result<String, String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"docker --host "$0" logs "$1" 2>&1"#, &self.host, &self.container]);
        finished(&mut shell).await.map_err(|error| format!("{error:#}"))
    }
}

/// The agents of all nodes report the use of their tasks, and the stack's Windlass acts on its web server.
pub(crate) async fn the_use_of_every_node_arrives(site: &SwarmSite) {
    eventually("the command of the stack's first lines", WAIT, async || {
        let stack = Stack::find(site).await?;
        let explain = ["exec", &stack.container, "windlass", "explain", "windlass-web"];
        let text = docker(&stack.host, &explain).await.map_err(|error| format!("{error:#}"))?;
        if text.contains("windlass-web has a target of 2 replicas") { Ok(()) } else { Err(text) }
    })
    .await;
    let forced = json!({"force": {"replicas": NODES, "for": "1h"}});
    eventually("the count to be forced", WAIT, async || {
        Stack::find(site).await?.request(Method::PATCH, &format!("{WEB}/overrides"), &forced).await
    })
    .await;
    let all: BTreeSet<String> = (1..=NODES).map(Swarm::name).collect();
    site.on_each_node("windlass_web").await;
    eventually("the use of a task on each node", WAIT, async || {
        let has_use = |task: &Value| task["server_alive"] == true && task["cpu_percent"].is_number();
        let nodes = Stack::find(site).await?.nodes(has_use).await?;
        if nodes == all { Ok(()) } else { Err(format!("{nodes:?}")) }
    })
    .await;
}

/// The check of the image succeeds as Swarm runs it, and only then does Swarm call the task running.
pub(crate) async fn the_health_check_of_the_image_succeeds(site: &SwarmSite) {
    eventually("a healthy Windlass", WAIT, async || {
        let stack = Stack::find(site).await?;
        let inspect = ["inspect", "--format", "{{json .State.Health}}", &stack.container];
        let health = docker(&stack.host, &inspect).await.map_err(|error| format!("{error:#}"))?;
        let health: Value = serde_json::from_str(&health).map_err(|error| error.to_string())?;
        let last = health["Log"].as_array().and_then(|log| log.last()).cloned().unwrap_or_default();
        let says = last["Output"].as_str().unwrap_or_default();
        let succeeds = last["ExitCode"] == 0 && says == "windlass at unix:/run/windlass/windlass.sock is healthy\n";
        let nodes = site.nodes_of("windlass_windlass").await?;
        if health["Status"] == "healthy" && succeeds && nodes.len() == 1 { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
}

/// A service on another node than the manager's, whose task uses its processor. Only the agent of that node knows.
pub(crate) async fn a_service_grows_with_the_use_that_an_agent_reports(site: &SwarmSite) {
    let config = r#"{"metrics": [{"name": "cpu-utilization", "target": 0.4}], "warm-up-ms": 0}"#;
    let config = format!("windlass.policy.config={config}");
    let elsewhere = format!("node.hostname!={}", Swarm::name(MANAGER));
    let labels = ["--label", "windlass.min=1", "--label", "windlass.max=2", "--label", "windlass.mode=act"];
    let policy = ["--label", "windlass.policy=target-tracking", "--label", &config];
    let task = ["--limit-cpu", ".1", "--constraint", &elsewhere, Fixture::Deaf.reference()];
    let burn = ["sh", "-c", "trap 'exit 0' TERM; while :; do :; done"];
    site.create_for("default", "burning", 1, &[&labels[..], &policy, &task, &burn].concat()).await;
    eventually("a second task", WAIT, async || {
        let count = site.count_of("burning").await;
        if count == 2 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    // A decision is recorded after its change was made.
    let (record, health) = ("/workloads/burning/decisions?limit=50", "/workloads/burning/health");
    eventually("the decision and the use", WAIT, async || {
        let stack = Stack::find(site).await?;
        let decisions = stack.request(Method::GET, record, &Value::Null).await?.to_string();
        let has_reason = decisions.contains("scale-out from 1 to 2") && decisions.contains("cpu-utilization");
        let tasks = stack.request(Method::GET, health, &Value::Null).await?["health"].take();
        let is_known = tasks[0]["cpu_percent"].as_f64().is_some_and(|percent| percent > 0.0);
        if has_reason && is_known { Ok(()) } else { Err(format!("{decisions} {tasks}")) }
    })
    .await;
    site.docker(&["service", "rm", "burning"]).await;
}

/// After the death of a node, its task has moved, and its agent is missed by name.
pub(crate) async fn the_agent_of_a_dead_node_is_missing(site: &SwarmSite, dead: usize) {
    let dead = Swarm::name(dead);
    let named = format!("\"node\":\"{dead}\"");
    // A busy machine may be late to answer the new leader. Swarm then moves Windlass, too, which waits for its own lease.
    eventually("the tasks on living nodes, and the log to name the dead one", 2 * WAIT, async || {
        let stack = Stack::find(site).await?;
        let nodes = stack.nodes(|task| task["server_alive"] == true).await?;
        let log = stack.log().await?;
        let is_named = log.lines().any(|line| line.contains("reports no resource use") && line.contains(&named));
        if is_named && !nodes.contains(&dead) { Ok(()) } else { Err(format!("{nodes:?} {log}")) }
    })
    .await;
}

//! `examples/swarm/stack.yaml` as it stands: Windlass and its agents as containers on the nodes.

use super::WAIT;
use super::site::{MANAGER, SwarmSite};
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use windlass_tests::images::Fixture;
use windlass_tests::response::client_of;
use windlass_tests::site::binary;
use windlass_tests::swarm::{NODES, Swarm, finished};
use windlass_tests::wait::{eventually, until};

/// The image of Windlass on the nodes.
pub(crate) const IMAGE: &str = "windlass-tests/program:1";

/// The workload of the stack's web server.
const WEB: &str = "/workloads/windlass-web";

/// The deployed stack. Its Windlass runs on the node [`MANAGER`].
pub(crate) struct Stack {
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
        let node = site.docker(&["service", "ps", "--format", "{{.Node}}", "windlass_windlass"]).await;
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
    /// The stack's Windlass, once it answers.
    pub(crate) async fn started(site: &SwarmSite) -> anyhow::Result<Self> {
        let listed = ["ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=windlass_windlass"];
        let found = until("Windlass to listen", WAIT, async || {
            let id = site.docker_on_manager(&listed).await.trim().to_owned();
            if id.is_empty() {
                return Err("no container".to_owned());
            }
            let process = site.docker_on_manager(&["inspect", "--format", "{{.State.Pid}}", &id]).await;
            let socket = PathBuf::from(format!("/proc/{}/root/run/windlass/windlass.sock", process.trim()));
            if socket.exists() { Ok((id, socket)) } else { Err(format!("no socket `{}`", socket.display())) }
        });
        let (container, socket) = found.await?;
        Ok(Self { container, client: client_of(&socket) })
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

    /// The nodes of the web server's tasks, once there are this many and `is_so` for each.
    async fn nodes(&self, site: &SwarmSite, count: usize, is_so: fn(&Value) -> bool) -> BTreeSet<String> {
        eventually("the tasks of the web server", WAIT, async || {
            let tasks = self.tasks().await?;
            if tasks.len() == count && tasks.iter().all(is_so) { Ok(()) } else { Err(format!("{tasks:?}")) }
        })
        .await;
        let running = ["service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}", "windlass_web"];
        site.docker(&running).await.lines().map(str::to_owned).collect()
    }

    /// The log, which a container writes to the standard error.
    async fn log(&self, site: &SwarmSite) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"docker --host "$0" logs "$1" 2>&1"#, site.host(), &self.container]);
        finished(&mut shell).await.unwrap()
    }
}

/// The agents of all nodes report the use of their tasks, and the stack's Windlass acts on its web server.
pub(crate) async fn the_use_of_every_node_arrives(site: &SwarmSite) -> anyhow::Result<()> {
    let stack = Stack::started(site).await?;
    eventually("the command of the stack's first lines", WAIT, async || {
        let explain = ["exec", &stack.container, "windlass", "explain", "windlass-web"];
        let text = site.try_docker_on_manager(&explain).await.map_err(|error| format!("{error:#}"))?;
        if text.contains("windlass-web has a target of 2 replicas") { Ok(()) } else { Err(text) }
    })
    .await;
    let forced = json!({"force": {"replicas": NODES, "for": "1h"}});
    if let Err(why) = stack.request(Method::PATCH, &format!("{WEB}/overrides"), &forced).await {
        bail!("the count was not forced: {why}");
    }
    let has_use = |task: &Value| task["server_alive"] == true && task["cpu_percent"].is_number();
    let nodes = stack.nodes(site, NODES, has_use).await;
    let all: BTreeSet<String> = (1..=NODES).map(Swarm::name).collect();
    assert_eq!(nodes, all, "one task on each node");
    Ok(())
}

/// After the death of a node, its task has moved, and its agent is missed by name.
pub(crate) async fn the_agent_of_a_dead_node_is_missing(site: &SwarmSite, dead: usize) -> anyhow::Result<()> {
    let stack = Stack::started(site).await?;
    let nodes = stack.nodes(site, NODES, |task| task["server_alive"] == true).await;
    assert!(!nodes.contains(&Swarm::name(dead)), "{nodes:?}");
    let named = format!("\"node\":\"{}\"", Swarm::name(dead));
    eventually("the log to name the node", WAIT, async || {
        let log = stack.log(site).await;
        let is_named = log.lines().any(|line| line.contains("reports no resource use") && line.contains(&named));
        if is_named { Ok(()) } else { Err(log) }
    })
    .await;
    Ok(())
}

//! `make demo-swarm`: a Docker Swarm of three nodes on this machine, on which a stack with labels follows its load.
//!
//! The demo checks every step and fails if one does not happen. It removes everything it created, also after an interrupt.

mod stage;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use stage::{IMAGE, LIMIT, build_image, ending, gather_reasons, perform, remove_image, say, seconds};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use windlass_harness::engine::Engine;
use windlass_harness::response::{Response, client};
use windlass_harness::site::{Site, Windlass};
use windlass_harness::swarm::{NODES, Swarm};
use windlass_harness::wait::until;

/// The service of the stack, and its workload.
const SERVICE: &str = "shop_web";
const WORKLOAD: &str = "shop-web";

/// Requests a second that one task shall answer.
const TARGET: u32 = 10;

/// The node that loses its power. Windlass uses the first one.
const VICTIM: usize = 3;

/// The stack. Without IPVS in the kernel, a Swarm cannot give a service one address, so each task has a port of its node.
const STACK: &str = r#"version: "3.8"
services:
  web:
    image: windlass-demo/web:1
    ports: [{target: 80, mode: host}]
    deploy:
      replicas: 2
      endpoint_mode: dnsrr
      restart_policy: {delay: 1s}
      labels:
        windlass.enable: "true"
        windlass.min: "2"
        windlass.max: "6"
        windlass.mode: act
        windlass.profile: web
"#;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = perform(demo()).await;
    remove_image().await;
    ending(outcome)
}

async fn demo() -> anyhow::Result<()> {
    let began = Instant::now();
    say("Windlass scales a web server on a Docker Swarm of three nodes, all on this machine.\n");

    say("1. Start the Swarm");
    let machine = Engine::of_this_machine().await?;
    let (swarm, built) = tokio::join!(Swarm::start(), build_image(&machine));
    let (mut swarm, ()) = (swarm?, built?);
    swarm.load(IMAGE).await?;
    say(format!("   three engines, each with a network of its own, after {:.1} s\n", seconds(began)));

    say("2. Start Windlass on a manager");
    let site = Site::on(swarm.engine(1).await?, "demo-swarm")?
        .set("engine.instance", "\"default\"")
        .set("control.interval", "\"5s\"")
        .set("profiles.web.metrics", "{ requests = { push = {} } }")
        .set("profiles.web.scaling_policy", &policy())
        .set("profiles.web.guardrails", "{ grace = 0, scale_up = { rates = [] }, scale_down = { window = \"3s\" } }")
        .detached();
    let windlass = site.start_with(&["--listen", "127.0.0.1:0", "--engine", "swarm"]).await?;
    say(format!("   windlass serve --engine swarm: http://{}", windlass.address()));
    say(format!("   Its profile `web` asks for one task for each {TARGET} requests a second.\n"));

    let shown = show(&site, &windlass, &mut swarm).await;
    shown.with_context(|| {
        let log = windlass.log();
        let lines: Vec<&str> = log.lines().rev().take(15).collect();
        format!("the last log lines of windlass:\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    })?;
    say(format!(
        "\n8. Remove everything, {:.0} s after the start: the nodes, the image, the process, its data",
        seconds(began)
    ));
    Ok(())
}

fn policy() -> String {
    format!(
        "{{ name = \"target-tracking\", config = {{ metrics = [{{ name = \"requests\", target = {TARGET}, kind = \"total\" }}] }} }}"
    )
}

/// Runs the steps that need a running Windlass.
async fn show(site: &Site, windlass: &Windlass, swarm: &mut Swarm) -> anyhow::Result<()> {
    say("3. Deploy a stack with labels");
    let file = site.folder().join("stack.yaml");
    std::fs::write(&file, STACK)?;
    say("   docker stack deploy --compose-file stack.yaml shop");
    STACK.lines().filter(|line| line.contains("windlass.")).for_each(|line| say(format!("     {}", line.trim())));
    let file = file.display().to_string();
    swarm.docker(1, &["stack", "deploy", "--resolve-image", "never", "--compose-file", &file, "shop"]).await?;
    let began = Instant::now();
    until("Windlass to adopt the service", LIMIT, async || {
        match windlass.get(&format!("/workloads/{WORKLOAD}")).await {
            found if found.status == 200 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await?;
    let tasks = settled(swarm, 2).await?;
    say(format!("   Windlass adopts it as `{WORKLOAD}`, after {:.1} s", seconds(began)));
    list(&tasks);

    say("\n4. Send 45 requests a second");
    let load = Load::start(windlass);
    load.send_to(&tasks, 45);
    let began = Instant::now();
    let tasks = settled(swarm, 5).await?;
    load.send_to(&tasks, 45);
    say(format!("   five tasks run after {:.1} s", seconds(began)));
    list(&tasks);
    greet(&tasks).await?;

    say(format!("\n5. Cut the power of node {}", Swarm::name(VICTIM)));
    let began = Instant::now();
    swarm.lose(VICTIM)?;
    let left: Vec<Task> = tasks.into_iter().filter(|task| task.node != Swarm::name(VICTIM)).collect();
    load.send_to(&left, 45);
    until("Swarm to notice", LIMIT, async || {
        let state = ["node", "inspect", "--format", "{{.Status.State}}", &Swarm::name(VICTIM)];
        match swarm.docker(1, &state).await {
            Ok(state) if state.trim() == "down" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    say(format!("   Swarm calls it down after {:.1} s, and starts its tasks on the other nodes", seconds(began)));
    let tasks = settled(swarm, 5).await?;
    load.send_to(&tasks, 45);
    say(format!("   five tasks run again after {:.1} s; Windlass held the count", seconds(began)));
    list(&tasks);

    say("\n6. Send 15 requests a second");
    load.send_to(&tasks, 15);
    let began = Instant::now();
    let tasks = settled(swarm, 2).await?;
    say(format!("   two tasks are left after {:.1} s", seconds(began)));
    list(&tasks);
    say(format!("   {} requests were answered in all", load.answered()));

    say("\n7. Read the reasons");
    say(format!("   GET /workloads/{WORKLOAD}/decisions?limit=50"));
    let decisions = windlass.get(&format!("/workloads/{WORKLOAD}/decisions?limit=50")).await;
    ensure!(decisions.status == 200, "the decisions were not returned: {decisions}");
    let mut reasons = Vec::new();
    // The response begins with the newest decision; print the oldest first. The steps are what changed.
    for decision in decisions.list("/decisions").iter().rev() {
        gather_reasons(&decision["actions"], &mut reasons);
    }
    ensure!(reasons.len() >= 2, "the decisions do not say what happened: {decisions}");
    reasons.iter().for_each(|reason| say(format!("     - {reason}")));
    Ok(())
}

/// A running task of the service.
#[derive(Clone)]
struct Task {
    name: String,
    node: String,
    url: String,
}

/// Waits until this many tasks run, and Swarm keeps no others.
async fn settled(swarm: &Swarm, count: usize) -> anyhow::Result<Vec<Task>> {
    until(&format!("{count} tasks to run"), LIMIT, async || {
        let tasks = tasks(swarm).await.map_err(|error| format!("{error:#}"))?;
        match tasks.iter().cloned().collect::<Option<Vec<Task>>>() {
            Some(running) if running.len() == count => Ok(running),
            _ => Err(format!("{} of {} tasks run", tasks.iter().flatten().count(), tasks.len())),
        }
    })
    .await
}

/// The tasks that Swarm keeps. `None` for one that does not run yet.
async fn tasks(swarm: &Swarm) -> anyhow::Result<Vec<Option<Task>>> {
    let format = "{{.Name}}|{{.Node}}|{{.CurrentState}}|{{.Ports}}";
    let listed = ["service", "ps", "--filter", "desired-state=running", "--format", format, SERVICE];
    let listed = swarm.docker(1, &listed).await?;
    let mut tasks: Vec<Option<Task>> = listed.lines().map(running).collect();
    tasks.sort_by_key(|task| task.as_ref().map(|task| task.name.clone()));
    Ok(tasks)
}

fn running(line: &str) -> Option<Task> {
    let [name, node, state, ports] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
    // The engine lists a port as `*:32768->80/tcp`.
    let port = ports.split("->").next()?.rsplit(':').next()?;
    let number = (1..=NODES).find(|number| Swarm::name(*number) == node)?;
    state.starts_with("Running").then(|| Task {
        name: name.to_owned(),
        node: node.to_owned(),
        url: format!("http://{}:{port}/", Swarm::address(number)),
    })
}

/// Prints the tasks, a node a line.
fn list(tasks: &[Task]) {
    let mut nodes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for task in tasks {
        nodes.entry(&task.node).or_default().push(&task.name);
    }
    nodes.iter().for_each(|(node, names)| say(format!("     {node:<12} {}", names.join(" "))));
}

/// Waits for the answer of each task.
async fn greet(tasks: &[Task]) -> anyhow::Result<()> {
    let answers = tasks.iter().map(|task| async {
        until("a task to answer", LIMIT, async || match Response::of(&task.url).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    });
    try_join_all(answers).await.map(drop)
}

/// Requests at a steady rate, whose number is a metric of the workload. Dropping the value ends them.
struct Load {
    target: watch::Sender<(Vec<String>, u32)>,
    answered: Arc<AtomicU32>,
    sender: JoinHandle<()>,
}

impl Load {
    fn start(windlass: &Windlass) -> Self {
        let (target, targets) = watch::channel((Vec::new(), 0));
        let answered = Arc::new(AtomicU32::new(0));
        let metrics = format!("http://{}/workloads/{WORKLOAD}/metrics", windlass.address());
        let sender = tokio::spawn(send(targets, metrics, Arc::clone(&answered)));
        Self { target, answered, sender }
    }

    /// Sends this many requests a second to the tasks, each to the next one in turn.
    fn send_to(&self, tasks: &[Task], rate: u32) {
        self.target.send_replace((tasks.iter().map(|task| task.url.clone()).collect(), rate));
    }

    fn answered(&self) -> u32 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

async fn send(targets: watch::Receiver<(Vec<String>, u32)>, metrics: String, answered: Arc<AtomicU32>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        let (urls, rate) = targets.borrow().clone();
        if urls.is_empty() {
            continue;
        }
        let body = json!({"samples": [{"name": "requests", "value": rate}]}).to_string();
        let push = client().post(&metrics).header("content-type", "application/json").body(body).send();
        tokio::spawn(push);
        let pause = Duration::from_secs(1) / (rate + 1);
        for url in urls.into_iter().cycle().take(usize::try_from(rate).unwrap_or_default()) {
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                let answer = client().get(url).timeout(LIMIT).send().await;
                let is_good = answer.is_ok_and(|answer| answer.status().is_success());
                answered.fetch_add(u32::from(is_good), Ordering::Relaxed);
            });
            tokio::time::sleep(pause).await;
        }
    }
}

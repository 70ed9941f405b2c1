//! `make demo`: Windlass keeps a web server running on this machine's Docker engine, and the demo prints each step.
//!
//! The demo checks every step and fails if one does not happen. It removes everything it created, also after an
//! interrupt; `--keep` leaves it running.

mod stage;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use stage::{IMAGE, LIMIT, build_image, ending, gather_reasons, perform, remove_image, say, seconds};
use std::process::ExitCode;
use tokio::time::Instant;
use windlass_harness::engine::{Engine, INSTANCE_LABEL};
use windlass_harness::response::Response;
use windlass_harness::site::{Site, Windlass};
use windlass_harness::wait::until;

#[tokio::main]
async fn main() -> ExitCode {
    let keep = std::env::args().any(|argument| argument == "--keep");
    let outcome = perform(demo(keep)).await;
    if !(keep && outcome.is_ok()) {
        remove_image().await;
    }
    ending(outcome)
}

async fn demo(keep: bool) -> anyhow::Result<()> {
    let engine = Engine::of_this_machine().await?;
    let version = engine.docker().version().await?.version.unwrap_or_default();
    say(format!("Windlass keeps a web server running on this machine's Docker engine ({version}).\n"));

    say("1. Build an image");
    build_image(&engine).await?;
    say(format!("   built {IMAGE} from examples/web, without a registry\n"));

    say("2. Start Windlass");
    let site = Site::on(engine.clone(), "demo")?.detached();
    let windlass = site.start().await?;
    until("windlass to be ready", LIMIT, async || match windlass.get("/ready").await {
        ready if ready.status == 200 => Ok(()),
        other => Err(other.to_string()),
    })
    .await?;
    say(format!("   windlass serve: http://{}\n", windlass.address()));

    show(&site, &windlass).await.with_context(|| {
        let log = windlass.log();
        let lines: Vec<&str> = log.lines().rev().take(15).collect();
        format!("the last log lines of windlass:\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    })?;

    if keep {
        return leave(site, windlass);
    }
    let removed = windlass.delete(&format!("/images/{IMAGE}")).await;
    ensure!(removed.status == 200, "the workload was not removed: {removed}");
    ensure!(
        engine.containers(site.instance()).await?.is_empty(),
        "the engine still has containers of the removed workload"
    );
    say("\n7. Remove everything: the containers, the image, the process, its data");
    say("   (`make demo KEEP=1` leaves it running for you to try.)");
    Ok(())
}

/// Runs the steps that need a running Windlass.
async fn show(site: &Site, windlass: &Windlass) -> anyhow::Result<()> {
    say("3. Start a workload");
    let body = json!({
        "image": IMAGE,
        "min_replicas": 1,
        "max_replicas": 5,
        "ports": {"80/tcp": 0},
        "resources": {"cpu": "0.5", "memory": "64m"},
        "probe": {"http": {"path": "/", "port": 80}, "interval": "1s", "timeout": "500ms"},
    });
    say(format!("   POST /start/container  {body}"));
    let began = Instant::now();
    let started = windlass.post("/start/container", body).await;
    ensure!(started.status == 200, "the workload was not started: {started}");
    let greeting = answer_of(&started.body).await?;
    say(format!("   {} answers after {:.1} s: \"{greeting}\"\n", name_of(&started.body), seconds(began)));

    say("4. Scale it");
    let body = json!({"min_replicas": 3, "max_replicas": 5});
    say(format!("   POST /images/{IMAGE}/scale  {body}"));
    let began = Instant::now();
    let scaled = windlass.post(&format!("/images/{IMAGE}/scale"), body).await;
    ensure!(scaled.status == 200, "the workload was not scaled: {scaled}");
    let three = replicas(windlass, 3, None).await?;
    say(format!("   three containers answer after {:.1} s:", seconds(began)));
    for (replica, greeting) in &three {
        say(format!("     {:<28} \"{greeting}\"", name_of(replica)));
    }

    say("\n5. Kill a container");
    let (victim, _) = &three[1];
    let identifier = victim["container_id"].as_str().context("a replica has an identifier")?;
    say(format!("   docker kill {}", name_of(victim)));
    let began = Instant::now();
    site.engine().kill(identifier).await?;
    let repaired = replicas(windlass, 3, Some(identifier)).await?;
    let took = seconds(began);
    let new = repaired
        .iter()
        .find(|(replica, _)| three.iter().all(|(old, _)| old["container_id"] != replica["container_id"]));
    let (new, greeting) = new.context("no new container replaced it")?;
    say(format!("   {} was replaced after {took:.1} s: \"{greeting}\"", name_of(new)));

    say("\n6. Read the reasons");
    say(format!("   GET /images/{IMAGE}/decisions?limit=20"));
    let decisions = windlass.get(&format!("/images/{IMAGE}/decisions?limit=20")).await;
    ensure!(decisions.status == 200, "the decisions were not returned: {decisions}");
    let mut reasons = Vec::new();
    // The response begins with the newest decision; print the oldest first.
    for decision in decisions.list("/decisions").iter().rev() {
        gather_reasons(decision, &mut reasons);
    }
    ensure!(!reasons.is_empty(), "the decisions contain no reason: {decisions}");
    reasons.iter().for_each(|reason| say(format!("     - {reason}")));
    Ok(())
}

/// Waits until `count` containers run and answer, not counting `without`. Returns each with its answer.
async fn replicas(windlass: &Windlass, count: usize, without: Option<&str>) -> anyhow::Result<Vec<(Value, String)>> {
    let what = format!("{count} containers to answer");
    until(&what, LIMIT, async || {
        let listed = windlass.get(&format!("/images/{IMAGE}/containers")).await;
        let containers = listed.body["containers"].as_array().cloned().unwrap_or_default();
        let running: Vec<Value> = containers
            .into_iter()
            .filter(|container| container["status"] == "running" && container["container_id"].as_str() != without)
            .collect();
        if running.len() != count {
            return Err(listed.to_string());
        }
        let answers = futures_util::future::try_join_all(running.iter().map(ask)).await?;
        Ok(running.into_iter().zip(answers).collect())
    })
    .await
}

/// Waits for the answer of a container's web server.
async fn answer_of(container: &Value) -> anyhow::Result<String> {
    until("the web server to answer", LIMIT, async || ask(container).await).await
}

async fn ask(container: &Value) -> Result<String, String> {
    let port = container["ports"]["80/tcp"][0]["HostPort"].as_str().ok_or("port 80 is not published yet")?;
    let answer = Response::of(&format!("http://127.0.0.1:{port}/")).await.map_err(|error| format!("{error:#}"))?;
    match (answer.status, answer.body.as_str()) {
        (200, Some(text)) => Ok(text.trim().to_owned()),
        _ => Err(answer.to_string()),
    }
}

fn name_of(container: &Value) -> &str {
    container["name"].as_str().unwrap_or("a container without a name")
}

fn leave(site: Site, windlass: Windlass) -> anyhow::Result<()> {
    let (address, pid, instance) = (windlass.address().to_owned(), windlass.pid(), site.instance().to_owned());
    let folder = site.leave(windlass);
    say(format!("\nWindlass keeps running (process {pid}; its data and log are in {}).", folder.display()));
    say("Look at it:");
    say(format!("  curl http://{address}/containers"));
    say(format!("  curl http://{address}/images/{IMAGE}"));
    say(format!("  docker ps --filter label={INSTANCE_LABEL}={instance}"));
    say(format!("  a page to try every endpoint: http://{address}/docs"));
    say("Stop it and remove everything:");
    say(format!("  curl -X DELETE http://{address}/images/{IMAGE}"));
    say(format!("  kill {pid}; docker rmi {IMAGE}; rm -r {}", folder.display()));
    Ok(())
}

//! Nodes that die: the leader with its containers, while another manager is cut off.

use super::WAIT;
use super::site::{SwarmSite, adopted};
use super::stack;
use serde_json::json;
use tokio::time::Instant;
use windlass_core::engine::{CountEngine, Engine, EngineError};
use windlass_core::{CountChange, Phase, Replica};
use windlass_tests::engine::Engine as Client;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass};
use windlass_tests::swarm::{NODES, Swarm};
use windlass_tests::wait::eventually;

/// The service of these tests, which begins with three replicas on three nodes.
const SERVICE: &str = "lasting";

/// The first node leads the Swarm, unless the machine was so busy that another one was elected.
const LEADER: usize = 1;
const CUT_OFF: usize = 3;

pub(crate) async fn prepare(site: &SwarmSite) {
    let ports = ["--publish", "mode=host,target=80", "--endpoint-mode", "dnsrr"];
    site.create(SERVICE, 3, &[&ports[..], &[Fixture::Web.reference()]].concat()).await;
    site.running(&adopted(SERVICE), NODES).await;
}

/// Two of three managers are gone, one of them for good: nothing changes until there is a new leader, which then moves the
/// tasks of the dead node.
pub(crate) async fn without_a_leader_everything_is_held_and_then_tasks_move(
    site: &SwarmSite,
    swarm: &mut Swarm,
) -> anyhow::Result<()> {
    let program = Site::on(Client::at(site.host()).await?, "quorum")?.set("control.interval", r#""1s""#);
    let windlass = program.start_with(&["--listen", "127.0.0.1:0", "--engine", "swarm"]).await?;
    is_ready(&windlass).await;
    site.on_each_node(SERVICE).await;
    let node = format!("node={}", Swarm::name(LEADER));
    let filters = ["--filter", "desired-state=running", "--filter", &node];
    let listed = [&["service", "ps", "--no-trunc", "--quiet"][..], &filters, &[SERVICE]].concat();
    let listed = site.docker(&listed).await;
    let of_leader: Vec<&str> = listed.lines().collect();
    assert_eq!(of_leader.len(), 1, "one of three on each node");
    swarm.lose(LEADER)?;
    swarm.cut_off(CUT_OFF)?;
    everything_is_held(site).await;
    it_is_not_ready_and_says_why(&windlass).await;
    swarm.connect(CUT_OFF)?;
    is_ready(&windlass).await;
    tasks_move_and_the_count_holds(site, &of_leader).await;
    a_new_leader_is_followed(site).await;
    stack::the_agent_of_a_dead_node_is_missing(site, LEADER).await;
    Ok(())
}

async fn everything_is_held(site: &SwarmSite) {
    let workload = adopted(SERVICE);
    let why = eventually("an error", WAIT, async || {
        let asked = Instant::now();
        let answer = site.engine.list(&workload.key, &workload.declaration).await;
        assert!(asked.elapsed().as_secs() < 25, "a pass waits for a poll and a request of 5 s at most");
        match answer {
            Err(EngineError::Unavailable(why)) => Ok(why),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(why.contains("leader"), "{why}");
    let change = CountChange { to: 1, version: 1, force: true };
    let written = site.engine.set_count(&workload, change).await;
    assert!(matches!(written, Err(EngineError::Unavailable(_))), "{written:?}");
    assert!(site.engine.ping().await.is_err(), "it is not ready");
}

async fn is_ready(windlass: &Windlass) {
    eventually("a program that is ready", WAIT, async || match windlass.get("/ready").await {
        ready if ready.status == 200 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
}

/// The process lives and can do nothing.
async fn it_is_not_ready_and_says_why(windlass: &Windlass) {
    eventually("a program that is not ready", WAIT, async || {
        let ready = windlass.get("/ready").await;
        let why = ready.body["detail"].as_str().unwrap_or_default();
        let says_why = why.contains("the engine cannot be used: ") && why.contains("leader");
        if ready.status == 503 && ready.body["ready"] == false && says_why { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
    assert_eq!(windlass.get("/health").await.ok(), json!({"ok": true}));
}

async fn tasks_move_and_the_count_holds(site: &SwarmSite, of_leader: &[&str]) {
    let workload = adopted(SERVICE);
    eventually("the task to move", WAIT, async || {
        let state = site.try_state(&workload).await?;
        assert_eq!(state.count, 3, "the count holds");
        let replicas = site.replicas(&workload).await?;
        let is_ghost = |it: &Replica| of_leader.iter().any(|task| it.name.ends_with(task));
        let moved = replicas.iter().filter(|it| is_ghost(it)).all(|it| it.phase != Phase::Running);
        let serving = replicas.iter().filter(|it| it.is_running() && !is_ghost(it)).count();
        if moved && serving == NODES { Ok(()) } else { Err(format!("{serving} serve: {replicas:?}")) }
    })
    .await;
    let is_down = ["node", "inspect", "--format", "{{.Status.State}}", &Swarm::name(LEADER)];
    assert_eq!(site.docker(&is_down).await.trim(), "down");
}

async fn a_new_leader_is_followed(site: &SwarmSite) {
    let workload = adopted(SERVICE);
    eventually("a change of the count", WAIT, async || {
        let state = site.try_state(&workload).await?;
        if state.count == 4 {
            return Ok(());
        }
        let change = CountChange { to: 4, version: state.version, force: false };
        match site.engine.set_count(&workload, change).await {
            // The next look shows whether it was carried out.
            Ok(()) | Err(EngineError::Unavailable(_) | EngineError::Stale(_)) => Err("changed".to_owned()),
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

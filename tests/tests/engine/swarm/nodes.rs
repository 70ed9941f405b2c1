//! Nodes that die: one of three, the leader, and one too many.

use super::WAIT;
use super::site::{SwarmSite, adopted};
use tokio::time::Instant;
use windlass_core::engine::{CountEngine, Engine, EngineError};
use windlass_core::{CountChange, Phase};
use windlass_tests::images::Fixture;
use windlass_tests::swarm::{NODES, Swarm};
use windlass_tests::wait::eventually;

/// The service of these tests, which begins with three replicas on three nodes.
const SERVICE: &str = "lasting";

pub(crate) async fn tasks_of_a_dead_node_move_and_the_count_holds(
    site: &SwarmSite,
    swarm: &mut Swarm,
) -> anyhow::Result<()> {
    site.create(
        SERVICE,
        3,
        &["--publish", "mode=host,target=80", "--endpoint-mode", "dnsrr", Fixture::Web.reference()],
    );
    let workload = adopted(SERVICE);
    let before = site.running(&workload, 3).await;
    let on_node = |node: usize| {
        let listed = site.docker(&[
            "service",
            "ps",
            "--no-trunc",
            "--quiet",
            "--filter",
            &format!("node={}", Swarm::name(node)),
            SERVICE,
        ]);
        listed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let of_third: Vec<_> = on_node(3);
    assert_eq!(of_third.len(), 1, "one of three on each node");
    swarm.kill(3)?;
    let is_down =
        || site.docker(&["node", "inspect", "--format", "{{.Status.State}}", &Swarm::name(3)]).trim() == "down";
    let after = eventually("the task to move", WAIT, async || {
        let is_down = is_down();
        let state = site.try_state(&workload).await?;
        assert_eq!(state.count, 3, "the count holds");
        let replicas = site.replicas(&workload).await?;
        let is_ghost = |it: &windlass_core::Replica| of_third.iter().any(|task| it.name.ends_with(task));
        // A picture that was read before the node was down may be some seconds old.
        let ghosts: Vec<_> = replicas.iter().filter(|it| is_ghost(it)).collect();
        let moved = is_down && ghosts.iter().all(|it| it.phase != Phase::Running);
        let serving = replicas.iter().filter(|it| it.is_running() && !is_ghost(it)).count();
        if moved && serving == 3 {
            Ok(replicas)
        } else {
            Err(format!("down: {is_down}, {serving} serve, ghosts: {ghosts:?}"))
        }
    });
    let after = after.await;
    let kept = before.iter().filter(|it| after.iter().any(|other| other.id == it.id && other.is_running())).count();
    assert_eq!(kept, 2, "the others stay");
    swarm.revive(3).await?;
    eventually("three managers again", WAIT, async || {
        let listed = site.docker(&["node", "ls", "--format", "{{.ManagerStatus}} {{.Status}}"]);
        let reachable = listed.lines().filter(|line| matches!(*line, "Leader Ready" | "Reachable Ready")).count();
        if reachable == NODES { Ok(()) } else { Err(listed) }
    })
    .await;
    Ok(())
}

/// The adapter uses the second node, and the first one leads.
pub(crate) async fn a_new_leader_is_followed(site: &SwarmSite, swarm: &mut Swarm) -> anyhow::Result<()> {
    let workload = adopted(SERVICE);
    swarm.kill(1)?;
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
    Ok(())
}

pub(crate) async fn without_a_leader_everything_is_held(site: &SwarmSite, swarm: &mut Swarm) -> anyhow::Result<()> {
    let workload = adopted(SERVICE);
    swarm.kill(3)?;
    // Two of three managers are gone.
    let why = eventually("an error", WAIT, async || {
        let asked = Instant::now();
        let answer = site.engine.list(&workload.key, &workload.declaration).await;
        assert!(asked.elapsed().as_secs() < 12, "a pass waits for a poll and a request at most");
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
    swarm.revive(1).await?;
    eventually("the Swarm to be back", WAIT, async || {
        let state = site.try_state(&workload).await?;
        if state.count == 4 { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    Ok(())
}

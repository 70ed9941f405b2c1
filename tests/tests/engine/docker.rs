//! The Docker adapter on a real engine: behaviour that only a real engine can show.

mod absent;
mod compose;
mod fake;
mod fidelity;
mod fixture;
mod project;
mod reach;
mod sampling;

use fixture::{FIRST, Fixture, Foreign, WAIT, docker, eventually};
use futures_util::StreamExt;
use futures_util::future::join_all;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use windlass_core::engine::{Engine, EngineError, EngineEvent, SlotEngine};
use windlass_core::workload::ContainerPort;
use windlass_core::{ContainerId, Declaration, Phase, Replica, Slot, WorkloadKey};

const GRACE: Duration = Duration::from_secs(10);
const NO_GRACE: Duration = Duration::from_secs(1);

fn port(text: &str) -> ContainerPort {
    text.parse().unwrap()
}

/// The engine's message in a rejection.
fn refusal<T: std::fmt::Debug>(outcome: Result<T, EngineError>) -> String {
    match outcome {
        Err(EngineError::Refused(text)) => text,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

async fn started(fixture: &Fixture, command: &[&str]) -> Replica {
    let created = fixture.runtime.create(&fixture.workload(command), FIRST).await.unwrap();
    fixture.runtime.start(&created.id).await.unwrap()
}

#[tokio::test]
async fn a_replica_is_created_started_stopped_restarted_and_removed() {
    let fixture = Fixture::new("life").await;
    let runtime = &fixture.runtime;
    let mut workload = fixture.workload(&["httpd", "-f", "-p", "80", "-h", "/www"]);
    workload.ports = BTreeMap::from([(port("80/tcp"), 0.into())]);
    workload.env = BTreeMap::from([("GREETING".to_owned(), "good = day".to_owned())]);
    workload.labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);

    let created = runtime.create(&workload, Slot(3)).await.unwrap();
    assert_eq!((created.phase, created.status.as_str(), created.slot), (Phase::Starting, "created", Slot(3)));
    assert_eq!((created.workload.clone(), created.image.as_str()), (workload.key.clone(), fixture.image.as_str()));
    assert_eq!((created.started_at, created.exit_code, created.error.as_str()), (None, None, ""));
    assert!(
        created.ports.is_empty() && created.name.starts_with("life-") && created.name.ends_with("-3"),
        "{}",
        created.name
    );

    let running = runtime.start(&created.id).await.unwrap();
    assert_eq!((running.phase, running.status.as_str()), (Phase::Running, "running"));
    assert!(running.started_at.unwrap() >= running.created_at);
    assert!(running.ports[&port("80/tcp")][0].host_port > 0);
    let endpoint = runtime.endpoint(&running, 80).unwrap();
    eventually("the server answers at its endpoint", || async { tokio::net::TcpStream::connect(endpoint).await.ok() })
        .await;
    let published = running.ports[&port("80/tcp")][0].host_port;
    let unaddressed = Replica { address: None, ..running.clone() };
    assert_eq!(runtime.endpoint(&unaddressed, 80).map(|address| address.port()), Some(published));
    assert_eq!(runtime.endpoint(&unaddressed, 81), None);
    let shown = docker(&["inspect", "--format", "{{json .Config.Env}} {{json .Config.Labels}}", running.id.as_str()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("GREETING=good = day") && shown.contains(r#""team":"shop""#), "{shown}");

    let again = runtime.start(&created.id).await.unwrap();
    assert_eq!(again.started_at, running.started_at, "one that runs is left as it is");

    // As the first process it ignores SIGTERM, and is killed after its grace period.
    let stopped = runtime.stop(&created.id, NO_GRACE).await.unwrap();
    assert_eq!((stopped.phase, stopped.exit_code), (Phase::Exited, Some(137)));
    assert!(stopped.ports.is_empty() && stopped.address.is_none() && !stopped.out_of_memory);
    assert_eq!(runtime.stop(&created.id, NO_GRACE).await.unwrap().finished_at, stopped.finished_at);

    let restarted = runtime.restart(&created.id, NO_GRACE).await.unwrap();
    assert_eq!((restarted.phase, restarted.exit_code), (Phase::Running, None));
    assert!(restarted.started_at > running.started_at);

    let listed = runtime.list(&workload.key, &Declaration::Api).await.unwrap();
    assert_eq!(listed.iter().map(|replica| &replica.id).collect::<Vec<_>>(), [&created.id]);
    assert_eq!(runtime.list(&WorkloadKey::stored("other"), &Declaration::Api).await.unwrap(), []);

    assert!(refusal(runtime.remove(&created.id, false).await).contains("is running"));
    runtime.remove(&created.id, true).await.unwrap();
    runtime.remove(&created.id, true).await.expect("one that is gone is no error");
    assert_eq!(runtime.list_all().await.unwrap(), []);
    assert_eq!(runtime.start(&created.id).await, Err(EngineError::NotFound(created.id.to_string())));
}

#[tokio::test]
async fn a_process_that_ends_when_asked_is_not_killed() {
    let fixture = Fixture::new("polite").await;
    let running = started(&fixture, &WAIT).await;
    let stopped = fixture.runtime.stop(&running.id, Duration::from_secs(60)).await.unwrap();
    assert_eq!((stopped.phase, stopped.exit_code), (Phase::Exited, Some(0)));
}

#[tokio::test]
async fn a_paused_replica_does_not_run_and_can_be_stopped() {
    let fixture = Fixture::new("paused").await;
    let running = started(&fixture, &WAIT).await;
    docker(&["pause", running.id.as_str()]);
    let listed = fixture.runtime.list_all().await.unwrap();
    assert_eq!((listed[0].phase, listed[0].status.as_str()), (Phase::Paused, "paused"));
    assert_eq!(fixture.runtime.stop(&running.id, NO_GRACE).await.unwrap().phase, Phase::Exited);
}

#[tokio::test]
async fn only_containers_of_this_instance_are_found() {
    let fixture = Fixture::new("ours").await;
    let other = Fixture::new("theirs").await;
    let theirs = started(&other, &WAIT).await;
    let image = ["--label", "orchestrator.image=x", &fixture.image, "sleep", "100000"];
    let seed = Foreign::container("seed", &image);
    let label = format!("windlass.instance={}", fixture.instance);
    let impostor = Foreign::container("impostor", &["--label", &label, &fixture.image, "sleep", "100000"]);
    let plain = Foreign::container("plain", &[&fixture.image, "sleep", "100000"]);
    let strange = ["../images/json", "a/b", "", "no-such-container", "%2e%2e", &theirs.name, &theirs.id.0[..12]];
    let foreign = [theirs.id.as_str(), &seed.name, &impostor.name, &plain.name];
    let runtime = &fixture.runtime;
    for id in strange.into_iter().chain(foreign).map(|id| ContainerId(id.to_owned())) {
        let not_found = EngineError::NotFound(id.to_string());
        assert_eq!(runtime.start(&id).await, Err(not_found.clone()), "{id}");
        assert_eq!(runtime.stop(&id, NO_GRACE).await, Err(not_found.clone()), "{id}");
        assert_eq!(runtime.restart(&id, NO_GRACE).await, Err(not_found.clone()), "{id}");
        let removed = runtime.remove(&id, true).await;
        assert!(removed.is_ok() || removed == Err(not_found), "{id}: {removed:?}");
    }
    assert_eq!(runtime.list_all().await.unwrap(), []);
    for id in foreign {
        let state = docker(&["inspect", "--format", "{{.State.Running}}", id]);
        assert_eq!(String::from_utf8_lossy(&state.stdout).trim(), "true", "{id} was touched");
    }
}

#[tokio::test]
async fn a_name_or_the_beginning_of_an_identifier_finds_a_replica_too() {
    let fixture = Fixture::new("short").await;
    let running = started(&fixture, &WAIT).await;
    let by_name = fixture.runtime.stop(&ContainerId(running.name.clone()), GRACE).await.unwrap();
    let by_prefix = fixture.runtime.start(&ContainerId(running.id.as_str()[..12].to_owned())).await.unwrap();
    assert_eq!((&by_name.id, &by_prefix.id), (&running.id, &running.id));
}

#[tokio::test]
async fn a_create_that_fails_half_way_leaves_nothing() {
    let environment = windlass_docker::Environment::of_process();
    let fixture = Fixture::with("half", environment, |settings| settings.host_network = true).await;
    let network = Foreign::network("half");
    let attempts: [&[&str]; 4] = [
        &["dockertest-no-such-network"],
        &[&network.name, "dockertest-no-such-network"],
        // The engine creates the container, and then refuses to join a second network.
        &["host", &network.name],
        &["../../images"],
    ];
    for networks in attempts {
        let mut workload = fixture.workload(&WAIT);
        workload.networks = networks.iter().map(|name| (*name).to_owned()).collect();
        let refused = refusal(fixture.runtime.create(&workload, FIRST).await);
        assert!(refused.contains("network"), "{refused}");
        assert_eq!(fixture.containers(), [""; 0], "{networks:?}");
    }
    let mut workload = fixture.workload(&WAIT);
    workload.resources.memory = "1m".parse().unwrap();
    assert!(refusal(fixture.runtime.create(&workload, FIRST).await).contains("memory"));
    assert_eq!(fixture.containers(), [""; 0]);
}

#[tokio::test]
async fn the_network_of_the_host_is_refused_by_its_name_and_by_its_identifier() {
    let fixture = Fixture::new("on-host").await;
    let id = docker(&["network", "inspect", "--format", "{{.Id}}", "host"]);
    let id = String::from_utf8_lossy(&id.stdout).trim().to_owned();
    for network in ["host", &id, &id[..12]] {
        let mut workload = fixture.workload(&WAIT);
        workload.networks = vec![network.to_owned()];
        let refused = refusal(fixture.runtime.create(&workload, FIRST).await);
        assert!(refused.contains("engine.host_network"), "{refused}");
    }
    assert_eq!(fixture.containers(), [""; 0]);
}

#[tokio::test]
async fn a_replica_joins_all_its_networks() {
    let fixture = Fixture::new("networks").await;
    let (front, back) = (Foreign::network("front"), Foreign::network("back"));
    let mut workload = fixture.workload(&WAIT);
    workload.networks = vec![front.name.clone(), back.name.clone()];
    let created = fixture.runtime.create(&workload, FIRST).await.unwrap();
    let running = fixture.runtime.start(&created.id).await.unwrap();
    let shown = docker(&["inspect", "--format", "{{json .NetworkSettings.Networks}}", running.id.as_str()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&front.name) && shown.contains(&back.name) && !shown.contains("\"bridge\""), "{shown}");
    // The networks cannot be removed while the container exists.
    fixture.runtime.remove(&running.id, true).await.unwrap();
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_in_its_words() {
    let fixture = Fixture::new("refused").await;
    let runtime = &fixture.runtime;

    let mut first = fixture.workload(&WAIT);
    first.ports = BTreeMap::from([(port("80/tcp"), 0.into())]);
    let created = runtime.create(&first, FIRST).await.unwrap();
    let taken = runtime.start(&created.id).await.unwrap().ports[&port("80/tcp")][0].host_port;
    let mut second = first.clone();
    second.ports = BTreeMap::from([(port("80/tcp"), taken.into())]);
    let clash = runtime.create(&second, Slot(1)).await.unwrap();
    let refused = refusal(runtime.start(&clash.id).await);
    assert!(refused.contains("already allocated"), "{refused}");
    let listed = runtime.list_all().await.unwrap();
    let shown = listed.iter().find(|replica| replica.id == clash.id).unwrap();
    assert_eq!((shown.phase, shown.started_at), (Phase::Starting, None));
    assert!(shown.error.contains("already allocated"), "{}", shown.error);

    let bad = runtime.create(&fixture.workload(&["/nope"]), Slot(2)).await.unwrap();
    let refused = refusal(runtime.start(&bad.id).await);
    assert!(refused.contains("/nope"), "{refused}");
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_refused_by_name() {
    let fixture = Fixture::new("image").await;
    let mut workload = fixture.workload(&WAIT);
    // No registry listens at this address, and no request leaves the machine.
    workload.image = "127.0.0.1:9/dockertest/none:1".parse().unwrap();
    let creates = join_all((0..3).map(|slot| fixture.runtime.create(&workload, Slot(slot)))).await;
    for outcome in creates {
        let refused = refusal(outcome);
        assert!(refused.contains("`127.0.0.1:9/dockertest/none:1` is missing"), "{refused}");
    }
    assert_eq!(fixture.containers(), [""; 0]);
}

#[tokio::test]
async fn a_process_killed_for_memory_is_told_from_one_killed_otherwise() {
    let fixture = Fixture::new("memory").await;
    let greedy = started(&fixture, &["tail", "/dev/zero"]).await;
    let ended = eventually("the kernel kills it", || async {
        let listed = fixture.runtime.list_all().await.unwrap();
        listed.into_iter().find(|replica| replica.id == greedy.id && replica.phase == Phase::Exited)
    })
    .await;
    assert!(ended.out_of_memory && ended.exit_code == Some(137), "{ended:?}");
    fixture.runtime.remove(&greedy.id, false).await.unwrap();
    let killed = started(&fixture, &WAIT).await;
    docker(&["kill", killed.id.as_str()]);
    let ended = fixture.runtime.stop(&killed.id, NO_GRACE).await.unwrap();
    assert_eq!((ended.out_of_memory, ended.exit_code), (false, Some(137)));
}

#[tokio::test]
async fn replicas_start_and_stop_side_by_side() {
    let fixture = Fixture::with("many", windlass_docker::Environment::of_process(), |settings| {
        settings.concurrent_actions = 2;
    })
    .await;
    let workload = fixture.workload(&WAIT);
    let runtime = &fixture.runtime;
    let running = join_all((0..6).map(|slot| {
        let workload = &workload;
        async move { runtime.start(&runtime.create(workload, Slot(slot)).await.unwrap().id).await.unwrap() }
    }))
    .await;
    let names: HashSet<&str> = running.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(names.len(), 6);
    let listed = runtime.list(&workload.key, &Declaration::Api).await.unwrap();
    assert!(listed.len() == 6 && listed.is_sorted_by_key(|replica| replica.created_at));
    let removals = join_all(running.iter().chain(&running).map(|replica| runtime.remove(&replica.id, true))).await;
    assert!(removals.iter().all(Result::is_ok), "each was removed twice at once: {removals:?}");
    assert_eq!(fixture.containers(), [""; 0]);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_half_container() {
    let fixture = Fixture::new("dropped").await;
    let workload = fixture.workload(&WAIT);
    // Long enough to send the request, too short for the answer.
    let given_up = tokio::time::timeout(Duration::from_millis(5), fixture.runtime.create(&workload, FIRST)).await;
    if given_up.is_err() {
        let whole = eventually("the create ends by itself", || async {
            fixture.runtime.list_all().await.unwrap().into_iter().next()
        })
        .await;
        assert_eq!(whole.phase, Phase::Starting);
    }
}

#[tokio::test]
async fn events_tell_which_workload_changed() {
    let fixture = Fixture::new("events").await;
    let mut events = fixture.runtime.events();
    let mut second = fixture.runtime.events();
    assert_eq!(events.next().await, Some(EngineEvent::Connected));
    assert_eq!(second.next().await, Some(EngineEvent::Connected));
    let running = started(&fixture, &WAIT).await;
    let changed = EngineEvent::Changed(running.workload.clone());
    let patience = Duration::from_secs(30);
    let mut next = async |what: &str| {
        let event = tokio::time::timeout(patience, events.next()).await;
        event.unwrap_or_else(|_| panic!("no event: {what}")).unwrap()
    };
    assert_eq!(next("start").await, changed);
    docker(&["kill", running.id.as_str()]);
    assert!(matches!(next("kill").await, EngineEvent::Signalled { replica, kills: true, .. } if replica == running.id));
    assert_eq!(next("die").await, changed);
    fixture.runtime.start(&running.id).await.unwrap();
    assert_eq!(next("start").await, changed);
    docker(&["stop", "-t", "0", running.id.as_str()]);
    assert!(matches!(next("signal").await, EngineEvent::Signalled { kills: false, .. }));
    loop {
        match next("stop").await {
            EngineEvent::Stopped { replica, .. } if replica == running.id => break,
            // The engine kills the process, which ignores the signal.
            EngineEvent::Signalled { kills: true, .. } | EngineEvent::Changed(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // A later subscription receives the stop that the engine remembers.
    let mut late = fixture.runtime.events();
    let mut past = Vec::new();
    loop {
        match tokio::time::timeout(patience, late.next()).await.unwrap().unwrap() {
            EngineEvent::Connected => break,
            event => past.push(event),
        }
    }
    assert!(past.iter().any(|event| matches!(event, EngineEvent::Stopped { replica, .. } if *replica == running.id)));
    fixture.runtime.remove(&running.id, false).await.unwrap();
    assert_eq!(next("destroy").await, changed);
    assert_eq!(tokio::time::timeout(patience, second.next()).await.unwrap(), Some(changed));
}

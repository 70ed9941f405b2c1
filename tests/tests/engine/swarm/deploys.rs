//! Deploys: updates that a change of the count would break, rollbacks, stacks, and workloads of start requests.

use super::WAIT;
use super::site::{SwarmSite, adopted, refusal};
use futures_util::StreamExt;
use serde_json::json;
use std::collections::BTreeMap;
use windlass_core::engine::{CountEngine, Engine, EngineError, EngineEvent};
use windlass_core::{CountChange, ServiceUpdate, WorkloadKey, fixtures};
use windlass_tests::images::Fixture;
use windlass_tests::wait::eventually;

/// Makes the replicas of a service end after some seconds, which is a failed update.
pub(crate) const CRASH: [&str; 6] = ["service", "update", "--detach", "--no-resolve-image", "--args", "sleep 4"];

pub(crate) async fn a_paused_update_keeps_its_good_replica(site: &SwarmSite) {
    let image = Fixture::Web.reference();
    // Swarm goes on to the next replica once the one before runs, and the failure comes later.
    let slowly = ["--update-delay", "30s", "--update-monitor", "20s", "--update-failure-action", "pause", image];
    site.create("paused", 2, &slowly).await;
    let workload = adopted("paused");
    let before = site.running(&workload, 2).await;
    site.docker(&[&CRASH[..], &["paused"]].concat()).await;
    let state = site.update_is(&workload, ServiceUpdate::Paused).await;
    assert!(state.update_message.contains("paused"), "{}", state.update_message);
    let is_good = |id: &str| before.iter().any(|replica| replica.id.as_str() == id);
    let good = async || {
        let replicas = site.replicas(&workload).await.unwrap();
        replicas.iter().filter(|it| it.is_running() && is_good(it.id.as_str())).count()
    };
    assert_eq!(good().await, 1);
    let why = refusal(site.set_count(&workload, 3, false).await);
    assert!(why.contains("`paused` has a paused update") && why.contains("force the count"), "{why}");
    assert_eq!(site.state(&workload).await.version, state.version, "nothing was written");
    assert_eq!(good().await, 1);
    // An operator may.
    site.set_count(&workload, 1, true).await.unwrap();
    assert_eq!(site.state(&workload).await.count, 1);
    site.docker(&["service", "rm", "paused"]).await;
}

pub(crate) async fn an_update_that_swarm_rolls_back_ends_with_the_good_image(site: &SwarmSite) {
    let options = ["--update-monitor", "60s", "--update-failure-action", "rollback", "--rollback-monitor", "1s"];
    site.create("returning", 2, &[&options[..], &[Fixture::Web.reference()]].concat()).await;
    let workload = adopted("returning");
    site.running(&workload, 2).await;
    let before = site.inspect("returning").await["Spec"].take();
    // Late enough for a busy machine to see the update before it fails.
    site.docker(&["service", "update", "--detach", "--no-resolve-image", "--args", "sleep 12", "returning"]).await;
    // From the first moment, also before Swarm has begun.
    let why = refusal(site.set_count(&workload, 3, false).await);
    assert!(why.contains("`returning` is being updated"), "{why}");
    eventually("the end of the rollback", WAIT, async || {
        let status = site.inspect("returning").await["UpdateStatus"]["State"].take();
        if status == json!("rollback_completed") { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(site.inspect("returning").await["Spec"], before);
    site.running(&workload, 2).await;
    site.set_count(&workload, 1, false).await.unwrap();
    site.docker(&["service", "rm", "returning"]).await;
}

pub(crate) async fn a_rollback_leads_behind_changes_of_the_count(site: &SwarmSite) {
    site.create("versions", 1, &["--env", "VERSION=1", "--update-monitor", "10s", Fixture::Web.reference()]).await;
    let workload = adopted("versions");
    site.running(&workload, 1).await;
    assert!(refusal(site.engine.roll_back(&workload).await).contains("no earlier specification"));
    let first = site.inspect("versions").await["Spec"].take();
    site.docker(&["service", "update", "--detach", "--env-add", "VERSION=2", "versions"]).await;
    site.update_is(&workload, ServiceUpdate::Updating).await;
    site.update_is(&workload, ServiceUpdate::None).await;
    // Twice, so that Swarm itself has forgotten the first version.
    site.set_count(&workload, 3, false).await.unwrap();
    site.set_count(&workload, 2, false).await.unwrap();
    let previous = site.inspect("versions").await["PreviousSpec"].take();
    assert_eq!(previous["TaskTemplate"]["ContainerSpec"]["Env"], json!(["VERSION=2"]));

    let restarted = site.restarted().await;
    restarted.roll_back(&workload).await.unwrap();
    let mut expected = first;
    expected["Mode"]["Replicated"]["Replicas"] = json!(2);
    assert_eq!(site.inspect("versions").await["Spec"], expected);
    eventually("both replicas of the first version", WAIT, async || {
        let state = restarted.service(&workload).await.unwrap().unwrap();
        if state.update == ServiceUpdate::None && state.count == 2 { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    // The rollback can be undone in the same way.
    restarted.roll_back(&workload).await.unwrap();
    assert_eq!(site.inspect("versions").await["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"], json!(["VERSION=2"]));
    site.docker(&["service", "rm", "versions"]).await;
}

pub(crate) async fn a_stack_that_is_deployed_again_is_recognized(site: &SwarmSite) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let deploy = async |version: u32| {
        let stack = json!({"version": "3.8", "services": {"front": {
            "image": Fixture::Web.reference(), "environment": {"VERSION": version.to_string()},
            "deploy": {"replicas": 1, "endpoint_mode": "dnsrr", "update_config": {"monitor": "10s"},
                "labels": {"windlass.enable": "true", "windlass.instance": "here"}}}}});
        std::fs::write(&path, stack.to_string()).unwrap();
        site.docker(&["stack", "deploy", "--resolve-image", "never", "--compose-file", &path, "shop"]).await;
    };
    let mut events = site.engine.events();
    // A busy manager may answer late, which is an event, too.
    while events.next().await != Some(EngineEvent::Connected) {}
    deploy(1).await;
    let workload = adopted("shop_front");
    assert_eq!(workload.key, WorkloadKey::stored("shop-front"));
    let changed = EngineEvent::Changed(workload.key.clone());
    let heard = async |events: &mut futures_util::stream::BoxStream<'static, EngineEvent>| {
        tokio::time::timeout(WAIT, async { while events.next().await.as_ref() != Some(&changed) {} }).await
    };
    heard(&mut events).await.expect("an event about the new service");
    let declared = site.engine.declared().await.unwrap();
    assert!(declared.iter().any(|it| it.key == workload.key && it.obstacle.is_none()), "{declared:?}");
    site.running(&workload, 1).await;
    assert_eq!(site.set_count(&workload, 3, false).await, Ok(()));
    site.running(&workload, 3).await;
    assert!(!site.state(&workload).await.is_redeployed);

    deploy(2).await;
    let state = site.update_is(&workload, ServiceUpdate::Updating).await;
    assert!(state.is_redeployed && state.count == 1, "{state:?}");
    let state = site.update_is(&workload, ServiceUpdate::None).await;
    assert!(state.is_redeployed && state.count == 1, "{state:?}");
    // The count is put back, and the deploy is done.
    site.set_count(&workload, 3, false).await.unwrap();
    site.running(&workload, 3).await;
    let state = site.state(&workload).await;
    assert!(!state.is_redeployed && state.count == 3, "{state:?}");
    site.docker(&["stack", "rm", "shop"]).await;
    heard(&mut events).await.expect("an event about the removed service");
}

pub(crate) async fn a_workload_of_a_start_request_is_one_service(site: &SwarmSite) {
    let mut workload = fixtures::workload(Fixture::Web.reference(), 1, 5);
    workload.ports = BTreeMap::from([("80/tcp".parse().unwrap(), 0.into())]);
    workload.env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    workload.rollout.min_ready = std::time::Duration::from_secs(1);
    let engine = &site.engine;
    assert_eq!(engine.service(&workload).await, Ok(None));
    engine.deploy(&workload, 2).await.unwrap();
    let replicas = site.running(&workload, 2).await;
    for replica in &replicas {
        assert_eq!(replica.made_from.generation, Some(workload.generation()));
        let address = engine.endpoint(replica, 80).expect("a published port on its node");
        eventually("an answer at the address", WAIT, async || {
            tokio::net::TcpStream::connect(address).await.map(drop).map_err(|error| format!("{address}: {error}"))
        })
        .await;
    }
    // Other scenarios have workloads of their own at the same time.
    let listed = engine.list_all().await.unwrap();
    let mut listed: Vec<_> = listed.iter().filter(|it| it.workload == workload.key).map(|it| &it.name).collect();
    let mut names: Vec<_> = replicas.iter().map(|it| &it.name).collect();
    listed.sort();
    names.sort();
    assert_eq!(listed, names);
    let name = replicas[0].name.split('.').next().unwrap().to_owned();

    // A second time changes nothing, and neither does what others add.
    let before = site.inspect(&name).await;
    engine.deploy(&workload, 2).await.unwrap();
    assert_eq!(site.inspect(&name).await, before);
    site.docker(&["service", "update", "--detach", "--label-add", "team=shop", &name]).await;
    workload.env.insert("A".to_owned(), "2".to_owned());
    engine.deploy(&workload, 2).await.unwrap();
    eventually("the new generation", WAIT, async || {
        let replicas = site.replicas(&workload).await?;
        let is_new =
            |it: &windlass_core::Replica| it.is_running() && it.made_from.generation == Some(workload.generation());
        if replicas.len() == 2 && replicas.iter().all(is_new) { Ok(()) } else { Err(format!("{replicas:?}")) }
    })
    .await;
    assert_eq!(site.inspect(&name).await["Spec"]["Labels"]["team"], json!("shop"));

    // Another instance's service is not ours, whatever its name.
    let elsewhere = CountChange { to: 9, version: 1, force: true };
    let stranger = fixtures::workload("other:1", 1, 5);
    let refused = engine.set_count(&stranger, elsewhere).await;
    assert!(matches!(refused, Err(EngineError::NotFound(_))), "{refused:?}");
    engine.remove_service(&workload).await.unwrap();
    engine.remove_service(&workload).await.unwrap();
    assert_eq!(engine.service(&workload).await, Ok(None));
}

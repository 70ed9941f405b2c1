//! Services: what a change of the count leaves alone, and what is reported of tasks.

use super::WAIT;
use super::site::{SwarmSite, adopted, refusal};
use serde_json::json;
use windlass_core::engine::{CountEngine, Engine, EngineError};
use windlass_core::{CountChange, Declaration, Phase};
use windlass_tests::images::Fixture;
use windlass_tests::wait::eventually;

/// Every option of a service that this machine can carry out.
const EVERY_OPTION: &str = "--container-label a=b --env A=1 --hostname named --user 0 --workdir /tmp --health-cmd true \
    --health-interval 1s --health-timeout 2s --health-retries 3 --health-start-period 1s --init --stop-signal SIGTERM \
    --stop-grace-period 3s --limit-cpu .5 --limit-memory 64M --limit-pids 100 --reserve-cpu .01 --reserve-memory 8M \
    --restart-condition any --restart-max-attempts 3 --restart-window 10s --update-parallelism 2 --update-delay 1s \
    --update-monitor 2s --update-failure-action rollback --update-max-failure-ratio .2 --update-order start-first \
    --rollback-parallelism 1 --rollback-monitor 2s --rollback-failure-action pause --rollback-order stop-first \
    --constraint node.platform.os==linux --placement-pref spread=node.id --replicas-max-per-node 3 \
    --mount type=tmpfs,target=/scratch --mount type=volume,source=kept,target=/kept,volume-label=c=d \
    --config source=full-config,target=/config,mode=0440 --secret source=full-secret,target=secret,mode=0400 \
    --network name=full-net,alias=other --dns 10.1.1.1 --dns-option ndots:1 --dns-search example.org \
    --host elsewhere:10.1.1.2 --read-only --cap-add NET_ADMIN --cap-drop CHOWN --sysctl net.core.somaxconn=1024 \
    --ulimit nofile=1000:2000 --log-driver json-file --log-opt max-size=1m --endpoint-mode dnsrr \
    --publish mode=host,target=80 --tty";

pub(crate) async fn a_change_of_the_count_changes_one_number_of_a_service_with_every_option(site: &SwarmSite) {
    site.docker(&["network", "create", "--driver", "overlay", "full-net"]).await;
    site.docker(&["config", "create", "full-config", "/etc/hostname"]).await;
    site.docker(&["secret", "create", "full-secret", "/etc/hostname"]).await;
    let options: Vec<&str> = EVERY_OPTION.split_whitespace().chain([Fixture::Deaf.reference()]).collect();
    site.create("full", 1, &options).await;
    let workload = adopted("full");
    let first = site.running(&workload, 1).await;
    assert_eq!(first[0].health_check.as_ref().map(|check| check.is_healthy), Some(Some(true)));
    assert_eq!(first[0].limits.cpu_cores, Some(0.5));

    let mut expected = site.inspect("full").await["Spec"].take();
    assert!(expected["TaskTemplate"]["ContainerSpec"]["Healthcheck"].is_object(), "typed models lose it");
    expected["Mode"]["Replicated"]["Replicas"] = json!(2);
    let version = site.state(&workload).await.version;
    let change = CountChange { to: 2, version, force: false };
    site.engine.set_count(&workload, change).await.unwrap();
    assert_eq!(site.inspect("full").await["Spec"], expected);
    let both = site.running(&workload, 2).await;
    assert!(both.contains(&first[0]), "the first task was replaced");

    // A decision for a version that is gone changes nothing.
    let stale = site.engine.set_count(&workload, CountChange { to: 5, version, force: true }).await;
    assert!(matches!(stale, Err(EngineError::Stale(_))), "{stale:?}");
    assert_eq!(site.inspect("full").await["Spec"], expected);

    // Nor does one for a service whose label is gone, although the picture of it is from before.
    let version = site.state(&workload).await.version;
    site.docker(&["service", "update", "--detach", "--label-rm", "windlass.enable", "full"]).await;
    let given_back = site.engine.set_count(&workload, CountChange { to: 5, version, force: true }).await;
    assert!(matches!(given_back, Err(EngineError::Refused(_) | EngineError::NotFound(_))), "{given_back:?}");
    assert_eq!(site.inspect("full").await["Spec"]["Mode"]["Replicated"]["Replicas"], json!(2));
    site.docker(&["service", "rm", "full"]).await;
}

pub(crate) async fn a_service_without_room_or_in_a_crash_loop_says_why(site: &SwarmSite) {
    site.create("crowded", 2, &["--constraint", "node.labels.moon==blue", Fixture::Web.reference()]).await;
    site.create("crashing", 1, &[Fixture::Web.reference(), "sh", "-c", "exit 3"]).await;
    let crowded = adopted("crowded");
    let state = eventually("both tasks to be pending", WAIT, async || {
        let state = site.try_state(&crowded).await?;
        let why = "no suitable node (scheduling constraints not satisfied on 3 nodes)";
        let are_pending = state.pending.len() == 2 && state.pending.iter().all(|pending| pending.reason == why);
        if are_pending { Ok(state) } else { Err(format!("{state:?}")) }
    });
    let state = state.await;
    assert!(state.pending.iter().all(|pending| pending.since.0 > 1_700_000_000_000), "{state:?}");
    let waiting = site.replicas(&crowded).await.unwrap();
    assert!(
        waiting.iter().all(|it| it.phase == Phase::Starting && it.error.starts_with("no suitable node")),
        "{waiting:?}"
    );
    let crashing = adopted("crashing");
    let seen = eventually("the exit code", WAIT, async || {
        let replicas = site.replicas(&crashing).await?;
        let found = replicas.iter().find(|it| it.exit_code == Some(3) && it.engine_restarts >= 1).cloned();
        found.ok_or_else(|| format!("{replicas:?}"))
    });
    assert_eq!(seen.await.error, "task: non-zero exit (3)");
    site.docker(&["service", "rm", "crowded", "crashing"]).await;
}

pub(crate) async fn only_replicated_services_are_scaled(site: &SwarmSite) {
    let image = Fixture::Deaf.reference();
    let create = async |name: &str, mode: &str, enable: &str, instance: &str| {
        let labels = [format!("windlass.enable={enable}"), format!("windlass.instance={instance}")];
        let options = ["service", "create", "--detach", "--no-resolve-image", "--name", name, "--mode", mode];
        site.docker(&[&options[..], &["--label", &labels[0], "--label", &labels[1], image]].concat()).await;
    };
    create("ours_each", "global", "true", "here").await;
    create("ours_once", "replicated-job", "true", "here").await;
    create("ours_wrong", "replicated", "maybe", "here").await;
    create("theirs", "replicated", "false", "here").await;
    create("ours_elsewhere", "replicated", "true", "elsewhere").await;
    let last = Declaration::Swarm { service: "ours_elsewhere".to_owned() };
    eventually("all services to be seen", WAIT, async || match site.engine.has_service(&last).await {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut declared = site.engine.declared().await.unwrap();
    declared.retain(|it| it.key.as_str().starts_with("ours") || it.key.as_str() == "theirs");
    assert_eq!(declared.len(), 3, "{declared:?}");
    let why: Vec<&str> = declared.iter().map(|it| it.obstacle.as_deref().unwrap_or_default()).collect();
    assert!(why[0].contains("global service") && why[1].contains("job") && why[2].contains("`maybe`"), "{why:?}");
    assert_eq!(declared[0].declaration, Declaration::Swarm { service: "ours_each".to_owned() });
    assert_eq!(declared[0].image.as_str(), image);
    let global = adopted("ours_each");
    assert_eq!(site.engine.service(&global).await, Ok(None), "a global service has no count");
    let change = CountChange { to: 3, version: 1, force: true };
    assert!(refusal(site.engine.set_count(&global, change).await).contains("not replicated"));
    let elsewhere = adopted("ours_elsewhere");
    assert_eq!(site.engine.service(&elsewhere).await, Ok(None), "the label names another Windlass");
    let written = site.engine.set_count(&elsewhere, CountChange { to: 2, version: 1, force: true }).await;
    assert!(matches!(written, Err(EngineError::NotFound(_))), "{written:?}");
    site.docker(&["service", "rm", "ours_each", "ours_once", "ours_wrong", "ours_elsewhere", "theirs"]).await;
}

pub(crate) async fn a_command_runs_only_on_the_managers_own_node(site: &SwarmSite) {
    site.create("spread", 3, &["--replicas-max-per-node", "1", Fixture::Web.reference()]).await;
    let workload = adopted("spread");
    let mut outcomes = Vec::new();
    for replica in site.running(&workload, 3).await {
        outcomes.push(site.engine.exec(&replica.id, &["cat".to_owned(), "/www/index.html".to_owned()]).await);
    }
    let (here, elsewhere): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((here.len(), elsewhere.len()), (1, 2), "{here:?} {elsewhere:?}");
    for outcome in elsewhere {
        let why = refusal(outcome);
        assert!(why.contains("node `windlass-") && why.contains("commands run only on the node"), "{why}");
    }
    site.docker(&["service", "rm", "spread"]).await;
}

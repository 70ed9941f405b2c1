//! Services that labels declare, on the simulated engine: adopted, changed, suspended and forgotten, and never touched by that.

use std::sync::Arc;
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::events::{EventFilter, EventKind};
use windlass_control::{Controller, Parts, WorkloadView};
use windlass_core::engine::EngineError;
use windlass_core::fixtures::running;
use windlass_core::labels::{ENABLE, MAX, MIN, MODE, POLICY, POLICY_CONFIG, PROFILE};
use windlass_core::settings::{ControlSettings, Profile};
use windlass_core::workload::Mode;
use windlass_core::{
    ContainerId, Creator, Declaration, DeclaredService, Force, Replica, Timestamp, Workload, WorkloadKey,
};
use windlass_simulated_engine::{Call, SimulatedEngine};
use windlass_storage::SqliteStore;
use windlass_tests::no_network::Nobody;
use windlass_tests::policies::{registry, turn};
use windlass_tests::wait::eventually;
use windlass_tests::workloads::workload;

/// Time within which a service is found after its event.
const FOUND: Duration = Duration::from_secs(1);

/// A controller on a simulated engine, and the container engine's services.
struct Host {
    clock: Clock,
    engine: SimulatedEngine,
    controller: Controller,
    directory: tempfile::TempDir,
}

impl Host {
    fn begin() -> anyhow::Result<Self> {
        let clock = Clock::simulated(Timestamp(1_700_000_000_000));
        let engine = SimulatedEngine::new(move || clock.now(), Duration::from_millis(500));
        let directory = tempfile::tempdir()?;
        let controller = controller(clock, &engine, &directory)?;
        Ok(Self { clock, engine, controller, directory })
    }

    async fn restart(self) -> anyhow::Result<Self> {
        self.controller.shut_down().await;
        drop(self.controller);
        let Self { clock, engine, directory, .. } = self;
        let controller = controller(clock, &engine, &directory)?;
        Ok(Self { clock, engine, controller, directory })
    }

    /// Sets the labels of the service, as `docker compose up` does, and waits until they were read.
    async fn declare(&self, labels: &[(&str, &str)]) {
        self.engine.declare(vec![service(labels)]);
        tokio::time::sleep(FOUND).await;
    }

    /// Starts containers of the service.
    fn run(&self, count: u32) -> anyhow::Result<Vec<Replica>> {
        let shape = Workload { key: key(), ..workload("web:1", 1, 10)? };
        let since = self.clock.now().0;
        let creator = Creator::Compose { uncopyable: None };
        let of_compose = |slot| Replica { creator: creator.clone(), ..running(&shape, slot, since) };
        let replicas: Vec<Replica> = (1..=count).map(of_compose).collect();
        replicas.iter().for_each(|replica| self.engine.adopt(replica.clone()));
        Ok(replicas)
    }

    fn view(&self) -> WorkloadView {
        self.controller.view(&key()).expect("it is adopted")
    }

    fn ids(&self) -> Vec<ContainerId> {
        self.engine.replicas(&key()).into_iter().map(|replica| replica.id).collect()
    }

    /// The number of calls that change containers.
    fn changes(&self) -> u64 {
        [Call::Create, Call::Start, Call::Stop, Call::Restart, Call::Remove]
            .map(|call| self.engine.calls(call))
            .iter()
            .sum()
    }

    fn refusal(&self) -> String {
        let refused = self.controller.refused_services();
        refused.into_iter().map(|service| format!("{}: {}", service.key, service.reason)).collect::<Vec<_>>().join("\n")
    }

    async fn force(&self, replicas: u32) -> anyhow::Result<()> {
        let until = self.clock.now().plus(Duration::from_secs(86_400));
        self.controller.override_policy(&key(), false, |it| it.force = Some(Force { replicas, until })).await?;
        Ok(())
    }
}

fn controller(clock: Clock, engine: &SimulatedEngine, directory: &tempfile::TempDir) -> anyhow::Result<Controller> {
    Ok(Controller::begin(Parts {
        engine: Arc::new(engine.clone()).into(),
        store: Arc::new(SqliteStore::open(&directory.path().join("data"), 1_000)?),
        policies: registry(),
        net: Arc::new(Nobody),
        host_name: "here".to_owned(),
        settings: ControlSettings {
            profiles: [("web".to_owned(), Profile::default())].into(),
            own_container: Some(ContainerId("0123456789ab".to_owned())),
            ..ControlSettings::default()
        },
        clock,
    })?)
}

fn key() -> WorkloadKey {
    WorkloadKey::stored("shop-web")
}

fn service(labels: &[(&str, &str)]) -> DeclaredService {
    let labels = [(ENABLE, "true"), (MAX, "5")].iter().chain(labels);
    DeclaredService {
        key: key(),
        declaration: Declaration::Compose { project: "shop".to_owned(), service: "web".to_owned() },
        image: "web:1".parse().expect("an image"),
        labels: labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        depends_on: Vec::new(),
        obstacle: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_labelled_service_is_found_at_once_and_only_recommended_about() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin()?;
    tokio::time::sleep(FOUND).await;
    host.run(3)?;
    host.declare(&[(PROFILE, "web")]).await;
    let view = host.view();
    assert_eq!((view.workload.bounds.min(), view.workload.bounds.max(), view.target), (1, 5, 3));
    assert_eq!(view.workload.policies.mode, Some(Mode::Recommend));
    assert_eq!((view.replicas.len(), view.counted), (3, 3));
    // A pass recommends, also when a replica fails. Nothing is changed.
    host.engine.kill(&host.ids()[0], 1);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(
        host.view().last_pass.is_some_and(|pass| pass.recommended.as_ref().is_some_and(|plan| !plan.steps.is_empty()))
    );
    assert_eq!((host.changes(), host.ids().len()), (0, 3));
    // As soon as the label says so, its passes act.
    host.declare(&[(PROFILE, "web"), (MODE, "act")]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(host.changes() > 0);
    assert!(host.engine.replicas(&key()).iter().all(Replica::is_running));
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn changed_labels_move_the_bounds_and_keep_the_overrides() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin()?;
    host.run(4)?;
    host.declare(&[(MIN, "2"), (MODE, "act")]).await;
    assert_eq!(host.view().target, 4);
    host.force(4).await?;
    let since = host.view().workload.overrides;
    host.declare(&[(MIN, "2"), (MAX, "3"), (MODE, "act")]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let view = host.view();
    assert_eq!((view.workload.bounds.max(), view.target, view.workload.overrides), (3, 3, since));
    assert_eq!(host.ids().len(), 3);
    // Windlass was down while the labels changed.
    let host = {
        host.controller.shut_down().await;
        host.engine.declare(vec![service(&[(MIN, "5"), (MODE, "act")])]);
        host.restart().await?
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    let view = host.view();
    assert_eq!((view.workload.bounds.min(), view.target, view.workload.overrides), (5, 5, since));
    assert_eq!(host.ids().len(), 5);
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_nothing_is_done_before_the_labels_were_read() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin()?;
    host.run(2)?;
    host.declare(&[(MIN, "2"), (MODE, "act")]).await;
    host.force(2).await?;
    let history = host.view().workload.overrides;
    host.controller.shut_down().await;
    host.engine.fail(Call::Declared, vec![EngineError::Unreadable("no list".to_owned()); 100]);
    host.engine.vanish(&host.ids()[0]);
    let host = host.restart().await?;
    // The searches fail.
    tokio::time::sleep(Duration::from_secs(50)).await;
    let view = host.view();
    let reason = view.last_pass.map(|pass| pass.reason.clone()).unwrap_or_default();
    assert_eq!(reason, "nothing is done: the labels of its service have not been read yet");
    assert_eq!((host.changes(), view.replicas.len(), view.workload.overrides), (0, 1, history));
    host.engine.fail(Call::Declared, []);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!((host.ids().len(), host.view().workload.overrides), (2, history));
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_gone_for_a_moment_is_remembered_and_one_that_stays_away_is_forgotten() -> anyhow::Result<()>
{
    let _turn = turn().await;
    let host = Host::begin()?;
    let replicas = host.run(2)?;
    host.declare(&[(MIN, "2"), (MODE, "act")]).await;
    host.force(3).await?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (overrides, before) = (host.view().workload.overrides, host.changes());
    assert_eq!(host.ids().len(), 3);
    let remove_all = || {
        host.engine.declare(Vec::new());
        host.ids().iter().for_each(|id| host.engine.vanish(id));
    };
    remove_all();
    // Passes observe that the replicas are gone, and make no new ones.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let view = host.view();
    let reason = view.last_pass.map(|pass| pass.reason.clone()).unwrap_or_default();
    assert_eq!(reason, "nothing is done: service `web` in project `shop` is not there");
    assert_eq!((view.replicas.len(), host.changes()), (0, before));
    assert!(host.controller.readiness().is_ready(), "{:?}", host.controller.readiness());
    replicas.iter().for_each(|replica| host.engine.adopt(replica.clone()));
    host.declare(&[(MIN, "2"), (MODE, "act")]).await;
    assert_eq!(host.view().workload.overrides, overrides);
    remove_all();
    tokio::time::sleep(Duration::from_secs(540)).await;
    assert!(host.controller.view(&key()).is_some());
    tokio::time::sleep(Duration::from_secs(180)).await;
    assert!(host.controller.view(&key()).is_none());
    let host = host.restart().await?;
    assert!(host.controller.views().is_empty(), "the store forgot it, too");
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_service_without_its_label_is_forgotten_at_once_and_keeps_its_containers() -> anyhow::Result<()> {
    let _turn = turn().await;
    for is_off in [true, false] {
        let host = Host::begin()?;
        host.run(2)?;
        host.declare(&[(MIN, "2"), (MODE, "act")]).await;
        assert_eq!(host.view().target, 2);
        if is_off {
            host.declare(&[(ENABLE, "false"), (MODE, "act")]).await;
        } else {
            // The engine lists services with the label only.
            host.engine.declare(Vec::new());
            tokio::time::sleep(FOUND).await;
        }
        assert!(host.controller.view(&key()).is_none(), "{is_off}");
        host.engine.kill(&host.ids()[0], 1);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((host.changes(), host.ids().len()), (0, 2));
        host.controller.shut_down().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_service_with_wrong_labels_is_left_alone_with_a_sentence() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin()?;
    host.run(2)?;
    let mut told = Vec::new();
    for labels in [
        &[(MAX, "0"), (MODE, "go")][..],
        &[(PROFILE, "wb")],
        &[(POLICY, "nobody")],
        &[(POLICY, "step"), (POLICY_CONFIG, "{\"bands\": 5}")],
    ] {
        host.declare(labels).await;
        assert!(host.controller.view(&key()).is_none(), "{labels:?}");
        told.push(host.refusal());
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    shop-web: `windlass.max` is `0`; expected a whole number from 1 to 1000; `windlass.mode` is `go`; expected `recommend` or `act`
    shop-web: `windlass.profile` is `wb`, and windlass.toml has no `[profiles.wb]`; did you mean `web`?
    shop-web: there is no scaling policy `nobody`; there are: `min-max`, `pass-through`, `predictive`, `schedule`, `step`, `target-tracking`
    shop-web: the schema of policy `step` does not allow this configuration: "metric" is a required property; `/bands`: 5 is not of type "array"
    "#);
    host.declare(&[(MODE, "act")]).await;
    assert_eq!((host.view().target, host.refusal().as_str()), (2, ""));
    // A label that becomes wrong suspends the workload; it is not an older declaration that goes on.
    host.declare(&[(MIN, "9"), (MODE, "act")]).await;
    host.engine.kill(&host.ids()[0], 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let above = "`windlass.min` is 9, above `windlass.max` (5); lower it or raise the maximum";
    assert_eq!(host.refusal(), format!("shop-web: {above}"));
    let reason = host.view().last_pass.map(|pass| pass.reason.clone()).unwrap_or_default();
    assert_eq!(reason, format!("nothing is done: service `web` in project `shop` is left alone: {above}"));
    assert_eq!(host.changes(), 0);
    host.declare(&[(MODE, "act")]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(host.changes() > 0);
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_alerts_of_a_workload_are_over_when_it_is_suspended() -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(600);
    let _turn = turn().await;
    let host = Host::begin()?;
    host.run(1)?;
    host.engine.fail(Call::Create, vec![EngineError::Refused("the disk is full".to_owned()); 1_000]);
    host.declare(&[(MIN, "2"), (MODE, "act")]).await;
    eventually(
        "an alert",
        LIMIT,
        async || {
            if host.view().alerts.is_empty() { Err("there is none".to_owned()) } else { Ok(()) }
        },
    )
    .await;
    let events = host.controller.events();
    let (before, filter) = (events.last(), EventFilter { kinds: vec![EventKind::Alert], ..EventFilter::default() });
    // The minimum is above the maximum.
    host.declare(&[(MIN, "9"), (MODE, "act")]).await;
    eventually("the end of the alert", LIMIT, async || {
        let published = events.since(before, &filter).events;
        let is_over = published.iter().any(|event| event.json.contains(r#""state":"over""#));
        if is_over { Ok(()) } else { Err(format!("{published:?}")) }
    })
    .await;
    assert!(host.view().alerts.is_empty());
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn neither_a_key_of_others_nor_its_own_service_is_taken() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin()?;
    let started = Workload { key: key(), ..workload("web:2", 1, 3)? };
    host.controller.start(started).await?;
    host.declare(&[(MODE, "act")]).await;
    // An event of the key is one of the managed workload, so the next regular search finds the service.
    tokio::time::sleep(ControlSettings::default().interval * 5).await;
    assert!(host.refusal().starts_with("shop-web: the key `shop-web` belongs to service `web`"), "{}", host.refusal());
    assert_eq!(host.view().workload.declaration, Declaration::Api);
    // As soon as the key is free, the service gets it.
    host.controller.delete(&key()).await?;
    host.run(1)?;
    host.declare(&[]).await;
    assert!(host.view().workload.declaration.is_adopted() && host.refusal().is_empty());
    // Its own service, which it knows by its own container.
    let own = DeclaredService { key: WorkloadKey::stored("shop-windlass"), ..service(&[(MODE, "act")]) };
    let own = DeclaredService {
        declaration: Declaration::Compose { project: "shop".to_owned(), service: "windlass".to_owned() },
        ..own
    };
    let shape = Workload { key: own.key.clone(), ..workload("windlass:1", 1, 3)? };
    let id = ContainerId("0123456789abcdef".to_owned());
    host.engine.adopt(Replica { id, ..running(&shape, 1, host.clock.now().0) });
    host.engine.declare(vec![own]);
    tokio::time::sleep(FOUND).await;
    assert_eq!(host.refusal(), "shop-windlass: this Windlass runs in it, and a Windlass does not scale itself");
    host.controller.shut_down().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_replaced_by_a_new_one_that_starts_before_the_old_one_is_removed() -> anyhow::Result<()> {
    let _turn = turn().await;
    let host = Host::begin()?;
    host.run(1)?;
    host.declare(&[(MIN, "2"), (MODE, "act")]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let copy = match &host.engine.replicas(&key())[..] {
        [own, copy] if own.is_of_compose() && copy.creator == Creator::Clone => copy.id.clone(),
        other => panic!("{other:?}"),
    };
    // Its process is first started again in its container. Then the engine refuses the replacement, and after that its start.
    host.engine.kill(&copy, 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.engine.calls(Call::Restart), 1);
    let refused = |why: &str| [EngineError::Refused(why.to_owned())];
    host.engine.fail(Call::Create, refused("the disk is full"));
    host.engine.fail(Call::Start, refused("the port is taken"));
    let (creates, starts) = (host.engine.calls(Call::Create), host.engine.calls(Call::Start));
    host.engine.kill(&copy, 1);
    let mut removed_early = false;
    while host.engine.calls(Call::Start) < starts + 1 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        removed_early |= !host.ids().contains(&copy);
    }
    assert_eq!((host.engine.calls(Call::Create), removed_early), (creates + 2, false));
    // The third attempt succeeds: it is running before the old copy goes.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let journal = host.engine.journal();
    let gone =
        journal.iter().rposition(|entry| *entry == (Call::Remove, copy.clone())).expect("the old copy is removed");
    let [.., (Call::Create, created), (Call::Start, started)] = &journal[..gone] else { panic!("{journal:?}") };
    assert_eq!(created, started);
    let left = host.engine.replicas(&key());
    assert!(left.len() == 2 && left[1].id == *created && left.iter().all(Replica::is_running), "{left:?}");
    host.controller.shut_down().await;
    Ok(())
}

//! Services of Compose: how they are found, copied and changed on the real engine.

use super::fixture::{Fixture, docker, eventually};
use super::project::{Project, docker_prints, inspect};
use super::{NO_GRACE, refusal};
use futures_util::StreamExt;
use windlass_core::engine::{Engine, EngineError, EngineEvent, SlotEngine};
use windlass_core::{ContainerId, Creator, DeclaredService, Phase, Replica, Slot, WorkloadKey};

const SHOP: &str = r#"
version: "3.8"
services:
  web:
    image: IMAGE
    command: [sh, -c, "trap 'exit 0' TERM; echo well; sleep 100000 & wait"]
    stop_grace_period: 7s
    volumes: ["/data", "named:/named"]
    networks: {default: {aliases: [www]}, back: {}}
    labels: {windlass.enable: "true", windlass.max: "4", windlass.instance: INSTANCE, team: shop}
  db:
    image: IMAGE
    command: [sleep, "100000"]
    init: true
networks: {back: {}}
volumes: {named: {}}
"#;

/// The declared services of a project.
async fn declared(fixture: &Fixture, project: &Project) -> Vec<DeclaredService> {
    let mut services = fixture.runtime.declared().await.unwrap();
    services.retain(|service| service.key.as_str().starts_with(&project.name));
    services
}

async fn list(fixture: &Fixture, project: &Project, service: &str) -> Vec<Replica> {
    fixture.runtime.list(&project.key(service), &project.declaration(service)).await.unwrap()
}

#[tokio::test]
async fn a_service_is_found_copied_and_changed_and_compose_sees_the_copies() {
    let fixture = Fixture::new("compose").await;
    let project = Project::new(&fixture, SHOP);
    let runtime = &fixture.runtime;
    project.compose(&["up", "--detach"]);

    let services = declared(&fixture, &project).await;
    let [web] = services.as_slice() else { panic!("{services:?}") };
    assert_eq!((&web.key, &web.declaration), (&project.key("web"), &project.declaration("web")));
    assert_eq!((web.image.as_str(), &web.obstacle), (fixture.image.as_str(), &None));
    let labels: Vec<(&str, &str)> = web.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("windlass.enable", "true"), ("windlass.max", "4")]);

    let listed = list(&fixture, &project, "web").await;
    let [own] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((own.slot, own.phase, own.has_slot_name), (Slot(1), Phase::Running, true));
    assert_eq!(own.creator, Creator::Compose { uncopyable: None });
    assert!(own.image == fixture.image && own.made_from.generation.is_some() && own.address.is_some(), "{own:?}");

    let workload = project.workload(&fixture, "web");
    let created = runtime.create(&workload, Slot(2)).await.unwrap();
    assert_eq!((created.name.as_str(), created.creator), (project.container("web", 2).as_str(), Creator::Clone));
    let copy = runtime.start(&created.id).await.unwrap();
    assert_eq!((copy.phase, copy.slot, &copy.made_from), (Phase::Running, Slot(2), &own.made_from));
    let again = runtime.create(&workload, Slot(2)).await;
    assert!(again.is_err(), "{again:?}");
    let shown = project.compose(&["ps", "--quiet", "web"]);
    assert!(shown.contains(own.id.as_str()) && shown.contains(copy.id.as_str()), "{shown}");
    eventually("the log has both", || async {
        let logs = project.compose(&["logs", "--no-color", "web"]);
        let lines_of = |number: u32| [format!("web_{number} "), format!("web-{number} ")];
        let has = |number| lines_of(number).iter().any(|name| logs.contains(name.as_str()));
        (has(1) && has(2)).then_some(())
    })
    .await;

    for id in [&own.id, &copy.id] {
        let stopped = runtime.stop(id, NO_GRACE).await.unwrap();
        // Its stop_grace_period is longer than ours, so that its process ends by itself.
        assert_eq!((stopped.phase, stopped.exit_code), (Phase::Exited, Some(0)));
        assert_eq!(runtime.start(id).await.unwrap().phase, Phase::Running);
        assert_eq!(runtime.restart(id, NO_GRACE).await.unwrap().phase, Phase::Running);
    }
    // The one without the label is no business of Windlass.
    let db = ContainerId(inspect(&project.container("db", 1))["Id"].as_str().unwrap().to_owned());
    assert_eq!(runtime.stop(&db, NO_GRACE).await, Err(EngineError::NotFound(db.to_string())));
    assert_eq!(runtime.remove(&db, true).await, Err(EngineError::NotFound(db.to_string())));
    assert_eq!(list(&fixture, &project, "db").await, []);

    // A copy of `docker commit` has the labels from its image, and no name of the service.
    let committed = format!("{}-committed", fixture.image);
    docker_prints(&["commit", own.id.as_str(), &committed]);
    let stranger = docker_prints(&["run", "--detach", &committed]);
    let names: Vec<bool> = list(&fixture, &project, "web").await.iter().map(|replica| replica.has_slot_name).collect();
    docker(&["rm", "--force", &stranger]);
    docker(&["image", "rm", "--force", &committed]);
    assert_eq!(names, [true, true, false]);

    let volume_of = |id: &ContainerId| {
        let inspected = inspect(id.as_str());
        let mut mounts = inspected["Mounts"].as_array().unwrap().iter();
        mounts.find(|mount| mount["Destination"] == "/data").unwrap()["Name"].clone()
    };
    let (volume, of_copy) = (volume_of(&own.id), volume_of(&copy.id));
    assert_ne!(volume, of_copy, "an anonymous volume of its own");
    runtime.remove(&copy.id, true).await.unwrap();
    let exists = |volume: &serde_json::Value| docker(&["volume", "inspect", volume.as_str().unwrap()]).status.success();
    assert!(!exists(&of_copy));
    runtime.remove(&own.id, true).await.unwrap();
    assert!(exists(&volume), "Compose keeps the volumes of its containers");
    docker(&["volume", "rm", volume.as_str().unwrap()]);
    let refused = refusal(runtime.create(&workload, Slot(1)).await);
    assert!(refused.contains("no container of Compose is left"), "{refused}");
}

#[tokio::test]
async fn compose_may_recreate_scale_and_remove_what_has_copies() {
    let fixture = Fixture::new("compose-up").await;
    let project = Project::new(&fixture, SHOP);
    let runtime = &fixture.runtime;
    project.compose(&["up", "--detach"]);
    let workload = project.workload(&fixture, "web");
    let copy = runtime.create(&workload, Slot(2)).await.unwrap();
    runtime.start(&copy.id).await.unwrap();
    let mut events = runtime.events();
    while events.next().await != Some(EngineEvent::Connected) {}

    // `up` goes back to the count of the file, the highest numbers first.
    project.compose(&["up", "--detach"]);
    let listed = list(&fixture, &project, "web").await;
    assert_eq!(
        listed.iter().map(|it| (it.slot, it.creator.clone())).collect::<Vec<_>>(),
        [(Slot(1), Creator::Compose { uncopyable: None })]
    );
    let key = project.key("web");
    let woken = async { while events.next().await != Some(EngineEvent::Changed(key.clone())) {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), woken).await.expect("the copy's end wakes the workload");

    // A changed service: Compose's newest container is the model.
    let copy = runtime.create(&workload, Slot(2)).await.unwrap();
    runtime.start(&copy.id).await.unwrap();
    project.write(&fixture, &SHOP.replace("team: shop", "team: other"));
    project.compose(&["up", "--detach", "--scale", "web=2"]);
    let third = runtime.create(&workload, Slot(3)).await.unwrap();
    assert_eq!(inspect(third.id.as_str())["Config"]["Labels"]["team"], "other");
    let listed = list(&fixture, &project, "web").await;
    let generation = &listed.last().unwrap().made_from.generation;
    assert!(listed.iter().all(|replica| replica.made_from.generation == *generation), "Compose made the copy anew");
    assert_ne!(*generation, copy.made_from.generation);
    assert_eq!(listed.iter().filter(|replica| replica.is_of_compose()).count(), 2);

    project.compose(&["down", "--timeout", "1"]);
    assert_eq!((list(&fixture, &project, "web").await, declared(&fixture, &project).await), (vec![], vec![]));
}

#[tokio::test]
async fn labels_and_names_of_compose_v2_are_understood() {
    let fixture = Fixture::new("compose-v2").await;
    let project = Project::new(&fixture, "");
    let labels = project.labels_of_v2(&fixture, "web", 1);
    let run = |name: &str, labels: &[String], more: &[&str]| {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let command = [&fixture.image, "sleep", "100000"];
        docker_prints(&[&["run", "--detach", "--init", "--name", name], labels.as_slice(), more, &command[..]].concat())
    };
    let name = format!("{}-web-1", project.name);
    run(&name, &labels, &[]);
    let services = declared(&fixture, &project).await;
    let [web] = services.as_slice() else { panic!("{services:?}") };
    assert_eq!((&web.key, &web.obstacle), (&project.key("web"), &None));
    assert_eq!(web.depends_on, [project.key("db")], "a job that has ended is no dependency");
    let copy = fixture.runtime.create(&project.workload(&fixture, "web"), Slot(4)).await.unwrap();
    assert_eq!(copy.name, format!("{}-web-4", project.name));
    // While Compose recreates a container, the new one has a name for the moment.
    run(&format!("0123456789ab_{name}"), &labels, &[]);
    assert!(list(&fixture, &project, "web").await.iter().all(|replica| replica.has_slot_name));

    // The label was removed from a service of which a copy is left.
    let create = |number: u32, change: &dyn Fn(Vec<String>) -> Vec<String>| {
        let labels = change(project.labels_of_v2(&fixture, "given-back", number));
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let name = format!("{}-given-back-{number}", project.name);
        docker_prints(&[&["create", "--name", &name], labels.as_slice(), &[&fixture.image, "sleep", "1"]].concat())
    };
    let copy = create(2, &|labels| [labels, vec!["--label".to_owned(), "windlass.clone-of=1".to_owned()]].concat());
    let key = project.key("given-back");
    assert!(declared(&fixture, &project).await.iter().any(|it| it.key == key), "Compose recreates its container");
    let own = create(1, &|labels| labels.into_iter().map(|it| it.replace("windlass.enable=true", "a=b")).collect());
    assert!(!declared(&fixture, &project).await.iter().any(|it| it.key == key));
    docker(&["rm", &copy, &own]);

    // A container of `docker compose run` is none of the service, and one outside of Compose is refused.
    let one_off: Vec<String> = project
        .labels_of_v2(&fixture, "web", 1)
        .iter()
        .map(|label| label.replace("oneoff=False", "oneoff=True"))
        .collect();
    run(&format!("{}-web-run-1", project.name), &one_off, &[]);
    assert_eq!(list(&fixture, &project, "web").await.len(), 3);
    let instance = format!("windlass.instance={}", fixture.instance);
    let alone = format!("{}-alone", project.name);
    run(&alone, &[], &["--label", "windlass.enable=true", "--label", &instance]);
    let tampered: Vec<String> = labels
        .iter()
        .map(|label| label.replace("windlass.max=4", "windlass.max=5").replace("number=1", "number=9"))
        .collect();
    run(&format!("{}-web-9", project.name), &tampered, &[]);
    let services = declared(&fixture, &project).await;
    let refused: Vec<(&WorkloadKey, &str)> =
        services.iter().map(|it| (&it.key, it.obstacle.as_deref().unwrap_or("none"))).collect();
    let [(first, outside), (second, different)] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!((first.as_str(), *second), (alone.as_str(), &project.key("web")));
    assert!(outside.contains("was not created by Compose"), "{outside}");
    assert!(different.contains("have different labels of Windlass"), "{different}");
    docker(&["rm", "--force", &alone]);
}

#[tokio::test]
async fn what_cannot_be_copied_is_named_and_refused() {
    let fixture = Fixture::new("compose-uncopyable").await;
    let common = "image: IMAGE\n    command: [sleep, '100000']\n    init: true\n    labels: {windlass.enable: 'true', \
                  windlass.max: '4', windlass.instance: INSTANCE}";
    let services = [
        ("port", "ports: ['39871:80']", "publishes the fixed host port 39871"),
        ("named", "container_name: PROJECT-special", "has a name of its own"),
        ("address", "networks: {back: {ipv4_address: SUBNET.9}}", "has the fixed address SUBNET.9 in network"),
        ("mac", "mac_address: 02:42:0a:00:00:09", "has the fixed MAC address 02:42:0a:00:00:09"),
        ("shared", "network_mode: service:port", "shares the network of container"),
        ("host", "network_mode: host", "uses the host's network"),
        ("range", "ports: ['80']", ""),
    ];
    let subnet = format!("10.213.{}", std::process::id() % 250);
    let mut file = "version: '3.8'\nservices:\n".to_owned();
    for (service, part, _) in services {
        file.push_str(&format!("  {service}:\n    {common}\n    {part}\n"));
    }
    file.push_str("networks: {back: {ipam: {config: [{subnet: SUBNET.0/24}]}}}\n");
    let project = Project::new(&fixture, "");
    project.write(&fixture, &file.replace("PROJECT", &project.name).replace("SUBNET", &subnet));
    project.compose(&["up", "--detach"]);
    assert_eq!(declared(&fixture, &project).await.iter().filter(|service| service.obstacle.is_none()).count(), 7);
    for (service, _, expected) in services {
        let listed = list(&fixture, &project, service).await;
        let [replica] = listed.as_slice() else { panic!("{service}: {listed:?}") };
        assert!(replica.has_slot_name, "{service}");
        let Creator::Compose { uncopyable } = &replica.creator else { panic!("{replica:?}") };
        let created = fixture.runtime.create(&project.workload(&fixture, service), Slot(2)).await;
        if expected.is_empty() {
            assert_eq!((uncopyable, created.map(|copy| copy.slot)), (&None, Ok(Slot(2))));
            continue;
        }
        let why = uncopyable.as_deref().unwrap_or_default();
        assert!(why.contains(&expected.replace("SUBNET", &subnet)), "{service}: {why}");
        assert_eq!(refusal(created), format!("no copy can be made, because {why}"));
    }
    // Compose v2 copies secrets with `environment:` into the container before its first start.
    let name = format!("{}-secret-1", project.name);
    let labels = project.labels_of_v2(&fixture, "secret", 1);
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    docker_prints(
        &[&["create", "--init", "--name", &name], labels.as_slice(), &[&fixture.image, "sleep", "100000"]].concat(),
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("run/secrets")).unwrap();
    std::fs::write(folder.path().join("run/secrets/token"), "hush").unwrap();
    let source = format!("{}/run", folder.path().display());
    docker_prints(&["cp", &source, &format!("{name}:/")]);
    docker_prints(&["start", &name]);
    let listed = list(&fixture, &project, "secret").await;
    let Creator::Compose { uncopyable: Some(why) } = &listed[0].creator else { panic!("{listed:?}") };
    assert!(why.contains("has `/run/secrets/token`, which Compose copied into it"), "{why}");
}

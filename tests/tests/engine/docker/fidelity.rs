//! A copy of a container is like its source: the inspections of both are compared path by path.

use super::fixture::{Fixture, Foreign, docker};
use super::project::{Project, docker_prints, inspect};
use serde_json::Value;
use std::collections::BTreeMap;
use windlass_core::Slot;
use windlass_core::engine::{Engine, SlotEngine};

/// The differences of a copy, each with its reason. `*` stands for one part of a path.
const DIFFERENCES: [(&str, &str); 21] = [
    ("/Id", "each container has one of its own"),
    ("/Created", "the copy is newer"),
    ("/Name", "the next number of the service"),
    ("/State/Pid", "a process of its own"),
    ("/State/StartedAt", "the copy is newer"),
    ("/ResolvConfPath", "the path contains the identifier"),
    ("/HostnamePath", "the path contains the identifier"),
    ("/HostsPath", "the path contains the identifier"),
    ("/LogPath", "the path contains the identifier"),
    ("/GraphDriver/Data/*", "a file system of its own"),
    ("/Mounts/*/Name", "an anonymous volume of its own"),
    ("/Mounts/*/Source", "an anonymous volume of its own"),
    ("/Config/Hostname", "the engine's default: the short identifier"),
    ("/Config/Labels/com.docker.compose.container-number", "the next number of the service"),
    ("/Config/Labels/windlass.clone-of", "marks it as a copy"),
    ("/NetworkSettings/SandboxID", "a network namespace of its own"),
    ("/NetworkSettings/SandboxKey", "a network namespace of its own"),
    ("/NetworkSettings/Ports/*/*/HostPort", "the engine chooses a free port"),
    ("/NetworkSettings/Networks/*/EndpointID", "an endpoint of its own"),
    ("/NetworkSettings/Networks/*/IPAddress", "an address of its own"),
    ("/NetworkSettings/Networks/*/MacAddress", "an address of its own"),
];

/// Options of `docker create` for everything that the engine lets a container have.
const OPTIONS: &str = "--env A=b=c --label team=shop --user 1000:1000 --group-add 27 --workdir /www --entrypoint sh \
    --tty --interactive --init --domainname example.org --stop-signal SIGUSR1 --stop-timeout 3 \
    --expose 81 --publish 80 --publish 127.0.0.1::82/udp --publish-all \
    --tmpfs /scratch:size=1m,mode=1770 --mount type=tmpfs,destination=/scratch2,tmpfs-size=1048576 \
    --volume /anonymous --mount type=volume,destination=/anonymous2 \
    --ulimit nofile=1024:2048 --ulimit nproc=64 --device /dev/null:/dev/xnull:r --device-cgroup-rule=c_1:3_r \
    --cap-add NET_ADMIN --cap-drop MKNOD --security-opt no-new-privileges --security-opt seccomp=unconfined \
    --sysctl net.ipv4.ip_unprivileged_port_start=80 --sysctl kernel.msgmax=8192 \
    --health-cmd true --health-interval 1h --health-timeout 2s --health-retries 4 --health-start-period 5s \
    --log-driver json-file --log-opt max-size=1m --log-opt labels=team \
    --dns 192.0.2.1 --dns-search example.org --dns-option ndots:2 --add-host api:192.0.2.2 \
    --restart on-failure:3 --read-only --ipc shareable --pid host --cgroupns private --oom-score-adj 100 \
    --memory 64m --memory-reservation 32m --memory-swap 96m --memory-swappiness 10 --oom-kill-disable \
    --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 50 --blkio-weight 300 \
    --device-read-bps /dev/loop0:1mb --device-write-iops /dev/loop0:100 --shm-size 32m --runtime runc \
    --cgroup-parent /windlass-fidelity --userns host";

fn flatten(prefix: &str, value: &Value, paths: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            // A slash in a key, such as that of a port, is no part of the path.
            fields
                .iter()
                .for_each(|(key, value)| flatten(&format!("{prefix}/{}", key.replace('/', "~")), value, paths));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(at, item)| flatten(&format!("{prefix}/{at}"), item, paths));
        }
        leaf => drop(paths.insert(prefix.to_owned(), leaf.to_string())),
    }
}

/// The inspection of a container, with its unordered lists in order.
fn paths(id: &str) -> BTreeMap<String, String> {
    let mut inspected = inspect(id);
    let mounts = inspected["Mounts"].as_array_mut().unwrap();
    mounts.sort_by_key(|mount| mount["Destination"].as_str().map(str::to_owned));
    // The engine adds the short identifier to the aliases.
    let short = inspected["Config"]["Hostname"].clone();
    for endpoint in inspected["NetworkSettings"]["Networks"].as_object_mut().unwrap().values_mut() {
        if let Some(aliases) = endpoint["Aliases"].as_array_mut() {
            aliases.retain(|alias| *alias != short);
            aliases.sort_by_key(ToString::to_string);
        }
    }
    let mut paths = BTreeMap::new();
    flatten("", &inspected, &mut paths);
    paths
}

fn is_at(path: &str, pattern: &str) -> bool {
    let (path, pattern): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), pattern.split('/').collect());
    path.len() == pattern.len() && path.iter().zip(&pattern).all(|(part, wanted)| part == wanted || *wanted == "*")
}

#[tokio::test]
async fn a_copy_differs_from_its_source_only_where_it_must() {
    let fixture = Fixture::new("fidelity").await;
    let project = Project::new(&fixture, "");
    let (first, second) = (Foreign::network("fidelity-a"), Foreign::network("fidelity-b"));
    let other = Foreign::container("fidelity-other", &["--volume", "/of-other", &fixture.image, "sleep", "100000"]);
    let name = format!("{}-web-1", project.name);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "hush").unwrap();
    let (folder, volume) = (folder.path().display(), format!("{}_named", project.name));
    let label = format!("com.docker.compose.project={}", project.name);
    docker_prints(&["volume", "create", "--label", &label, &volume]);
    let binds = [
        format!("--volume={folder}:/bound:ro,rprivate"),
        format!("--mount=type=bind,source={folder}/secret,destination=/run/secrets/key,readonly"),
        format!("--mount=type=bind,source={folder},destination=/bound2,bind-propagation=private"),
        format!("--volume={volume}:/named:nocopy"),
        format!("--mount=type=volume,source={volume},destination=/named2,readonly,volume-nocopy"),
        format!("--volumes-from={}:ro", other.name),
    ];
    let options = OPTIONS.split_whitespace().map(|word| word.replace("c_1:3_r", "c 1:3 r"));
    let mut arguments: Vec<String> = ["create", "--name", &name, "--network", &first.name].map(str::to_owned).into();
    arguments.extend(["--network-alias", "www", "--network-alias", "web"].map(str::to_owned));
    arguments.extend(options.chain(binds).chain(project.labels_of_v2(&fixture, "web", 1)));
    arguments.extend([&fixture.image, "-c", "sleep 100000"].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let id = docker_prints(&arguments);
    docker_prints(&["network", "connect", "--alias", "backend", "--driver-opt", "com.example=x", &second.name, &id]);
    docker_prints(&["start", &id]);

    let workload = project.workload(&fixture, "web");
    let copy = fixture.runtime.create(&workload, Slot(2)).await.unwrap();
    fixture.runtime.start(&copy.id).await.unwrap();
    let listed = fixture.runtime.list(&project.key("web"), &project.declaration("web")).await.unwrap();
    assert_eq!(listed.len(), 2);

    let (source, clone) = (paths(&id), paths(copy.id.as_str()));
    let all: std::collections::BTreeSet<&String> = source.keys().chain(clone.keys()).collect();
    let differs = |path: &&&String| source.get(**path) != clone.get(**path);
    let is_expected = |path: &str| DIFFERENCES.iter().any(|(pattern, _)| is_at(path, pattern));
    let unexpected: Vec<String> = all
        .iter()
        .filter(differs)
        .filter(|path| !is_expected(path))
        .map(|path| format!("{path}: {:?} became {:?}", source.get(*path), clone.get(*path)))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    // The named volume and the binds are the same; only the anonymous volumes are new.
    let mounts = |paths: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let destinations = paths.iter().filter(|(path, _)| is_at(path, "/Mounts/*/Destination"));
        destinations
            .map(|(path, destination)| (destination.clone(), paths[&path.replace("Destination", "Source")].clone()))
            .collect()
    };
    let (source_mounts, clone_mounts) = (mounts(&source), mounts(&clone));
    let new: Vec<&str> = source_mounts
        .iter()
        .filter(|(at, source)| clone_mounts.get(*at) != Some(*source))
        .map(|(at, _)| at.trim_matches('"'))
        .collect();
    assert_eq!(new, ["/anonymous", "/anonymous2"]);
    assert_eq!(source_mounts.len(), 9, "{source_mounts:?}");
    drop(docker(&["rm", "--force", copy.id.as_str()]));
}

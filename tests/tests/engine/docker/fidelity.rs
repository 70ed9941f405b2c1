//! A copy of a container is like its source: the inspections of both are compared path by path.

use super::fixture::{Fixture, Foreign, docker, socket};
use super::project::{Project, docker_prints, inspect};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::Slot;
use windlass_core::engine::{Engine, SlotEngine};
use windlass_tests::response::client_of;

/// The differences of copies, each with its reason. Each occurs. `*` stands for one part of a path.
const DIFFERENCES: [(&str, &str); 26] = [
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
    ("/HostConfig/ContainerIDFile", "the file of the command that created the source"),
    ("/HostConfig/Links/*", "a link names the container that has it"),
    ("/NetworkSettings/SandboxID", "a network namespace of its own"),
    ("/NetworkSettings/SandboxKey", "a network namespace of its own"),
    ("/NetworkSettings/Ports/*/*/HostPort", "the engine chooses a free port"),
    ("/NetworkSettings/EndpointID", "an endpoint of its own in the default network"),
    ("/NetworkSettings/IPAddress", "an address of its own in the default network"),
    ("/NetworkSettings/MacAddress", "an address of its own in the default network"),
    ("/NetworkSettings/Networks/*/EndpointID", "an endpoint of its own"),
    ("/NetworkSettings/Networks/*/IPAddress", "an address of its own"),
    ("/NetworkSettings/Networks/*/MacAddress", "an address of its own"),
];

/// The fields with which a container is created through API 1.41. `docker run` has options for most of them.
const CONFIG: &str = "Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env \
    Cmd Healthcheck ArgsEscaped Image Volumes WorkingDir Entrypoint NetworkDisabled MacAddress OnBuild Labels StopSignal \
    StopTimeout Shell";
const HOST_CONFIG: &str = "CpuShares Memory CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps \
    BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime \
    CpusetCpus CpusetMems Devices DeviceCgroupRules DeviceRequests KernelMemory KernelMemoryTCP MemoryReservation MemorySwap \
    MemorySwappiness NanoCpus OomKillDisable Init PidsLimit Ulimits CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth Binds \
    ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom Mounts CapAdd CapDrop \
    CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup Links OomScoreAdj PidMode Privileged \
    PublishAllPorts ReadonlyRootfs SecurityOpt StorageOpt Tmpfs UTSMode UsernsMode ShmSize Sysctls Runtime ConsoleSize \
    Isolation MaskedPaths ReadonlyPaths";

/// The fields that no source has on some machine, each with its reason. A field of a container in a network is not here: an address, a
/// link-local address and a MAC address that a person chose are obstacles, so no copy is made (`compose.rs`).
const UNUSED: [(&str, &str); 8] = [
    ("Config/Image", "every container has one; the sources have the same"),
    ("Config/MacAddress", "an obstacle: no copy is made"),
    ("HostConfig/BlkioWeight", "the engine drops it on a kernel without weights of block devices, as most are"),
    ("HostConfig/BlkioWeightDevice", "the engine drops it on a kernel without weights of block devices, as most are"),
    ("HostConfig/StorageOpt", "overlay2 takes it only on XFS with project quotas, and refuses the container elsewhere"),
    ("HostConfig/CpuPercent", "an engine on Linux drops it"),
    ("HostConfig/IOMaximumIOps", "an engine on Linux refuses it"),
    ("HostConfig/IOMaximumBandwidth", "an engine on Linux refuses it"),
];

/// Options of a source that runs, as words of `docker create`. `~` stands for a space.
const OPTIONS: &str = "--env A=b=c --label team=shop --user 1000:1000 --group-add 27 --workdir /www --entrypoint sh \
    --tty --interactive --init --domainname example.org --stop-signal SIGUSR1 --stop-timeout 3 \
    --expose 81 --expose 83-85/tcp --publish 80 --publish 127.0.0.1::82/udp --publish-all \
    --tmpfs /scratch:size=1m,mode=1770 --mount type=tmpfs,destination=/scratch2,tmpfs-size=1048576 \
    --volume /anonymous --mount type=volume,destination=/anonymous2 \
    --ulimit nofile=1024:2048 --ulimit nproc=64 --device /dev/null:/dev/xnull:r --device-cgroup-rule=c~1:3~r \
    --cap-add NET_ADMIN --cap-drop MKNOD --security-opt no-new-privileges --security-opt seccomp=unconfined \
    --sysctl net.ipv4.ip_unprivileged_port_start=80 --sysctl kernel.msgmax=8192 \
    --health-cmd true --health-interval 1h --health-timeout 2s --health-retries 4 --health-start-period 5s \
    --log-driver json-file --log-opt max-size=1m --log-opt labels=team \
    --dns 192.0.2.1 --dns-search example.org --dns-option ndots:2 --add-host api:192.0.2.2 \
    --restart on-failure:3 --read-only --ipc shareable --pid host --cgroupns private --oom-score-adj 100 \
    --memory 64m --memory-reservation 32m --memory-swap 96m --memory-swappiness 10 --oom-kill-disable \
    --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 50 --blkio-weight 300 --blkio-weight-device /dev/loop0:300 \
    --device-read-bps /dev/loop0:1mb --device-write-bps /dev/loop0:2mb --device-read-iops /dev/loop0:200 \
    --device-write-iops /dev/loop0:100 --shm-size 32m --runtime io.containerd.runc.v2 \
    --cgroup-parent /windlass-fidelity --userns host";

/// Options of another source that runs: those that the first one excludes.
const OTHER_OPTIONS: &str = "--hostname shop --attach stdin --interactive --no-healthcheck --cpu-period 50000 \
    --cpu-quota 20000 --cpu-rt-period 900000 --kernel-memory 32m --isolation default --volume-driver local \
    --security-opt systempaths=unconfined --security-opt apparmor=unconfined --security-opt label=disable --ipc host \
    --cgroupns host --restart always --log-driver local --memory-swappiness 0 --network bridge \
    --mount type=volume,destination=/options,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-label=a=b";

/// A source that is created and not started, since no machine can start it: it has fields that exclude each other, devices
/// that are missing, and rights that a container in a container cannot have. Some fields have no option of `docker create`.
fn unstartable() -> Value {
    json!({
        "Cmd": ["sleep", "1"], "ArgsEscaped": true, "NetworkDisabled": true, "OnBuild": ["RUN true"],
        "Shell": ["sh", "-x", "-c"], "OpenStdin": true, "StdinOnce": true, "AttachStdin": true,
        "AttachStdout": false, "AttachStderr": false,
        "HostConfig": {
            "Privileged": true, "UTSMode": "host", "IpcMode": "none", "AutoRemove": true, "CpuRealtimePeriod": 900_000,
            "CpuRealtimeRuntime": 100_000, "KernelMemoryTCP": 33_554_432, "CpuCount": 1, "ConsoleSize": [24, 80],
            "Cgroup": "shop", "NetworkMode": "none",
            "DeviceRequests": [{"Driver": "", "Count": -1, "DeviceIDs": null, "Capabilities": [["gpu"]], "Options": {}}]
        }
    })
}

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

/// The differences of a copy of the service's container from it: paths with both values.
async fn differences(fixture: &Fixture, project: &Project, service: &str, id: &str, runs: bool) -> Vec<String> {
    let copy = fixture.runtime.create(&project.workload(fixture, service), Slot(2)).await.unwrap();
    if runs {
        fixture.runtime.start(&copy.id).await.unwrap();
    }
    let listed = fixture.runtime.list(&project.key(service), &project.declaration(service)).await.unwrap();
    assert_eq!(listed.len(), 2, "{service}");
    let (source, clone) = (paths(id), paths(copy.id.as_str()));
    let all: BTreeSet<&String> = source.keys().chain(clone.keys()).collect();
    let differs = |path: &&&String| source.get(**path) != clone.get(**path);
    all.into_iter().filter(|path| differs(&path)).cloned().collect()
}

#[tokio::test]
async fn a_copy_differs_from_its_source_only_where_it_must() {
    let fixture = Fixture::new("fidelity").await;
    let (first, second) = (Foreign::network("fidelity-a"), Foreign::network("fidelity-b"));
    // Dropped before the networks, which the engine removes only without containers in them.
    let project = Project::new(&fixture, "");
    let other = Foreign::container("fidelity-other", &["--volume", "/of-other", &fixture.image, "sleep", "100000"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "hush").unwrap();
    std::fs::write(folder.path().join("variables"), "B=c\n").unwrap();
    let (folder, volume) = (folder.path().display(), format!("{}_named", project.name));
    let label = format!("com.docker.compose.project={}", project.name);
    docker_prints(&["volume", "create", "--label", &label, &volume]);
    let create = |service: &str, options: &str, more: &[String]| {
        let name = format!("{}-{service}-1", project.name);
        let mut arguments: Vec<String> = ["create", "--name", &name].map(str::to_owned).into();
        arguments.extend(options.split_whitespace().map(|word| word.replace('~', " ")));
        arguments.extend(more.iter().cloned().chain(project.labels_of_v2(&fixture, service, 1)));
        arguments.extend([&fixture.image, "-c", "sleep 100000"].map(str::to_owned));
        docker_prints(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };

    let more = [
        format!("--network={}", first.name),
        "--network-alias=www".to_owned(),
        "--network-alias=web".to_owned(),
        format!("--volume={folder}:/bound:ro,rprivate"),
        format!("--mount=type=bind,source={folder}/secret,destination=/run/secrets/key,readonly"),
        format!("--mount=type=bind,source={folder},destination=/bound2,bind-propagation=private"),
        format!("--mount=type=bind,source={folder},destination=/bound3,bind-nonrecursive"),
        format!("--volume={volume}:/named:nocopy"),
        format!("--mount=type=volume,source={volume},destination=/named2,readonly,volume-nocopy"),
        format!("--volumes-from={}:ro", other.name),
    ];
    let web = create("web", OPTIONS, &more);
    docker_prints(&["network", "connect", "--alias", "backend", "--driver-opt", "com.example=x", &second.name, &web]);
    docker_prints(&["start", &web]);
    let mut differing = differences(&fixture, &project, "web", &web, true).await;

    let more = [
        "--entrypoint=sh".to_owned(),
        format!("--link={}:db", other.name),
        format!("--pid=container:{}", other.name),
        format!("--env-file={folder}/variables"),
        format!("--cidfile={folder}/id"),
        format!("--volume={volume}:/named:z"),
    ];
    let excluded = create("excluded", OTHER_OPTIONS, &more);
    docker_prints(&["start", &excluded]);
    differing.extend(differences(&fixture, &project, "excluded", &excluded, true).await);

    let unstartable = create_unstartable(&fixture, &project).await;
    differing.extend(differences(&fixture, &project, "unstartable", &unstartable, false).await);

    let is_expected = |path: &&String| DIFFERENCES.iter().any(|(pattern, _)| is_at(path, pattern));
    let unexpected: Vec<&String> = differing.iter().filter(|path| !is_expected(path)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    let occurs = |pattern: &str| differing.iter().any(|path| is_at(path, pattern));
    let absent: Vec<&str> = DIFFERENCES.iter().map(|(pattern, _)| *pattern).filter(|it| !occurs(it)).collect();
    assert!(absent.is_empty(), "these never differ: {absent:?}");

    // The named volume and the binds are the same; only the anonymous volumes are new.
    let copy = inspect(&format!("{}-web-2", project.name))["Id"].as_str().unwrap().to_owned();
    let (source_mounts, clone_mounts) = (mounts(&paths(&web)), mounts(&paths(&copy)));
    let new: Vec<&str> = source_mounts
        .iter()
        .filter(|(at, source)| clone_mounts.get(*at) != Some(*source))
        .map(|(at, _)| at.trim_matches('"'))
        .collect();
    assert_eq!(new, ["/anonymous", "/anonymous2"]);
    assert_eq!(source_mounts.len(), 10, "{source_mounts:?}");

    let plain = docker_prints(&["create", &fixture.image, "true"]);
    let without = inspect(&plain);
    docker(&["rm", &plain]);
    let sources = [web, excluded, unstartable].map(|id| inspect(&id));
    // An engine describes an empty list as such, or as null.
    let value = |it: &Value, part: &str, field: &str| match &it[part][field] {
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::Object(fields) if fields.is_empty() => Value::Null,
        value => value.clone(),
    };
    let is_used = |part: &str, field: &str| {
        let default = value(&without, part, field);
        sources.iter().any(|source| value(source, part, field) != default)
    };
    let fields = [("Config", CONFIG), ("HostConfig", HOST_CONFIG)];
    let unused = fields
        .iter()
        .flat_map(|(part, fields)| fields.split_whitespace().map(move |field| (*part, field)))
        .filter(|(part, field)| !is_used(part, field))
        .map(|(part, field)| format!("{part}/{field}"));
    let unexplained: Vec<String> = unused.filter(|field| !UNUSED.iter().any(|(known, _)| known == field)).collect();
    assert!(unexplained.is_empty(), "no source has these: {unexplained:?}");
}

/// Creates the source that cannot be started, by a request of the API, and returns its identifier.
async fn create_unstartable(fixture: &Fixture, project: &Project) -> String {
    let labels = project.labels_of_v2(fixture, "unstartable", 1);
    let pairs = labels.iter().filter_map(|word| word.split_once('='));
    let mut body = unstartable();
    body["Image"] = json!(fixture.image);
    body["Labels"] = pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect::<Map<_, _>>().into();
    let url = format!("http://engine/containers/create?name={}-unstartable-1", project.name);
    let created = client_of(socket().as_ref()).post(url).json(&body).send().await.unwrap();
    let created: Value = created.json().await.unwrap();
    created["Id"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned()
}

/// The source of each mount of an inspected container, by its destination.
fn mounts(paths: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let destinations = paths.iter().filter(|(path, _)| is_at(path, "/Mounts/*/Destination"));
    destinations
        .map(|(path, destination)| (destination.clone(), paths[&path.replace("Destination", "Source")].clone()))
        .collect()
}

//! Converts a workload to the engine's create request, and an inspection to a replica.

use crate::identity::{Identity, identify};
use crate::labels;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary,
    EndpointSettings, Health, HealthStatusEnum, HostConfig, NetworkSettings, NetworkingConfig,
    PortBinding as EnginePortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;
use windlass_core::contract::{Limits, ProbeOutcome, ProbeResult};
use windlass_core::replica::{HealthCheck, PortBinding, Replica};
use windlass_core::settings::EngineSettings;
use windlass_core::time::millis;
use windlass_core::workload::{ContainerPort, Workload};
use windlass_core::{ContainerId, MadeFrom, Phase, Publication, Slot, Timestamp};

/// The engine's own network modes, which are not networks to join.
const NETWORK_MODES: [&str; 4] = ["host", "none", "bridge", "default"];

/// Whether this is one of the engine's own network modes.
pub(crate) fn is_network_mode(network: &str) -> bool {
    NETWORK_MODES.contains(&network)
}

/// The request that creates a replica of `workload` from an image of the engine.
pub(crate) fn create_body(
    settings: &EngineSettings,
    workload: &Workload,
    slot: Slot,
    image: &str,
) -> ContainerCreateBody {
    let memory = i64::try_from(workload.resources.memory.bytes()).unwrap_or(i64::MAX);
    let cpu = i64::try_from(workload.resources.cpu.nano_cores()).unwrap_or(i64::MAX);
    let binding = |publication: &Publication| EnginePortBinding {
        host_ip: publication.host_ip.or(settings.publish_address).map(|ip| ip.to_string()),
        host_port: Some(publication.host_ports.to_string()),
    };
    let bindings = workload
        .ports
        .iter()
        .map(|(inside, publications)| (inside.to_string(), Some(publications.iter().map(binding).collect())));
    let first_network = workload.networks.first();
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: workload.command.clone(),
        env: Some(workload.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        exposed_ports: Some(workload.ports.keys().map(ToString::to_string).collect()),
        labels: Some(labels::of_replica(settings, workload, slot)),
        host_config: Some(HostConfig {
            nano_cpus: Some(cpu),
            memory: Some(memory),
            // Memory plus swap. Without it the container could swap as much again, which would defeat the limit.
            memory_swap: Some(memory),
            port_bindings: Some(bindings.collect()),
            // Windlass decides about restarts.
            restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
            // `init` stays unset, so the engine's default decides whether an init process is added.
            network_mode: first_network.cloned(),
            ..HostConfig::default()
        }),
        networking_config: first_network.filter(|network| !is_network_mode(network)).map(|network| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.clone(), EndpointSettings::default())])),
        }),
        ..ContainerCreateBody::default()
    }
}

/// The replica described by an inspection. `None` if the labels do not mark the container as ours.
///
/// `address` is the one at which a running container is reached directly.
pub(crate) fn replica(
    inspected: &ContainerInspectResponse,
    instance: &str,
    address: Option<IpAddr>,
) -> Option<Replica> {
    let config = inspected.config.as_ref()?;
    let identity = identify(config.labels.as_ref()?, instance)?;
    let unknown = ContainerState::default();
    let state = inspected.state.as_ref().unwrap_or(&unknown);
    let phase = phase(state);
    let running = runs(state);
    let finished_at = state.finished_at.as_deref().and_then(timestamp);
    let network = inspected.network_settings.as_ref();
    let name = inspected.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
    Some(Replica {
        id: ContainerId(inspected.id.clone()?),
        has_slot_name: identity.has_slot_name(&name, instance),
        name,
        made_from: made_from(&identity, inspected.image.as_deref()),
        workload: identity.workload,
        image: identity.image.or_else(|| config.image.clone()).unwrap_or_default(),
        creator: identity.creator,
        slot: identity.slot,
        phase,
        status: state.status.map(|status| status.to_string()).unwrap_or_default(),
        created_at: inspected.created.as_deref().and_then(timestamp).unwrap_or_default(),
        started_at: state.started_at.as_deref().and_then(timestamp),
        finished_at,
        // A failed start leaves the engine's own code (127, 128) and no end time.
        exit_code: if running || finished_at.is_none() { None } else { state.exit_code.map(exit_code) },
        out_of_memory: !running && state.oom_killed.unwrap_or_default(),
        error: state.error.clone().unwrap_or_default(),
        engine_restarts: inspected.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        stops_by_kill: matches!(stop_signal(inspected), "SIGKILL" | "KILL" | "9"),
        restart_policy: inspected.host_config.as_ref().and_then(restart_policy),
        limits: inspected.host_config.as_ref().map(limits).unwrap_or_default(),
        ports: network.filter(|_| running).map(ports).unwrap_or_default(),
        address: address.filter(|_| running),
        node: None,
        is_protected: identity.is_protected,
        usage: None,
        health_check: state.health.as_ref().filter(|_| running).and_then(health_check),
    })
}

fn made_from(identity: &Identity, image_id: Option<&str>) -> MadeFrom {
    MadeFrom { generation: identity.generation(image_id), image_id: image_id.map(str::to_owned) }
}

/// Whether the container's image has a HEALTHCHECK.
pub(crate) fn has_health_check(inspected: &ContainerInspectResponse) -> bool {
    let check = inspected.config.as_ref().and_then(|config| config.healthcheck.as_ref()?.test.as_ref());
    check.and_then(|words| words.first()).is_some_and(|first| first != "NONE")
}

fn health_check(health: &Health) -> Option<HealthCheck> {
    let is_healthy = match health.status? {
        HealthStatusEnum::STARTING => None,
        HealthStatusEnum::HEALTHY => Some(true),
        HealthStatusEnum::UNHEALTHY => Some(false),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => return None,
    };
    let checks = health.log.iter().flatten().filter_map(|check| {
        let (began, ended) = (timestamp(check.start.as_deref()?)?, timestamp(check.end.as_deref()?)?);
        let outcome = match check.exit_code? {
            0 => ProbeOutcome::Success(millis(ended.since(began))),
            // The engine's own message, mostly about a timeout.
            -1 => ProbeOutcome::Failure(excerpt(check.output.as_deref())),
            code => {
                let output = excerpt(check.output.as_deref());
                let output = if output.is_empty() { output } else { format!(": {output}") };
                ProbeOutcome::Failure(format!("the image's HEALTHCHECK ended with status {code}{output}"))
            }
        };
        Some(ProbeResult { at: ended, outcome })
    });
    Some(HealthCheck { is_healthy, checks: checks.collect() })
}

fn excerpt(output: Option<&str>) -> String {
    output.unwrap_or_default().trim().escape_debug().take(200).collect()
}

/// The replica behind an entry of the engine's list that the engine does not describe, for this reason. `None` if the
/// labels do not mark the container as ours.
pub(crate) fn undescribed_replica(summary: &ContainerSummary, instance: &str, why: String) -> Option<Replica> {
    let identity = identify(summary.labels.as_ref()?, instance)?;
    let names = summary.names.iter().flatten().map(|name| name.trim_start_matches('/'));
    let created = summary.created.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Some(Replica {
        id: ContainerId(summary.id.clone()?),
        has_slot_name: names.clone().any(|name| identity.has_slot_name(name, instance)),
        name: names.into_iter().next().unwrap_or_default().to_owned(),
        made_from: made_from(&identity, summary.image_id.as_deref()),
        workload: identity.workload,
        image: identity.image.or_else(|| summary.image.clone()).unwrap_or_default(),
        creator: identity.creator,
        slot: identity.slot,
        phase: Phase::Unknown,
        status: "unknown".to_owned(),
        created_at: Timestamp(created * 1_000),
        started_at: None,
        finished_at: None,
        exit_code: None,
        out_of_memory: false,
        error: why,
        engine_restarts: 0,
        restart_policy: None,
        stops_by_kill: false,
        limits: Limits::default(),
        ports: BTreeMap::new(),
        address: None,
        node: None,
        is_protected: identity.is_protected,
        usage: None,
        health_check: None,
    })
}

/// The signal that asks the container's process to end.
pub(crate) fn stop_signal(inspected: &ContainerInspectResponse) -> &str {
    let signal = inspected.config.as_ref().and_then(|config| config.stop_signal.as_deref());
    signal.filter(|signal| !signal.is_empty()).unwrap_or("SIGTERM")
}

/// The time that the container's process has to end. `None` if the container does not say.
pub(crate) fn stop_timeout(inspected: &ContainerInspectResponse) -> Option<Duration> {
    let seconds = inspected.config.as_ref()?.stop_timeout?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// The restart policy of the engine. `None` if the engine does not restart the container.
fn restart_policy(config: &HostConfig) -> Option<String> {
    match config.restart_policy.as_ref()?.name? {
        RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY => None,
        name => Some(name.to_string()),
    }
}

/// The limits in force, which `docker update` may have changed. The engine reports 0 for "no limit".
#[expect(clippy::cast_precision_loss, reason = "a number of cores needs no more than 53 bits")]
fn limits(config: &HostConfig) -> Limits {
    let positive = |value: Option<i64>| value.filter(|value| *value > 0);
    let of_cores = positive(config.nano_cpus).map(|nano| nano as f64 / 1e9);
    // `docker run --cpu-quota`: the quota in each period, 100 ms unless set.
    let of_quota =
        positive(config.cpu_quota).map(|quota| quota as f64 / positive(config.cpu_period).unwrap_or(100_000) as f64);
    Limits {
        cpu_cores: of_cores.or(of_quota),
        memory_bytes: positive(config.memory).and_then(|bytes| u64::try_from(bytes).ok()),
    }
}

/// Whether the process exists, including while it is paused or being stopped.
pub(crate) fn runs(state: &ContainerState) -> bool {
    match phase(state) {
        Phase::Running | Phase::Paused => true,
        Phase::Stopping => state.running.unwrap_or_default(),
        _ => false,
    }
}

fn phase(state: &ContainerState) -> Phase {
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => Phase::Starting,
        Some(ContainerStateStatusEnum::RUNNING) => Phase::Running,
        Some(ContainerStateStatusEnum::PAUSED) => Phase::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => Phase::Restarting,
        Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::STOPPING) => Phase::Stopping,
        Some(ContainerStateStatusEnum::EXITED) => Phase::Exited,
        Some(ContainerStateStatusEnum::DEAD) => Phase::Dead,
        Some(ContainerStateStatusEnum::EMPTY) | None => {
            if state.running.unwrap_or_default() {
                Phase::Running
            } else {
                Phase::Exited
            }
        }
    }
}

fn exit_code(code: i64) -> i32 {
    i32::try_from(code).unwrap_or(i32::MAX)
}

/// Parses a time from the engine. `None` if it is not a time, or the engine's "never", the year 1.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp)
}

/// The published ports. A port is listed once per address family it is bound to.
fn ports(network: &NetworkSettings) -> BTreeMap<ContainerPort, Vec<PortBinding>> {
    let published = network.ports.iter().flatten().filter_map(|(inside, bindings)| {
        let bindings: Vec<PortBinding> = bindings
            .iter()
            .flatten()
            .filter_map(|binding| {
                let host_port = binding.host_port.as_deref()?.parse().ok().filter(|port| *port > 0)?;
                Some(PortBinding { host_ip: binding.host_ip.clone().unwrap_or_default(), host_port })
            })
            .collect();
        Some((inside.parse().ok()?, bindings)).filter(|(_, bindings)| !bindings.is_empty())
    });
    published.collect()
}

/// Whether the container uses the host's network; its interface counters are then the host's.
pub(crate) fn uses_host_network(inspected: &ContainerInspectResponse) -> bool {
    inspected.host_config.as_ref().is_some_and(|config| config.network_mode.as_deref() == Some("host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use windlass_core::Generation;
    use windlass_core::workload::{Bounds, DesiredStatus, Resources};

    const ADDRESS: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(172, 19, 0, 5)));

    fn workload() -> Workload {
        let image: windlass_core::ImageRef = "ghcr.io/org/web:1".parse().unwrap();
        Workload {
            env: BTreeMap::from([("A".to_owned(), "1=2".to_owned())]),
            ports: BTreeMap::from([("80/tcp".parse().unwrap(), 0.into()), ("53/udp".parse().unwrap(), 5353.into())]),
            labels: BTreeMap::from([
                ("team".to_owned(), "shop".to_owned()),
                ("windlass.slot".to_owned(), "99".to_owned()),
                ("orchestrator.image".to_owned(), "other".to_owned()),
            ]),
            networks: vec!["front".to_owned(), "back".to_owned()],
            command: Some(vec!["httpd".to_owned()]),
            ..Workload::new(
                image,
                Bounds::new(1, 3).unwrap(),
                Resources {
                    cpu: "500m".parse().unwrap(),
                    memory: "64m".parse().unwrap(),
                    status: DesiredStatus::Running,
                },
            )
        }
    }

    fn inspected(state: &serde_json::Value) -> ContainerInspectResponse {
        serde_json::from_value(serde_json::json!({
            "Id": "ab12", "Name": "/web-0-x", "Image": "sha256:01", "Created": "2026-03-01T10:00:00.123456789Z", "State": state,
            "HostConfig": {"NetworkMode": "front"},
            "Config": {"Labels": {"orchestrator.image": "web:1", "windlass.instance": "i", "windlass.workload": "web",
                                  "windlass.slot": "2", "windlass.generation": "00ff"}},
            "NetworkSettings": {
                "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32769"}, {"HostIp": "::", "HostPort": "32769"}],
                          "443/tcp": null},
                "Networks": {"front": {"IPAddress": "172.18.0.5"}, "back": {"IPAddress": "172.19.0.5"}}}
        }))
        .unwrap()
    }

    #[test]
    fn a_request_carries_the_limits_ports_networks_and_our_labels() {
        let settings = EngineSettings { instance: "i".to_owned(), ..EngineSettings::default() };
        let body = create_body(&settings, &workload(), Slot(4), "sha256:01");
        assert_eq!(body.image.as_deref(), Some("sha256:01"));
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.nano_cpus, host.memory, host.memory_swap),
            (Some(500_000_000), Some(64 << 20), Some(64 << 20))
        );
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
        let port = |inside: &str| host.port_bindings.as_ref().unwrap()[inside].clone().unwrap()[0].host_port.clone();
        assert_eq!((port("80/tcp"), port("53/udp")), (Some("0".to_owned()), Some("5353".to_owned())));
        assert_eq!(host.network_mode.as_deref(), Some("front"));
        let networks = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(networks.keys().collect::<Vec<_>>(), ["front"], "an engine of API 1.41 takes one at creation");
        assert_eq!(body.env.unwrap(), ["A=1=2"]);
        let labels = body.labels.unwrap();
        assert_eq!((labels["team"].as_str(), labels.len()), ("shop", 7));
        assert_eq!(labels["windlass.networks"], "front,back");
        assert_eq!(labels["windlass.generation"], workload().generation().as_str());
        assert_eq!(labels["windlass.slot"], "4");
        assert_eq!(labels["orchestrator.image"], "ghcr.io/org/web:1");
    }

    #[test]
    fn a_replica_gets_nothing_of_its_host_that_the_workload_does_not_name() {
        let mut workload = workload();
        workload.networks = vec!["front".to_owned()];
        workload.command = Some(vec!["serve".to_owned()]);
        let body = serde_json::to_value(create_body(&EngineSettings::default(), &workload, Slot(0), "web:1")).unwrap();
        let keys = |value: &serde_json::Value| {
            let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys.join(" ")
        };
        // In particular no privileges, capabilities, devices, mounts or namespaces of the host. A new key needs a reason.
        let host_config = "Memory MemorySwap NanoCpus NetworkMode PortBindings RestartPolicy";
        assert_eq!(keys(&body["HostConfig"]), host_config);
        assert_eq!(keys(&body), "Cmd Env ExposedPorts HostConfig Image Labels NetworkingConfig");
    }

    #[test]
    fn ports_are_published_at_their_own_address_or_the_default_one() {
        let mut workload = workload();
        for (port, publication) in windlass_core::publication::short_form("127.0.0.1:8000-8010:81").unwrap() {
            workload.ports.insert(port, publication.into());
        }
        let bound = |publish_address: Option<&str>, inside: &str| {
            let publish_address = publish_address.map(|ip| ip.parse().unwrap());
            let settings = EngineSettings { publish_address, ..EngineSettings::default() };
            let bindings =
                create_body(&settings, &workload, Slot(0), "web:1").host_config.unwrap().port_bindings.unwrap();
            let binding = &bindings[inside].as_ref().unwrap()[0];
            (binding.host_ip.clone(), binding.host_port.clone().unwrap())
        };
        assert_eq!(bound(None, "80/tcp"), (None, "0".to_owned()));
        assert_eq!(bound(Some("10.0.0.1"), "80/tcp"), (Some("10.0.0.1".to_owned()), "0".to_owned()));
        assert_eq!(bound(Some("::1"), "53/udp"), (Some("::1".to_owned()), "5353".to_owned()));
        let own = (Some("127.0.0.1".to_owned()), "8000-8010".to_owned());
        assert_eq!((bound(None, "81/tcp"), bound(Some("10.0.0.1"), "81/tcp")), (own.clone(), own));
    }

    #[test]
    fn a_running_container_shows_its_ports_and_its_address() {
        let state = serde_json::json!({"Status": "running", "Running": true, "ExitCode": 0,
            "StartedAt": "2026-03-01T10:00:01.5Z", "FinishedAt": "0001-01-01T00:00:00Z"});
        let converted = replica(&inspected(&state), "i", ADDRESS).unwrap();
        assert_eq!(
            (converted.phase, converted.status.as_str(), converted.name.as_str()),
            (Phase::Running, "running", "web-0-x")
        );
        let made_from =
            MadeFrom { generation: Some(Generation::stored("00ff")), image_id: Some("sha256:01".to_owned()) };
        assert_eq!(converted.made_from, made_from);
        assert_eq!(converted.created_at, Timestamp(1_772_359_200_123));
        assert_eq!(converted.started_at, Some(Timestamp(1_772_359_201_500)));
        assert_eq!((converted.finished_at, converted.exit_code), (None, None));
        assert_eq!(converted.ports.len(), 1);
        assert_eq!(converted.ports[&"80/tcp".parse().unwrap()].len(), 2);
        assert_eq!(converted.address, Some(IpAddr::from([172, 19, 0, 5])));
    }

    #[test]
    fn a_stopped_container_shows_how_it_ended_and_no_ports() {
        let state = serde_json::json!({"Status": "exited", "Running": false, "ExitCode": 137, "OOMKilled": true,
            "StartedAt": "2026-03-01T10:00:01Z", "FinishedAt": "2026-03-01T10:00:09Z"});
        let converted = replica(&inspected(&state), "i", ADDRESS).unwrap();
        assert_eq!((converted.phase, converted.exit_code, converted.out_of_memory), (Phase::Exited, Some(137), true));
        assert!(converted.ports.is_empty() && converted.address.is_none() && converted.finished_at.is_some());
    }

    #[test]
    fn a_container_that_could_not_start_never_started() {
        let state = serde_json::json!({"Status": "created", "ExitCode": 128, "Error": "port is already allocated",
            "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"});
        let converted = replica(&inspected(&state), "i", ADDRESS).unwrap();
        assert_eq!((converted.phase, converted.exit_code, converted.started_at), (Phase::Starting, None, None));
        assert_eq!(converted.error, "port is already allocated");
    }

    #[test]
    fn each_word_of_the_engine_has_its_phase() {
        for (status, expected) in [
            ("created", Phase::Starting),
            ("running", Phase::Running),
            ("paused", Phase::Paused),
            ("restarting", Phase::Restarting),
            ("removing", Phase::Stopping),
            ("exited", Phase::Exited),
            ("dead", Phase::Dead),
        ] {
            let state: ContainerState = serde_json::from_value(serde_json::json!({"Status": status})).unwrap();
            assert_eq!(phase(&state), expected, "{status}");
        }
    }

    #[test]
    fn limits_and_restarts_are_those_of_the_engine() {
        let described = |host: serde_json::Value| {
            let mut container = inspected(&serde_json::json!({"Status": "running"}));
            container.host_config = Some(serde_json::from_value(host).unwrap());
            container.restart_count = Some(4);
            replica(&container, "i", ADDRESS).unwrap()
        };
        let updated = described(serde_json::json!({"NanoCpus": 1_500_000_000_i64, "Memory": 64 << 20,
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}}));
        assert_eq!(updated.limits, Limits { cpu_cores: Some(1.5), memory_bytes: Some(64 << 20) });
        assert_eq!((updated.engine_restarts, updated.restart_policy.as_deref()), (4, Some("unless-stopped")));
        let of_quota = described(serde_json::json!({"CpuQuota": 50_000, "RestartPolicy": {"Name": "no"}}));
        assert_eq!(of_quota.limits, Limits { cpu_cores: Some(0.5), memory_bytes: None });
        assert_eq!(of_quota.restart_policy, None);
        assert_eq!(described(serde_json::json!({"NanoCpus": 0, "Memory": 0})).limits, Limits::default());
    }

    #[test]
    fn only_the_name_of_its_slot_marks_a_container_as_created_here() {
        let named = |name: &str| {
            let mut container = inspected(&serde_json::json!({"Status": "running"}));
            container.name = Some(format!("/{name}"));
            replica(&container, "i", ADDRESS).unwrap().has_slot_name
        };
        let name = labels::container_name("i", &windlass_core::WorkloadKey::stored("web"), Slot(2));
        assert!(named(&name));
        assert!(!named("web-0-x") && !named(&name.replace("-2", "-3")));
    }

    #[test]
    fn a_container_that_is_listed_and_not_described_is_unknown() {
        let slot_name = labels::container_name("i", &windlass_core::WorkloadKey::stored("web"), Slot(2));
        let summary = |instance: &str| -> ContainerSummary {
            serde_json::from_value(serde_json::json!({
                "Id": "ab12", "Names": [format!("/{slot_name}")], "Created": 1_772_359_200, "State": "running",
                "Labels": {"orchestrator.image": "web:1", "windlass.instance": instance, "windlass.workload": "web",
                           "windlass.slot": "2"}}))
            .unwrap()
        };
        let unknown = undescribed_replica(&summary("i"), "i", "it hangs".to_owned()).unwrap();
        assert_eq!((unknown.phase, unknown.slot, unknown.error.as_str()), (Phase::Unknown, Slot(2), "it hangs"));
        assert_eq!((unknown.created_at, unknown.has_slot_name), (Timestamp(1_772_359_200_000), true));
        assert!(!unknown.is_running() && !unknown.is_alive());
        assert_eq!(undescribed_replica(&summary("other"), "i", String::new()), None);
    }

    #[test]
    fn anothers_container_is_no_replica() {
        let state = serde_json::json!({"Status": "running"});
        assert!(replica(&inspected(&state), "other", ADDRESS).is_none());
    }

    #[test]
    fn times_have_nanoseconds_and_zones_and_a_never() {
        assert_eq!(timestamp("1970-01-01T00:00:01.234567891Z"), Some(Timestamp(1_234)));
        assert_eq!(timestamp("1970-01-01T02:00:01+02:00"), Some(Timestamp(1_000)));
        assert_eq!(timestamp("0001-01-01T00:00:00Z"), None);
        assert_eq!(timestamp("soon"), None);
    }
}

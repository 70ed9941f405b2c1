//! The specification of a managed workload's service.

use crate::labels;
use serde_json::{Map, Value, json};
use std::time::Duration;
use windlass_core::engine::EngineError;
use windlass_core::settings::EngineSettings;
use windlass_core::{Probe, ProbeTarget, RolloutMode, RolloutOrder, Slot, Workload};

/// Failures of a check in a row after which Swarm replaces a task.
const RETRIES: u32 = 3;

/// The settings that the services of managed workloads depend on.
pub(super) struct Facts {
    pub(super) settings: EngineSettings,
    /// Time a task's process has to end before Swarm kills it.
    pub(super) stop_grace: Duration,
}

/// The parts of the specification that the workload decides. `null` stands for a part that must be absent. The count is not
/// among them.
///
/// # Errors
/// If a Swarm cannot do what the workload says.
pub(super) fn of(facts: &Facts, workload: &Workload, networks: &[String]) -> Result<Value, EngineError> {
    let settings = &facts.settings;
    if workload.rollout.mode == RolloutMode::Manual {
        let why = "`rollout.mode` is `manual`, which a Swarm cannot do: it replaces the tasks of a changed service; use `rolling`";
        return Err(EngineError::Refused(why.to_owned()));
    }
    let mut container_labels = labels::of_replica(settings, workload, Slot(0));
    container_labels.remove(labels::SLOT);
    let ours = [labels::IMAGE, labels::INSTANCE, labels::WORKLOAD];
    let service_labels: Map<String, Value> =
        ours.iter().filter_map(|name| Some(((*name).to_owned(), json!(container_labels.get(*name)?)))).collect();
    let env: Vec<String> = workload.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let ports = ports(settings, workload)?;
    // A fixed port of the node is free only after the old task.
    let has_fixed_ports = ports.iter().any(|port| port.get("PublishedPort").is_some());
    let starts_first = !has_fixed_ports && workload.rollout.order != Some(RolloutOrder::StopFirst);
    let targets: Vec<Value> = networks.iter().map(|id| json!({"Target": id})).collect();
    Ok(json!({
        "Name": labels::service_name(&settings.instance, &workload.key),
        "Labels": service_labels,
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": workload.image.as_str(),
                "Labels": container_labels,
                "Env": some(&env),
                "Args": workload.command,
                "StopGracePeriod": nanoseconds(facts.stop_grace),
                "Healthcheck": health_check(workload.probe.as_ref()),
            },
            "Resources": {"Limits": {
                "NanoCPUs": workload.resources.cpu.nano_cores(),
                "MemoryBytes": workload.resources.memory.bytes(),
            }},
            "RestartPolicy": {"Condition": "any"},
            "Networks": some(&targets),
        },
        "UpdateConfig": {
            "Parallelism": 1,
            "Order": if starts_first { "start-first" } else { "stop-first" },
            "Monitor": nanoseconds(workload.rollout.min_ready),
            "FailureAction": "pause",
        },
        // Names of services lead to their tasks, without the load balancer of Swarm, which not every kernel has.
        "EndpointSpec": {"Mode": "dnsrr", "Ports": some(&ports)},
        "Mode": {"Replicated": {}},
    }))
}

/// A specification with the parts of `wanted`, and all its other parts as they are.
pub(super) fn applied(existing: &Value, wanted: &Value) -> Value {
    let mut result = merged(existing, wanted);
    // A label that the user removed must go.
    if let Some(labels) = wanted.pointer("/TaskTemplate/ContainerSpec/Labels") {
        result["TaskTemplate"]["ContainerSpec"]["Labels"] = labels.clone();
    }
    result
}

fn merged(existing: &Value, wanted: &Value) -> Value {
    let Some(parts) = wanted.as_object() else { return wanted.clone() };
    let mut result = existing.as_object().cloned().unwrap_or_default();
    for (name, part) in parts {
        if part.is_null() {
            result.remove(name);
        } else {
            let before = result.get(name).unwrap_or(&Value::Null);
            let after = merged(before, part);
            result.insert(name.clone(), after);
        }
    }
    Value::Object(result)
}

fn ports(settings: &EngineSettings, workload: &Workload) -> Result<Vec<Value>, EngineError> {
    let mut ports = Vec::new();
    for (inside, publications) in &workload.ports {
        for publication in publications.iter() {
            let address = publication.host_ip.or(settings.publish_address).filter(|ip| !ip.is_unspecified());
            if let Some(address) = address {
                return Err(EngineError::Refused(format!(
                    "`ports` publishes {inside} at {address}, and a Swarm publishes ports at every address of a node; leave \
                     the address out, or do not publish the port"
                )));
            }
            let outside = publication.host_ports;
            if outside.first() != outside.last() {
                return Err(EngineError::Refused(format!(
                    "`ports` publishes {inside} at one of the ports {outside}, and a Swarm takes one port or any free one; \
                     use one port, or 0"
                )));
            }
            let mut port = json!({"Protocol": inside.protocol.to_string(), "TargetPort": inside.number,
                "PublishMode": "host"});
            if !outside.is_any() {
                port["PublishedPort"] = json!(outside.first());
            }
            ports.push(port);
        }
    }
    Ok(ports)
}

/// The check that Swarm itself runs. A probe over the network stays with Windlass: an image need not have a program for it.
fn health_check(probe: Option<&Probe>) -> Value {
    match probe {
        Some(Probe { target: ProbeTarget::Exec { command }, interval, timeout }) => {
            let test: Vec<&str> = std::iter::once("CMD").chain(command.iter().map(String::as_str)).collect();
            json!({"Test": test, "Interval": nanoseconds(*interval), "Timeout": nanoseconds(*timeout), "Retries": RETRIES})
        }
        Some(Probe { target: ProbeTarget::None, .. }) => json!({"Test": ["NONE"]}),
        _ => Value::Null,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The list, or null if it is empty: Swarm leaves out empty lists.
fn some<T: serde::Serialize>(list: &[T]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::fixtures::workload;
    use windlass_core::publication::short_form;

    fn facts() -> Facts {
        Facts {
            settings: EngineSettings { instance: "i".to_owned(), ..EngineSettings::default() },
            stop_grace: Duration::from_secs(7),
        }
    }

    fn with_ports(text: &str) -> Workload {
        let mut workload = workload("ghcr.io/org/web:1", 1, 3);
        for (port, publication) in short_form(text).unwrap() {
            workload.ports.insert(port, publication.into());
        }
        workload
    }

    #[test]
    fn a_service_has_what_the_workload_says() {
        let mut workload = with_ports("80");
        workload.env.insert("A".to_owned(), "1=2".to_owned());
        workload.command = Some(vec!["serve".to_owned()]);
        workload.labels.insert("team".to_owned(), "shop".to_owned());
        workload.probe = Some(Probe::usual(ProbeTarget::Exec { command: vec!["check".to_owned(), "it".to_owned()] }));
        let wanted = of(&facts(), &workload, &["n1".to_owned()]).unwrap();
        let container = &wanted["TaskTemplate"]["ContainerSpec"];
        assert_eq!(
            (&container["Image"], &container["Env"], &container["Args"]),
            (&json!("ghcr.io/org/web:1"), &json!(["A=1=2"]), &json!(["serve"]))
        );
        assert_eq!(container["StopGracePeriod"], json!(7_000_000_000_u64));
        assert_eq!(container["Healthcheck"]["Test"], json!(["CMD", "check", "it"]));
        assert_eq!(container["Labels"]["windlass.generation"], json!(workload.generation().as_str()));
        assert_eq!(container["Labels"]["team"], json!("shop"));
        assert_eq!(container["Labels"].get("windlass.slot"), None, "tasks have slots of their own");
        let labels = json!({"orchestrator.image": "ghcr.io/org/web:1", "windlass.instance": "i",
            "windlass.workload": "ghcr.io/org/web:1"});
        assert_eq!(wanted["Labels"], labels);
        assert_eq!(wanted["TaskTemplate"]["Networks"], json!([{"Target": "n1"}]));
        assert_eq!(
            wanted["TaskTemplate"]["Resources"]["Limits"],
            json!({"NanoCPUs": 100_000_000, "MemoryBytes": 64 << 20})
        );
        let port = json!({"Protocol": "tcp", "TargetPort": 80, "PublishMode": "host"});
        assert_eq!(
            (&wanted["EndpointSpec"], &wanted["UpdateConfig"]["Order"]),
            (&json!({"Mode": "dnsrr", "Ports": [port]}), &json!("start-first"))
        );
    }

    #[test]
    fn a_fixed_port_makes_the_old_task_go_first() {
        let wanted = of(&facts(), &with_ports("8080:80"), &[]).unwrap();
        assert_eq!(wanted["EndpointSpec"]["Ports"][0]["PublishedPort"], json!(8080));
        assert_eq!(wanted["UpdateConfig"]["Order"], json!("stop-first"));
    }

    #[test]
    fn what_a_swarm_cannot_do_is_refused_with_its_field() {
        let refused = |workload: &Workload, facts: &Facts| match of(facts, workload, &[]) {
            Err(EngineError::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(refused(&with_ports("127.0.0.1:8080:80"), &facts()).contains("`ports` publishes 80/tcp at 127.0.0.1"));
        assert!(refused(&with_ports("8000-8010:80"), &facts()).contains("8000-8010"));
        let mut loopback = facts();
        loopback.settings.publish_address = "127.0.0.1".parse().ok();
        assert!(refused(&with_ports("8080:80"), &loopback).contains("127.0.0.1"));
        let mut manual = with_ports("80");
        manual.rollout.mode = RolloutMode::Manual;
        assert!(refused(&manual, &facts()).contains("`rollout.mode`"));
    }

    #[test]
    fn parts_that_others_set_stay_and_parts_that_are_gone_go() {
        let existing = json!({"Labels": {"traefik.enable": "true", "windlass.instance": "i"}, "Newer": 1,
            "TaskTemplate": {"Placement": {"Constraints": ["node.role==worker"]},
                "ContainerSpec": {"Image": "web:1", "Env": ["A=1"], "Args": ["old"], "Labels": {"gone": "1"}, "Init": true}}});
        let wanted = json!({"Labels": {"windlass.instance": "i"}, "TaskTemplate": {"ContainerSpec":
            {"Image": "web:2", "Env": ["B=2"], "Args": null, "Labels": {"kept": "1"}}}});
        let expected = json!({"Labels": {"traefik.enable": "true", "windlass.instance": "i"}, "Newer": 1,
            "TaskTemplate": {"Placement": {"Constraints": ["node.role==worker"]},
                "ContainerSpec": {"Image": "web:2", "Env": ["B=2"], "Labels": {"kept": "1"}, "Init": true}}});
        assert_eq!(applied(&existing, &wanted), expected);
        assert_eq!(applied(&expected, &wanted), expected, "a second time changes nothing");
    }
}

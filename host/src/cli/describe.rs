//! `windlass describe`: one workload, container or policy with everything around it, for people.

use crate::cli::format::Output;
use crate::cli::get::one;
use crate::cli::resources::Kind;
use crate::cli::server::Server;
use crate::cli::table::Table;
use crate::cli::words::word;
use crate::cli::workload_text::{alerts, overrides, percent, policies};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write as _;
use windlass_api::answer::{list, time, title};
use windlass_network::remote::Remote;

/// Number of decisions and of policy events that are shown.
const NEWEST: usize = 5;

/// `windlass describe …`
#[derive(Debug, Args)]
pub(super) struct DescribeArguments {
    /// Kind of the resource
    kind: Kind,
    /// Its name; for a container, its identifier too
    name: String,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints.
pub(super) async fn run(arguments: &DescribeArguments) -> anyhow::Result<String> {
    let client = arguments.server.client()?;
    let DescribeArguments { kind, name, output, .. } = arguments;
    let (document, text): (Value, fn(&Value) -> String) = match kind {
        Kind::Workloads => (workload_document(&client, name).await?, workload),
        Kind::Containers => (json!({"container": one(&client, *kind, name).await?}), container),
        Kind::Policies => (json!({"policy": one(&client, *kind, name).await?}), policy),
    };
    output.show(&document, std::slice::from_ref(name), || text(&document))
}

/// `{"workload": VIEW, "health": […], "decisions": [{"id", "at", "target", "held_by", "reason"}]}`, decisions newest first.
async fn workload_document(client: &Remote, name: &str) -> anyhow::Result<Value> {
    let view = client.get(&["workloads", name]).await?;
    let health = client.get(&["workloads", name, "health"]).await?;
    let limit = [("limit", NEWEST.to_string())];
    let decisions = client.get_where(&["workloads", name, "decisions"], &limit).await?;
    let short = |decision: &Value| {
        let mut short = json!({"at": time(&decision["at"])});
        for field in ["id", "target", "held_by", "reason"] {
            short[field] = decision[field].clone();
        }
        short
    };
    let decisions: Vec<Value> = list(&decisions["decisions"]).iter().map(short).collect();
    Ok(json!({"workload": view, "health": health["health"], "decisions": decisions}))
}

/// Lines of `Name: value`.
#[derive(Default)]
struct Sheet(String);

impl Sheet {
    /// Adds a line, unless the value is empty.
    fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(self.0, "{:<14}{value}", format!("{name}:"));
        }
    }

    /// Adds a heading with indented lines below it, unless there are none.
    fn block(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            let _ = writeln!(self.0, "{name}:");
            text.lines().for_each(|line| {
                let _ = writeln!(self.0, "  {line}");
            });
        }
    }
}

fn workload(document: &Value) -> String {
    let view = &document["workload"];
    let (desired, observed) = (&view["desired"], &view["observed"]);
    let mut sheet = Sheet::default();
    sheet.line("Name", title(view));
    sheet.line("Image", word(&view["image"]));
    let service = [word(&view["project"]), word(&view["service"])].map(str::to_owned).join(" ");
    sheet.line("Declared by", format!("{} {}", word(&view["declared_by"]), service.trim()).trim_end());
    sheet.line("Mode", word(&desired["mode"]));
    sheet.line(
        "Replicas",
        format!(
            "{} running, target {}, bounds {} to {}, {} held, {} outdated",
            observed["running"],
            desired["target"],
            desired["min_replicas"],
            desired["max_replicas"],
            observed["held"],
            observed["outdated"]
        ),
    );
    sheet.line("Overrides", or_none(&overrides(&desired["overrides"]).join(", ")));
    sheet.line("Scaling", policies(&desired["scaling_policy"]));
    sheet.line("Health", policies(&desired["health_policy"]));
    sheet.line("Shadows", policies(&desired["shadow_policies"]));
    let names = |value: &Value| list(value).iter().map(word).collect::<Vec<_>>().join(", ");
    sheet.line("Depends on", names(&desired["depends_on"]));
    let stopped = names(&observed["stopped_outside"]);
    if !stopped.is_empty() {
        sheet.line("Stopped", format!("{stopped} (outside of Windlass)"));
    }
    let pass = &view["last_pass"];
    let reason = pass["error"].as_str().or(pass["reason"].as_str()).unwrap_or("there was none yet");
    sheet.line("Last pass", format!("{} {reason}", time(&pass["at"])).trim_start());
    sheet.block("Alerts", &alerts(view).join("\n"));
    let mut replicas = Table::new(&["NAME", "PHASE", "HEALTH", "CPU", "MEMORY", "REASON"]);
    let containers = list(&observed["containers"]);
    for container in containers {
        let used = list(&document["health"]).iter().find(|one| one["container_id"] == container["container_id"]);
        let used = used.unwrap_or(&Value::Null);
        let cells = ["name", "phase", "health"].map(|field| word(&container[field]).to_owned());
        let used = [percent(&used["cpu_percent"]), percent(&used["mem_percent"])];
        replicas.row(cells.into_iter().chain(used).chain([word(&container["health_reason"]).to_owned()]));
    }
    sheet.block("Containers", &if containers.is_empty() { String::new() } else { replicas.fitted(None) });
    let decisions = list(&document["decisions"]).iter();
    let decisions: Vec<String> = decisions
        .map(|decision| format!("{} {}: {}", word(&decision["at"]), decision["target"], word(&decision["reason"])))
        .collect();
    sheet.block("Decisions", &decisions.join("\n"));
    sheet.0
}

fn container(document: &Value) -> String {
    let container = &document["container"];
    let mut sheet = Sheet::default();
    for (name, field) in [
        ("Name", "name"),
        ("Workload", "workload"),
        ("Identifier", "container_id"),
        ("Status", "status"),
        ("Phase", "phase"),
        ("Health", "health"),
        ("Reason", "health_reason"),
    ] {
        sheet.line(name, word(&container[field]));
    }
    sheet.line("CPU", percent(&container["cpu_percent"]));
    sheet.line("Memory", percent(&container["mem_percent"]));
    for (name, field) in [("Created", "created_at"), ("Started", "started_at"), ("Finished", "finished_at")] {
        sheet.line(name, time(&container[field]));
    }
    sheet.line("Exit code", container["exit_code"].as_i64().map(|code| code.to_string()).unwrap_or_default());
    let flags = [
        ("out_of_memory", "killed for its memory"),
        ("outdated", "outdated"),
        ("scale_in_protection", "protected from scale-in"),
    ];
    let flags: Vec<&str> =
        flags.iter().filter(|(field, _)| container[field] == true).map(|(_, words)| *words).collect();
    sheet.line("Notes", flags.join(", "));
    let ports = container["ports"].as_object().into_iter().flatten();
    let ports: Vec<String> = ports
        .flat_map(|(port, bindings)| {
            let shown =
                |binding: &Value| format!("{port} at {}:{}", word(&binding["HostIp"]), word(&binding["HostPort"]));
            list(bindings).iter().map(shown).collect::<Vec<_>>()
        })
        .collect();
    sheet.line("Ports", ports.join(", "));
    sheet.0
}

fn policy(document: &Value) -> String {
    let policy = &document["policy"];
    let mut sheet = Sheet::default();
    for (name, field) in [
        ("Name", "name"),
        ("Kind", "kind"),
        ("Version", "version"),
        ("Summary", "summary"),
        ("Digest", "digest"),
        ("Source", "source"),
        ("Problem", "source_problem"),
    ] {
        sheet.line(name, word(&policy[field]));
    }
    let number = |value: &Value| value.as_u64().map(|number| format!("revision {number}")).unwrap_or_default();
    let acts = match policy["acting"].as_u64() {
        Some(0) => "the built-in component".to_owned(),
        Some(_) => number(&policy["acting"]),
        None => "no revision".to_owned(),
    };
    sheet.line("Acts", acts);
    sheet.line("Candidate", number(&policy["candidate"]));
    let failures = policy["failures"].as_object().into_iter().flatten();
    let failures = failures.filter(|(_, count)| **count != 0);
    let failures: Vec<String> = failures.map(|(kind, count)| format!("{count} {kind}")).collect();
    sheet.line("Failures", or_none(&failures.join(", ")));
    let revisions = list(&policy["revisions"]).iter().map(|revision| {
        let state = match (&revision["acting"], revision["quarantined"].as_str()) {
            (_, Some(why)) => format!("quarantined: {why}"),
            (Value::Bool(true), None) => "acts".to_owned(),
            _ => "stored".to_owned(),
        };
        let (at, by) = (time(&revision["loaded_at"]), word(&revision["loaded_by"]));
        format!("{} {} by {by} at {at}: {state}", revision["number"], word(&revision["version"]))
    });
    sheet.block("Revisions", &revisions.collect::<Vec<_>>().join("\n"));
    let events = list(&policy["events"]).iter().take(NEWEST);
    let events =
        events.map(|event| format!("{} revision {}: {}", time(&event["at"]), event["revision"], word(&event["what"])));
    sheet.block("Events", &events.collect::<Vec<_>>().join("\n"));
    let schema = &policy["config_schema"];
    sheet.block("Configuration", &if schema.is_object() { format!("{schema:#}") } else { String::new() });
    sheet.0
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_described_with_what_explains_it() {
        let document = json!({
            "workload": {
                "image": "web:1", "name": "web", "declared_by": "compose", "project": "shop", "service": "web",
                "desired": {"mode": "act", "target": 2, "min_replicas": 1, "max_replicas": 5, "overrides": {"paused": true},
                    "scaling_policy": {"name": "step", "config": {"a": 1}}, "health_policy": null, "shadow_policies": [],
                    "depends_on": ["db"]},
                "observed": {"running": 1, "held": 0, "outdated": 0, "stopped_outside": [], "containers": [
                    {"container_id": "a", "name": "web-1", "phase": "running", "health": "unhealthy",
                        "health_reason": "port 80 is closed"}]},
                "alerts": [{"since": "2026-01-01T00:00:00Z", "reason": "it crashed"}],
                "last_pass": {"at": "2026-01-01T00:00:00Z", "error": null, "reason": "scaling is paused"},
            },
            "health": [{"container_id": "a", "cpu_percent": 12.0, "mem_percent": 3.5}],
            "decisions": [{"at": "2026-01-01T00:00:00Z", "target": 2, "reason": "scaling is paused"}],
        });
        insta::assert_snapshot!(workload(&document), @r#"
        Name:         web
        Image:        web:1
        Declared by:  compose shop web
        Mode:         act
        Replicas:     1 running, target 2, bounds 1 to 5, 0 held, 0 outdated
        Overrides:    paused
        Scaling:      step {"a":1}
        Health:       default
        Shadows:      none
        Depends on:   db
        Last pass:    2026-01-01T00:00:00Z scaling is paused
        Alerts:
          it crashed (since 2026-01-01T00:00:00Z)
        Containers:
          NAME   PHASE    HEALTH     CPU     MEMORY  REASON
          web-1  running  unhealthy  12.0 %  3.5 %   port 80 is closed
        Decisions:
          2026-01-01T00:00:00Z 2: scaling is paused
        "#);
    }

    #[test]
    fn replicas_that_were_stopped_outside_are_named() {
        let of = |stopped: Value| workload(&json!({"workload": {"observed": {"stopped_outside": stopped}}}));
        let text = of(json!(["web-2", "web-3"]));
        assert!(text.contains("\nStopped:      web-2, web-3 (outside of Windlass)\n"), "{text}");
        assert!(!of(json!([])).contains("Stopped"));
    }

    #[test]
    fn a_container_and_a_policy_are_described() {
        let replica = json!({"name": "web-1", "workload": "web", "container_id": "a", "status": "exited", "exit_code": 137,
            "out_of_memory": true, "ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}});
        insta::assert_snapshot!(container(&json!({"container": replica})), @r"
        Name:         web-1
        Workload:     web
        Identifier:   a
        Status:       exited
        Exit code:    137
        Notes:        killed for its memory
        Ports:        80/tcp at 0.0.0.0:8080
        ");
        let listed = json!({"name": "queue", "kind": "scaling", "version": "1.0.0", "acting": 2, "candidate": null,
            "failures": {"trap": 2, "time": 0},
            "revisions": [{"number": 2, "version": "1.0.0", "loaded_at": "2026-01-01T00:00:00Z", "loaded_by": "ada",
                "acting": true, "quarantined": null}],
            "events": [{"at": "2026-01-01T00:00:00Z", "revision": 2, "what": "it acts"}]});
        insta::assert_snapshot!(policy(&json!({"policy": listed})), @r"
        Name:         queue
        Kind:         scaling
        Version:      1.0.0
        Acts:         revision 2
        Failures:     2 trap
        Revisions:
          2 1.0.0 by ada at 2026-01-01T00:00:00Z: acts
        Events:
          2026-01-01T00:00:00Z revision 2: it acts
        ");
    }
}

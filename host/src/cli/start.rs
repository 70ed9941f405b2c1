//! `windlass start`: starts the workloads of a file, or a workload that `windlass stop` stopped.

use crate::cli::format::Output;
use crate::cli::output::print_error;
use crate::cli::server::Server;
use crate::cli::waiting::{Condition, WaitFlags};
use crate::cli::words::word;
use crate::cli::workload_file::{self, Declared};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use windlass_network::remote::Remote;

/// The fields of `desired` that a start does not change.
pub(super) const READ_ONLY: [&str; 2] = ["target", "overrides"];

/// `windlass start …`
#[derive(Debug, Args)]
pub(super) struct StartArguments {
    /// Name of a workload that was stopped
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    name: Option<String>,
    /// File with workloads in JSON, YAML or TOML: start requests, or the output of `windlass get -o json|yaml`; `-` reads
    /// standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Pull each image first; another image under the same name is rolled out
    #[arg(long)]
    pull: bool,
    /// The flags of a wait.
    #[command(flatten)]
    wait: WaitFlags,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints.
pub(super) async fn run(arguments: &StartArguments) -> anyhow::Result<String> {
    let client = arguments.server.client()?;
    let workloads = match (&arguments.file, &arguments.name) {
        (Some(file), _) => declared(&client, file).await?,
        (None, Some(name)) => vec![stopped(&client, name).await?],
        (None, None) => bail!("name a workload, or pass `-f FILE`"),
    };
    let mut started: Vec<(String, Value)> = Vec::new();
    let query: Vec<_> = arguments.pull.then(|| ("pull", "true".to_owned())).into_iter().collect();
    for Declared { name, body, .. } in workloads {
        let answer = client.post_json(&["start", "container"], &query, &body).await.with_context(|| {
            let before: Vec<&str> = started.iter().map(|(name, _)| name.as_str()).collect();
            let before = if before.is_empty() { String::new() } else { format!(" (started: {})", before.join(", ")) };
            format!("cannot start `{name}`{before}")
        })?;
        started.push((name, answer));
    }
    for (name, _) in &started {
        arguments.wait.wait(&client, name, Condition::RolledOut).await?;
    }
    let names: Vec<String> = started.iter().map(|(name, _)| name.clone()).collect();
    let text = || started.iter().map(|(name, answer)| line(name, answer)).collect();
    arguments.output.show(&document(&started), &names, text)
}

/// The workloads of a file. Sentences on standard error name the parts of it that no start request changes.
async fn declared(client: &Remote, file: &Path) -> anyhow::Result<Vec<Declared>> {
    let declarations = workload_file::read(file)?;
    note_adopted(&declarations.adopted)?;
    for Declared { name, overrides, .. } in &declarations.workloads {
        let Some(overrides) = overrides else { continue };
        let current = match client.get(&["workloads", name]).await {
            Ok(view) => view["desired"]["overrides"].clone(),
            Err(error) if error.status() == Some(404) => Value::Null,
            Err(error) => return Err(error.into()),
        };
        if current != *overrides && !is_nothing(overrides) {
            print_error(&format!(
                "note: the `overrides` of `{name}` in the file are not applied; use `windlass scaling`\n"
            ))?;
        }
    }
    Ok(declarations.workloads)
}

/// Prints a note about each adopted workload of a file, which is left out.
pub(super) fn note_adopted(names: &[String]) -> anyhow::Result<()> {
    for name in names {
        print_error(&format!("note: `{name}` is left out, because labels of its service declare it\n"))?;
    }
    Ok(())
}

/// Returns true if no override is set.
fn is_nothing(overrides: &Value) -> bool {
    overrides.as_object().is_some_and(|fields| fields.values().all(|value| value.is_null() || *value == false))
}

/// A workload that is to run again. Its held containers run first, so that no new ones are created in their place.
async fn stopped(client: &Remote, name: &str) -> anyhow::Result<Declared> {
    let declared = with_status(client, name, "running").await?;
    let view = client.get(&["workloads", name]).await?;
    let containers = view["observed"]["containers"].as_array().into_iter().flatten();
    for container in containers.filter(|container| container["phase"] == "held") {
        let id = container["container_id"].as_str().unwrap_or_default();
        client.patch(&["containers", id], &json!({"status": "running"})).await?;
    }
    Ok(declared)
}

/// A managed workload as it is declared, except for its status.
pub(super) async fn with_status(client: &Remote, name: &str, status: &str) -> anyhow::Result<Declared> {
    let mut view = client.get(&["workloads", name]).await?;
    let mut body = view["desired"].take();
    let Some(resources) = body["resources"].as_object_mut() else {
        bail!(
            "labels of its service declare `{name}`; stop and start its containers with `windlass container`, or change \
             the service"
        );
    };
    resources.insert("status".to_owned(), json!(status));
    body.as_object_mut().into_iter().for_each(|fields| fields.retain(|field, _| !READ_ONLY.contains(&field.as_str())));
    Ok(Declared { name: name.to_owned(), body, overrides: None })
}

/// `{"workloads": [{"workload", …ANSWER}]}`
fn document(started: &[(String, Value)]) -> Value {
    let with_name = |(name, answer): &(String, Value)| {
        let mut one = answer.clone();
        one["workload"] = json!(name);
        one
    };
    json!({"workloads": started.iter().map(with_name).collect::<Vec<_>>()})
}

/// One line about a started workload.
pub(super) fn line(workload: &str, answer: &Value) -> String {
    match word(&answer["action"]) {
        "waiting" => format!("{workload}: stored; {}\n", word(&answer["detail"])),
        action => format!("{workload}: {action} {}\n", word(&answer["name"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_in_one_line() {
        assert_eq!(line("web", &json!({"action": "created", "name": "web-1"})), "web: created web-1\n");
        let waiting = json!({"action": "waiting", "detail": "scaling is paused"});
        assert_eq!(line("web", &waiting), "web: stored; scaling is paused\n");
        let document = document(&[("web".to_owned(), json!({"action": "created"}))]);
        assert_eq!(document, json!({"workloads": [{"workload": "web", "action": "created"}]}));
    }

    #[test]
    fn empty_overrides_are_nothing_to_note() {
        assert!(is_nothing(&json!({"paused": false, "force": null})));
        assert!(!is_nothing(&json!({"paused": true, "force": null})));
    }
}

//! `windlass diff`: the changes that `windlass start -f` would make.

use crate::cli::format::Output;
use crate::cli::output::{DIFFERENT, Printed};
use crate::cli::server::Server;
use crate::cli::start::{READ_ONLY, note_adopted};
use crate::cli::workload_file::{self, Declarations, Declared};
use anyhow::anyhow;
use clap::Args;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use windlass_api::start::desired;
use windlass_core::quantity::{Cpu, Memory};
use windlass_network::remote::Remote;

/// The fields that get their default if a start request leaves them out. It keeps all others.
const WITH_DEFAULT: [&str; 4] = ["env", "ports", "min_replicas", "max_replicas"];

/// `windlass diff …`
#[derive(Debug, Args)]
pub(super) struct DiffArguments {
    /// File with workloads, as for `windlass start`; `-` reads standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: PathBuf,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// A field that differs; `None` if it is absent.
#[derive(Debug, PartialEq)]
struct Change {
    /// JSON pointer.
    field: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// The changes of one workload.
struct Changes {
    name: String,
    exists: bool,
    changes: Vec<Change>,
}

/// The text the command prints, and whether there is a difference as its exit code.
pub(super) async fn run(arguments: &DiffArguments) -> anyhow::Result<Printed> {
    let client = arguments.server.client()?;
    let Declarations { workloads, adopted } = workload_file::read(&arguments.file)?;
    note_adopted(&adopted)?;
    let mut all = Vec::new();
    for declared in workloads {
        all.push(changes(&client, declared).await?);
    }
    let is_different = |one: &Changes| !one.exists || !one.changes.is_empty();
    let names: Vec<String> = all.iter().filter(|one| is_different(one)).map(|one| one.name.clone()).collect();
    let text = arguments.output.show(&document(&all), &names, || all.iter().map(text).collect())?;
    Ok(Printed { text, status: if names.is_empty() { 0 } else { DIFFERENT } })
}

async fn changes(client: &Remote, Declared { name, body, .. }: Declared) -> anyhow::Result<Changes> {
    let current = match client.get(&["workloads", &name]).await {
        Ok(view) if view["declared_by"] != "api" => {
            return Err(anyhow!("labels of its service declare `{name}`; change the labels instead"));
        }
        Ok(view) => view["desired"].clone(),
        Err(error) if error.status() == Some(404) => Value::Null,
        Err(error) => return Err(error.into()),
    };
    let wanted = desired(&merged(&current, &body)).map_err(|why| anyhow!("`{name}`: {}", why.detail()))?;
    let mut changes = Vec::new();
    compare("", Some(&current), Some(&wanted), &mut changes);
    Ok(Changes { name, exists: !current.is_null(), changes })
}

/// The start request with what an existing workload keeps.
fn merged(current: &Value, body: &Value) -> Value {
    let mut merged: Map<String, Value> = current.as_object().cloned().unwrap_or_default();
    merged.retain(|field, _| !WITH_DEFAULT.contains(&field.as_str()) && !READ_ONLY.contains(&field.as_str()));
    merged.extend(body.as_object().cloned().unwrap_or_default());
    merged.into()
}

/// Adds the differences below a JSON pointer. Lists are compared as a whole.
fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
    let (old, new) = (fields(before), fields(after));
    // A new workload is compared with nothing.
    let old = if pointer.is_empty() { old.or_else(|| Some(Map::new())) } else { old };
    if let (Some(old), Some(new)) = (old, new) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names.into_iter().filter(|name| !pointer.is_empty() || !READ_ONLY.contains(&name.as_str())) {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            compare(&format!("{pointer}/{escaped}"), old.get(name), new.get(name), changes);
        }
    } else if meaning(pointer, before) != meaning(pointer, after) {
        changes.push(Change { field: pointer.to_owned(), before: before.cloned(), after: after.cloned() });
    }
}

/// A value for a comparison: limits are numbers, because `500m` is `0.5`; an absent value is null.
fn meaning(pointer: &str, value: Option<&Value>) -> Value {
    let text = value.and_then(Value::as_str);
    let number = match pointer {
        "/resources/cpu" => text.and_then(|text| Some(text.parse::<Cpu>().ok()?.nano_cores())),
        "/resources/memory" => text.and_then(|text| Some(text.parse::<Memory>().ok()?.bytes())),
        _ => None,
    };
    number.map(Value::from).or_else(|| value.cloned()).unwrap_or_default()
}

/// `{"workloads": [{"workload", "exists", "changes": [{"field", "before", "after"}]}]}`
fn document(all: &[Changes]) -> Value {
    let change = |Change { field, before, after }: &Change| json!({"field": field, "before": before, "after": after});
    let one = |Changes { name, exists, changes }: &Changes| json!({"workload": name, "exists": exists, "changes": changes.iter().map(change).collect::<Vec<_>>()});
    json!({"workloads": all.iter().map(one).collect::<Vec<_>>()})
}

fn text(Changes { name, exists, changes }: &Changes) -> String {
    let mut text = match (exists, changes.len()) {
        (false, _) => format!("{name}: would be created\n"),
        (true, 0) => format!("{name}: no change\n"),
        (true, 1) => format!("{name}: 1 field would change\n"),
        (true, count) => format!("{name}: {count} fields would change\n"),
    };
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string);
    for Change { field, before, after } in changes {
        text += &match exists {
            true => format!("  {field}: {} -> {}\n", shown(before), shown(after)),
            false => format!("  {field}: {}\n", shown(after)),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(body: &Value) -> Value {
        super::desired(body).expect("a start request")
    }

    fn between(current: &Value, body: &Value) -> Vec<String> {
        let mut changes = Vec::new();
        compare("", Some(current), Some(&desired(&merged(current, body))), &mut changes);
        let all = Changes { name: "web".to_owned(), exists: true, changes };
        text(&all).lines().map(|line| line.trim().to_owned()).collect()
    }

    fn body() -> Value {
        json!({
            "image": "web:1", "name": "web", "max_replicas": 5, "resources": {"cpu": "0.5", "memory": "128m"},
            "env": {"A": "1"}, "guardrails": {"grace": "5m"},
        })
    }

    #[test]
    fn another_spelling_is_no_change_and_an_absent_field_is_kept() {
        let current = desired(&body());
        let mut same = body();
        same["resources"] = json!({"cpu": "500m", "memory": "134217728"});
        same["guardrails"] = json!({"grace": 300});
        assert_eq!(between(&current, &same), ["web: no change"]);
        same.as_object_mut().expect("an object").remove("guardrails");
        assert_eq!(between(&current, &same), ["web: no change"], "guardrails are kept");
        assert_eq!(between(&current, &current), ["web: no change"], "the answer of GET changes nothing");
    }

    #[test]
    fn each_field_that_would_change_is_named() {
        let current = desired(&body());
        let mut other = body();
        other["env"] = json!({"B/C": "2"});
        other["max_replicas"] = json!(8);
        other["depends_on"] = json!(["db"]);
        assert_eq!(
            between(&current, &other),
            [
                "web: 4 fields would change",
                r#"/depends_on: [] -> ["db"]"#,
                r#"/env/A: "1" -> absent"#,
                r#"/env/B~1C: absent -> "2""#,
                "/max_replicas: 5 -> 8",
            ]
        );
        other.as_object_mut().expect("an object").remove("env");
        assert!(between(&current, &other).contains(&r#"/env/A: "1" -> absent"#.to_owned()), "`env` gets its default");
    }

    #[test]
    fn a_new_workload_is_listed_as_a_whole() {
        let mut changes = Vec::new();
        compare("", Some(&Value::Null), Some(&desired(&merged(&Value::Null, &body()))), &mut changes);
        assert!(changes.iter().all(|change| change.before.is_none()), "{changes:?}");
        assert!(changes.iter().any(|change| change.field == "/image"), "{changes:?}");
        let all = [Changes { name: "web".to_owned(), exists: false, changes }];
        assert!(text(&all[0]).starts_with("web: would be created\n  /depends_on: []\n"), "{}", text(&all[0]));
        assert_eq!(document(&all)["workloads"][0]["exists"], false);
    }
}

//! `windlass get -w` for each kind of resource, in each form.

use crate::commands::SOON;
use crate::commands::place::Place;
use serde_json::Value;
use windlass_builtin::MIN_MAX;
use windlass_tests::commands::{Caller, Collected, Running};
use windlass_tests::hostile;
use windlass_tests::wait::eventually;

/// A command that follows, with its output so far.
struct Follower {
    command: Running,
    output: Collected,
}

impl Follower {
    fn begin(caller: &Caller, arguments: &[&str], form: &str) -> anyhow::Result<Self> {
        let mut command = caller.begin(&[&["get"][..], arguments, &["-w", "-o", form]].concat())?;
        let output = command.collect();
        Ok(Self { command, output })
    }

    async fn until(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        eventually(what, SOON, async || {
            let text = self.output.text();
            if is_there(&text) { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

/// Followers of the same resources in each form.
struct Followers {
    table: Follower,
    json: Follower,
    yaml: Follower,
    name: Follower,
}

impl Followers {
    /// Begins all four, and waits until each has printed the resource of this name.
    async fn begin(caller: &Caller, arguments: &[&str], name: &str) -> anyhow::Result<Self> {
        let begin = |form| Follower::begin(caller, arguments, form);
        let all = Self { table: begin("table")?, json: begin("json")?, yaml: begin("yaml")?, name: begin("name")? };
        for follower in [&all.table, &all.json, &all.yaml, &all.name] {
            follower.until(&format!("{arguments:?}: {name} at the beginning"), |text| text.contains(name)).await;
        }
        Ok(all)
    }

    /// Waits until each form has a line with the change: a cell of the table, and a field of the documents.
    async fn see(&self, name: &str, cell: &str, field: &str, value: &Value) {
        let in_row = |text: &str| text.lines().any(|line| line.starts_with(name) && line.contains(cell));
        self.table.until(&format!("{cell} in the table"), in_row).await;
        let documents = |text: &str| -> Vec<Value> {
            // The last line may not be complete yet.
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        };
        let in_documents = |text: &str| documents(text).iter().any(|document| document.pointer(field) == Some(value));
        self.json.until(&format!("{field} in the JSON lines"), in_documents).await;
        let last = field.rsplit('/').next().unwrap_or_default();
        let in_yaml = |text: &str| {
            text.starts_with("---\n") && text.lines().any(|line| line.trim() == format!("{last}: {}", plain(value)))
        };
        self.yaml.until(&format!("{field} in the YAML stream"), in_yaml).await;
        let names = |text: &str| text.lines().filter(|line| *line == name).count() >= 2;
        self.name.until(&format!("{name} a second time"), names).await;
    }

    /// Waits until each form says that a resource is gone.
    async fn see_removal(&self, name: &str) {
        let in_row = |text: &str| text.lines().any(|line| line.starts_with(name) && line.ends_with("removed"));
        self.table.until("the removal in the table", in_row).await;
        let line = format!("{{\"removed\":\"{name}\"}}");
        self.json.until("the removal in the JSON lines", |text| text.lines().any(|found| found == line)).await;
        self.yaml.until("the removal in YAML", |text| text.contains(&format!("---\nremoved: {name}\n"))).await;
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[tokio::test]
async fn a_follower_of_each_kind_prints_each_change_in_each_form() -> anyhow::Result<()> {
    let place = Place::new("followers").await?;
    let caller = &place.caller;
    place.windlass.post("/start/container", place.web("1")).await.ok();
    place.windlass.put_component("/policies/queue", MIN_MAX.to_vec()).await.ok();
    let container = place.container().await;

    let policies = Followers::begin(caller, &["policies"], "queue").await?;
    place.windlass.put_component("/policies/queue", hostile::proposes(2).build()).await.ok();
    policies.see("queue", "revision 2", "/acting", &Value::from(2)).await;
    caller.run(&["policy", "delete", "queue"])?.ok();
    policies.see_removal("queue").await;
    drop(policies);

    let containers = Followers::begin(caller, &["containers", "--workload", "web"], &container).await?;
    caller.run(&["container", "stop", &container, "--wait"])?.ok();
    containers.see(&container, "held", "/phase", &Value::from("held")).await;
    caller.run(&["container", "remove", &container])?.ok();
    containers.see_removal(&container).await;
    drop(containers);

    let workloads = Followers::begin(caller, &["workloads"], "web").await?;
    caller.run(&["scale", "web", "--max", "4"])?.ok();
    workloads.see("web", "1-4", "/desired/max_replicas", &Value::from(4)).await;

    // Followers of one workload, and of its containers, end with it.
    let containers = Follower::begin(caller, &["containers", "--workload", "web"], "name")?;
    containers.until("a replica", |text| !text.is_empty()).await;
    let workload = Follower::begin(caller, &["workloads", "web"], "name")?;
    workload.until("the workload", |text| text.contains("web")).await;
    caller.run(&["stop", "web", "--remove"])?.ok();
    workloads.see_removal("web").await;
    for mut follower in [containers, workload] {
        let ended = async || follower.command.0.try_wait().ok().flatten().ok_or("it follows".to_owned());
        let status = eventually("the end of a follower", SOON, ended).await;
        assert!(status.success(), "{status}: {}", follower.output.text());
    }
    place.close().await
}

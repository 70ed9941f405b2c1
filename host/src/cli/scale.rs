//! `windlass scale`: changes the bounds of a workload's number of replicas.

use crate::cli::format::Output;
use crate::cli::output::WrongUse;
use crate::cli::server::Server;
use crate::cli::waiting::{Condition, WaitFlags};
use crate::cli::words::word;
use clap::Args;
use serde_json::{Value, json};

/// `windlass scale …`
#[derive(Debug, Args)]
pub(super) struct ScaleArguments {
    /// Name of the workload, or its image
    name: String,
    /// Both bounds at once: the number of replicas from now on
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000), required_unless_present_any = ["min", "max"],
        conflicts_with_all = ["min", "max"])]
    replicas: Option<u32>,
    /// The fewest replicas [default: as it is]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    min: Option<u32>,
    /// The most replicas [default: as it is]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    max: Option<u32>,
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
pub(super) async fn run(arguments: &ScaleArguments) -> anyhow::Result<String> {
    let client = arguments.server.client()?;
    let ScaleArguments { name, replicas, min, max, wait, output, .. } = arguments;
    let body = match (replicas, min, max) {
        (Some(count), _, _) => json!({"min_replicas": count, "max_replicas": count}),
        (None, Some(min), Some(max)) => json!({"min_replicas": min, "max_replicas": max}),
        _ => with_current(&client.get(&["workloads", name]).await?, *min, *max)?,
    };
    let answer = client.post_json(&["workloads", name, "scale"], &[], &body).await?;
    wait.wait(&client, name, Condition::Ready).await?;
    output.show(&document(name, &answer), std::slice::from_ref(name), || text(name, &answer))
}

/// Both bounds, of which one is the current one.
fn with_current(view: &Value, min: Option<u32>, max: Option<u32>) -> Result<Value, WrongUse> {
    let bound =
        |given: Option<u32>, field: &str| given.map_or_else(|| view["desired"][field].clone(), |bound| json!(bound));
    let (lowest, highest) = (bound(min, "min_replicas"), bound(max, "max_replicas"));
    if lowest.as_u64() > highest.as_u64() {
        let (flag, other) = if min.is_some() { ("--max", &lowest) } else { ("--min", &highest) };
        return Err(WrongUse(format!(
            "the fewest replicas ({lowest}) would be more than the most replicas ({highest}); pass `{flag} {other}` too"
        )));
    }
    Ok(json!({"min_replicas": lowest, "max_replicas": highest}))
}

/// `{"workload", "min_replicas", "max_replicas", "actions": […], "containers": […]}`
fn document(name: &str, answer: &Value) -> Value {
    let desired = &answer["desired"];
    json!({
        "workload": name, "min_replicas": desired["min_replicas"], "max_replicas": desired["max_replicas"],
        "actions": answer["actions"], "containers": answer["current"],
    })
}

fn text(name: &str, answer: &Value) -> String {
    let desired = &answer["desired"];
    let mut text = format!("{name}: {} to {} replicas\n", desired["min_replicas"], desired["max_replicas"]);
    for action in answer["actions"].as_array().into_iter().flatten() {
        let details = &action["details"];
        let what =
            action["name"].as_str().or(details["name"].as_str()).map(|name| format!(" {name}")).unwrap_or_default();
        let failure = details["error"].as_str().map(|error| format!("; it failed: {error}")).unwrap_or_default();
        text += &format!("  {}{what}: {}{failure}\n", word(&action["action"]), word(&details["reason"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bound_keeps_the_other() {
        let view = json!({"desired": {"min_replicas": 2, "max_replicas": 5}});
        let bounds = |min, max| with_current(&view, min, max).map_err(|error| error.0);
        assert_eq!(bounds(Some(1), None), Ok(json!({"min_replicas": 1, "max_replicas": 5})));
        assert_eq!(bounds(None, Some(9)), Ok(json!({"min_replicas": 2, "max_replicas": 9})));
        let error = "the fewest replicas (6) would be more than the most replicas (5); pass `--max 6` too";
        assert_eq!(bounds(Some(6), None), Err(error.to_owned()));
        let error = "the fewest replicas (2) would be more than the most replicas (1); pass `--min 1` too";
        assert_eq!(bounds(None, Some(1)), Err(error.to_owned()));
    }

    #[test]
    fn the_actions_of_the_pass_are_listed() {
        let answer = json!({"desired": {"min_replicas": 1, "max_replicas": 2}, "current": [], "actions": [
            {"action": "create", "ok": true, "details": {"name": "web-2", "reason": "1 of 2 replicas exist"}},
            {"action": "remove", "ok": false, "name": "web-3", "details": {"reason": "too many", "error": "busy"}},
        ]});
        let expected =
            "web: 1 to 2 replicas\n  create web-2: 1 of 2 replicas exist\n  remove web-3: too many; it failed: busy\n";
        assert_eq!(text("web", &answer), expected);
    }
}

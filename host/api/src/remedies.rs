//! The ways to change the target of a workload, for people who ask why it does not change.

use crate::answer::{clause, list, span, time, title, workload_metrics};
use serde_json::Value;

/// The ways to change the target of a workload, one sentence or two each.
///
/// `view` is the answer of `GET /workloads/{name}`, and `decision` the newest one of `GET /workloads/{name}/decisions`.
pub fn remedies(view: &Value, decision: &Value) -> Vec<String> {
    let overrides = &view["desired"]["overrides"];
    let workload = title(view);
    let mut all: Vec<String> = Vec::new();
    for (field, what, name) in [
        ("paused", "scaling", "pause"),
        ("freeze_scale_up", "scale-out", "freeze-up"),
        ("freeze_scale_down", "scale-in", "freeze-down"),
    ] {
        if overrides[field] == true {
            let done = if name == "pause" { "paused" } else { "froze" };
            all.push(format!("An operator {done} {what}; `windlass scaling resume {workload} {name}` ends that."));
        }
    }
    if overrides["force"].is_object() {
        let until = time(&overrides["force"]["until"]);
        all.push(format!(
            "An operator forced the count until {until}; `windlass scaling resume {workload} force` ends that."
        ));
    }
    if !list(&view["observed"]["stopped_outside"]).is_empty() {
        all.push(format!(
            "Replicas were stopped outside of Windlass; start them again, or run `windlass scaling resume {workload}`."
        ));
    }
    for series in workload_metrics(decision).filter(|series| series["failure"].is_string()) {
        let name = clause(&series["name"]);
        all.push(format!("`{name}` has no value, which blocks scale-in; repair the source of the metric."));
    }
    for alert in list(&decision["alerts"]).iter().filter(|alert| alert["kind"] == "given-up") {
        all.push(format!(
            "Slot {} is given up; remove its container, `PATCH` it to running, or start the workload again.",
            alert["slot"]
        ));
    }
    for alert in list(&decision["alerts"]).iter().filter(|alert| alert["kind"] == "rollout-paused") {
        let since = time(&alert["since"]);
        all.push(format!(
            "The rollout is paused since {since}; start the workload again with a corrected state, or return with `POST \
             /workloads/{workload}/rollback`."
        ));
    }
    all.extend(remedy_of_hold(view, decision));
    if !decision["recommended"].is_null() {
        let remedy = match label(view, "mode") {
            Some(label) => format!("the label `{label}` with the value `act`"),
            None => format!("`PUT /workloads/{workload}/policy` with `\"mode\": \"act\"`"),
        };
        let target = &decision["recommended"]["target"];
        all.push(format!("The workload only recommends a target of {target}; {remedy} applies it."));
    }
    all
}

/// The way to end the hold on the target; `None` if [`remedies`] already names it.
fn remedy_of_hold(view: &Value, decision: &Value) -> Option<String> {
    let desired = &view["desired"];
    let (raw, target) = (&decision["stages"]["raw"], &decision["stages"]["bounded"]);
    let is_out = raw.as_u64() > target.as_u64();
    let (direction, scaling, change, bound) = if is_out {
        ("scale_up", "Scale-out", "raise", "max_replicas")
    } else {
        ("scale_down", "Scale-in", "lower", "min_replicas")
    };
    let bound = label(view, bound).map_or_else(|| format!("`{bound}`"), |label| format!("the label `{label}`"));
    let guardrail = &desired["guardrails"][direction];
    let held = format!("Held at {target}: {} to {raw}", scaling.to_lowercase());
    Some(match clause(&decision["held_by"]) {
        "force" | "pause" | "freeze-up" | "freeze-down" | "stopped-outside" | "metrics" => return None,
        "stopped" => {
            "The workload is stopped; `POST /start/container` with `\"status\": \"running\"` starts it.".to_owned()
        }
        "dependency" => "A workload that this one depends on is down; the target can change once it runs.".to_owned(),
        "unavailable" => "The scaling policy must return an answer.".to_owned(),
        "still-to-come" => format!("{held} waits until every wanted replica serves."),
        "rollout" => format!("{held} waits until the rollout ends."),
        "update" => format!("{held} waits until the Swarm's update of the service is done, continued or rolled back."),
        "no-room" => {
            format!("{held} waits until the Swarm finds a node for every replica; the alert has its own reason.")
        }
        "window" => format!(
            "{held} waits because the window of {} still contains a proposal of {}.",
            span(&guardrail["window"]),
            decision["stages"]["stabilized"]
        ),
        "cooldown" => format!("{held} waits until the cooldown ends."),
        "rate" => format!("{held} takes several steps, because the guardrails limit its rate."),
        "disabled" => format!("{held} is disabled by the `select` of the guardrail `{direction}`."),
        "grace" => format!(
            "{held} waits until the workload's grace of {} ends, because the workload is new.",
            span(&desired["guardrails"]["grace"])
        ),
        "bounds" => format!("{held} is out of bounds; {change} {bound} to allow it."),
        _ => "Nothing holds the target; it changes when the policy proposes another count.".to_owned(),
    })
}

/// The label that sets a field of an adopted workload. `None` if a request can change the field.
fn label<'a>(view: &'a Value, field: &str) -> Option<&'a str> {
    view["read_only"][field][0].as_str()
}

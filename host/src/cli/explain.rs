//! `windlass explain`: explains in sentences why a workload has its count, and what would change the count.

use crate::cli::format::Output;
use crate::cli::moment::{Moment, moment};
use crate::cli::server::Server;
use crate::cli::words::counted;
use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write as _;
use windlass_api::answer::{clause, list, time, title, workload_metrics};
use windlass_api::remedies::remedies;
use windlass_network::remote::Remote;

/// `windlass explain …`
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// Name of the workload, or its image
    workload: String,
    /// Explain an earlier count: a time in RFC 3339 (`2026-01-01T12:00:00Z`) or an age (`10m`) [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Moment>,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints.
pub(super) async fn run(arguments: &ExplainArguments) -> anyhow::Result<String> {
    let client = arguments.server.client()?;
    let until = arguments.at.map(Moment::since_epoch);
    let (view, decision) = recorded(&client, &arguments.workload, until).await?;
    let text = explanation(&view, &decision, until.is_none());
    let sentences: Vec<&str> = text.lines().map(str::trim).collect();
    let document = json!({"workload": title(&view), "sentences": sentences, "decision": decision});
    arguments.output.show(&document, &[title(&view).to_owned()], || text.clone())
}

/// The newest decision about a workload in sentences.
pub(super) async fn newest(client: &Remote, workload: &str) -> anyhow::Result<String> {
    let (view, decision) = recorded(client, workload, None).await?;
    Ok(explanation(&view, &decision, true))
}

/// A workload, and its newest decision up to a time in milliseconds since the Unix epoch.
async fn recorded(client: &Remote, workload: &str, until: Option<u64>) -> anyhow::Result<(Value, Value)> {
    let view = client.get(&["workloads", workload]).await?;
    let query = [("limit", Some(1)), ("until", until)];
    let query = query.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
    let decisions = client.get_where(&["workloads", workload, "decisions"], &query.collect::<Vec<_>>()).await?;
    let Some(decision) = decisions["decisions"].get(0) else {
        let workload = workload.escape_debug();
        match until {
            Some(_) => bail!("no decision about `{workload}` is kept from that time or before; try a later `--at`"),
            None => bail!(
                "no decision about `{workload}` is recorded yet; `windlass describe workload {workload}` shows its \
                 last pass"
            ),
        }
    };
    Ok((view, decision.clone()))
}

/// A decision in sentences. The newest decision is followed by what would change the target.
fn explanation(view: &Value, decision: &Value, is_newest: bool) -> String {
    let scaling = &decision["scaling"];
    let mut text = String::new();
    let mut line = |sentence: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{sentence}");
    };
    line(format!(
        "{} has a target of {}, decided at {}: {}.",
        title(view),
        counted(decision["target"].as_u64().unwrap_or_default(), "replica"),
        time(&decision["at"]),
        clause(&decision["reason"])
    ));
    let policy = clause(&scaling["policy"]["name"]);
    if let Some(chosen) = scaling["policy"]["stands_in_for"].as_str() {
        let instead = match scaling["policy"]["revision"].as_u64() {
            Some(revision) if policy == chosen => format!("its revision {revision}"),
            _ => format!("the built-in policy `{policy}`"),
        };
        line(format!("The policy `{chosen}` fails or has no active revision, so {instead} takes its place."));
    }
    match scaling["answer"].get("unavailable") {
        Some(failure) => {
            line(format!("The scaling policy `{policy}` returned no answer: {}.", clause(&failure["reason"])));
        }
        None => line(format!(
            "The scaling policy `{policy}` proposed {}: {}.",
            scaling["answer"]["replicas"],
            clause(&scaling["answer"]["reason"])
        )),
    }
    if !list(&decision["omitted"]).is_empty() {
        line("The record lacks large parts of this decision, because a budget of the store was spent.".to_owned());
    }
    for series in workload_metrics(decision) {
        let newest = series["samples"].as_array().and_then(|samples| samples.last());
        let value = newest.map_or_else(|| "had no value".to_owned(), |sample| format!("was {}", sample["value"]));
        let failure = series["failure"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
        line(format!("Its input `{}` {value}{failure}.", clause(&series["name"])));
    }
    if let Some(stages) = stages(decision) {
        line(stages);
    }
    for deferred in list(&decision["deferred"]) {
        line(format!("Delayed until {}: {}.", time(&deferred["until"]), clause(&deferred["reason"])));
    }
    for alert in list(&decision["alerts"]) {
        line(format!("Needs attention since {}: {}.", time(&alert["since"]), clause(&alert["reason"])));
    }
    for step in list(&decision["steps"]) {
        line(format!("Step: {} ({}).", clause(&step["step"]), clause(&step["reason"])));
    }
    if is_newest {
        line(format!("{} of {} replicas are running now.", view["observed"]["running"], view["desired"]["target"]));
        line("What would change the target:".to_owned());
        remedies(view, decision).iter().for_each(|remedy| line(format!("  - {remedy}")));
    }
    text
}

/// A sentence about the limits of the host. `None` if the host took the proposal unchanged.
fn stages(decision: &Value) -> Option<String> {
    let of = |name: &str| decision["stages"][name].as_u64();
    let (raw, stabilized, limited, bounded) = (of("raw")?, of("stabilized")?, of("limited")?, of("bounded")?);
    if raw == bounded {
        return None;
    }
    // The record names only the last stage that changed the count.
    let first = match decision["held_by"].as_str() {
        Some("window" | "cooldown") => "windows and cooldowns",
        Some("force" | "pause" | "freeze-up" | "freeze-down") => "the operator's override",
        _ => "the checks before the rates",
    };
    Some(format!(
        "The host limited the proposal of {raw}: {stabilized} after {first}, {limited} after the rates, {bounded} after the bounds."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> Value {
        json!({
            "image": "web:1",
            "desired": {
                "target": 7, "min_replicas": 1, "max_replicas": 10,
                "guardrails": {"scale_down": {"window": 300.0}},
                "overrides": {"paused": false, "freeze_scale_up": false, "freeze_scale_down": false, "force": null},
            },
            "observed": {"running": 6},
        })
    }

    fn decision(raw: u64, failure: &Value) -> Value {
        json!({
            "at": 1_767_225_600_000_u64, "target": 7,
            "reason": "held at 7: scale-in waits until 00:05:00Z because the 5-minute window still contains a proposal of 7; `t` proposed 2: calm",
            "stages": {"raw": raw, "stabilized": 7, "limited": 7, "bounded": 7},
            "held_by": if raw == 7 { Value::Null } else { json!("window") },
            "scaling": {
                "policy": {"name": "t"},
                "answer": {"replicas": raw, "reason": "calm"},
                "observation": {"metrics": [
                    {"name": "requests", "replica": null, "samples": [{"at": 1, "value": 20.5}], "failure": failure},
                    {"name": "requests", "replica": "a", "samples": [], "failure": null},
                ]},
            },
            "deferred": [{"until": 1_767_225_660_000_u64, "reason": "it crashed; backoff"}],
            "alerts": [{"since": 1_767_225_540_000_u64, "reason": "it crashed; it is given up"}],
            "steps": [],
        })
    }

    #[test]
    fn who_made_another_count_of_the_proposal_is_named() {
        for (held_by, who) in [
            ("force", "the operator's override"),
            ("cooldown", "windows and cooldowns"),
            ("metrics", "the checks before the rates"),
        ] {
            let decision =
                json!({"stages": {"raw": 4, "stabilized": 2, "limited": 2, "bounded": 3}, "held_by": held_by});
            let sentence =
                format!("The host limited the proposal of 4: 2 after {who}, 2 after the rates, 3 after the bounds.");
            assert_eq!(stages(&decision), Some(sentence));
        }
    }

    #[test]
    fn a_count_that_a_window_holds_is_explained() {
        insta::assert_snapshot!(explanation(&view(), &decision(2, &Value::Null), true), @r#"
        web:1 has a target of 7 replicas, decided at 2026-01-01T00:00:00Z: held at 7: scale-in waits until 00:05:00Z because the 5-minute window still contains a proposal of 7; `t` proposed 2: calm.
        The scaling policy `t` proposed 2: calm.
        Its input `requests` was 20.5.
        The host limited the proposal of 2: 7 after windows and cooldowns, 7 after the rates, 7 after the bounds.
        Delayed until 2026-01-01T00:01:00Z: it crashed; backoff.
        Needs attention since 2025-12-31T23:59:00Z: it crashed; it is given up.
        6 of 7 replicas are running now.
        What would change the target:
          - Held at 7: scale-in to 2 waits because the window of 5m still contains a proposal of 7.
        "#);
    }

    #[test]
    fn a_decision_without_its_large_parts_is_explained_as_far_as_possible() {
        let mut bare = decision(7, &Value::Null);
        bare["scaling"]["observation"]["metrics"] = Value::Null;
        bare["omitted"] = json!([{"part": "/scaling/observation/metrics", "limit": "store.daily_bytes"}]);
        insta::assert_snapshot!(explanation(&view(), &bare, false), @r#"
        web:1 has a target of 7 replicas, decided at 2026-01-01T00:00:00Z: held at 7: scale-in waits until 00:05:00Z because the 5-minute window still contains a proposal of 7; `t` proposed 2: calm.
        The scaling policy `t` proposed 7: calm.
        The record lacks large parts of this decision, because a budget of the store was spent.
        Delayed until 2026-01-01T00:01:00Z: it crashed; backoff.
        Needs attention since 2025-12-31T23:59:00Z: it crashed; it is given up.
        "#);
    }

    #[test]
    fn bounds_operators_and_failures_are_what_would_change_it() {
        let remedies_of = |view: &Value, decision: &Value| {
            let text = explanation(view, decision, true);
            text.split_once("What would change the target:\n")
                .map(|(_, remedies)| remedies.to_owned())
                .unwrap_or_default()
        };
        let mut at_most = view();
        at_most["desired"]["max_replicas"] = json!(7);
        let held = |raw, by: &str| {
            let mut decision = decision(raw, &Value::Null);
            decision["held_by"] = json!(by);
            decision
        };
        let wants_more = remedies_of(&at_most, &held(12, "bounds"));
        assert!(
            wants_more.contains("Held at 7: scale-out to 12 is out of bounds; raise `max_replicas`"),
            "{wants_more}"
        );
        let mut adopted = view();
        adopted["name"] = json!("shop-web");
        adopted["read_only"] = json!({"min_replicas": ["windlass.min"], "mode": ["windlass.mode"]});
        let mut recommended = held(2, "bounds");
        recommended["recommended"] = json!({"target": 3, "steps": []});
        let by_label = remedies_of(&adopted, &recommended);
        assert!(by_label.contains("is out of bounds; lower the label `windlass.min` to allow it"), "{by_label}");
        assert!(
            by_label.contains("a target of 3; the label `windlass.mode` with the value `act` applies it"),
            "{by_label}"
        );
        let mut paused = view();
        paused["desired"]["overrides"]["paused"] = json!(true);
        assert!(
            remedies_of(&paused, &decision(7, &Value::Null))
                .contains("`windlass scaling resume web:1 pause` ends that")
        );
        let mut view = view();
        view["desired"]["guardrails"]["grace"] = json!(60.0);
        for (raw, by, remedy) in [
            (2, "bounds", "scale-in to 2 is out of bounds; lower `min_replicas` to allow it"),
            (2, "cooldown", "scale-in to 2 waits until the cooldown ends"),
            (9, "cooldown", "scale-out to 9 waits until the cooldown ends"),
            (9, "rate", "scale-out to 9 takes several steps, because the guardrails limit its rate"),
            (2, "disabled", "scale-in to 2 is disabled by the `select` of the guardrail `scale_down`"),
            (2, "grace", "scale-in to 2 waits until the workload's grace of 1m ends"),
            (2, "still-to-come", "scale-in to 2 waits until every wanted replica serves"),
            (2, "dependency", "A workload that this one depends on is down; the target can change once it runs."),
            (7, "stopped", "The workload is stopped; `POST /start/container` with"),
            (2, "unavailable", "  - The scaling policy must return an answer."),
        ] {
            let text = remedies_of(&view, &held(raw, by));
            assert!(text.contains(remedy), "{by}: {text}");
        }
        let mut given_up = decision(7, &Value::Null);
        given_up["alerts"][0] = json!({"kind": "given-up", "slot": 3, "since": 1, "reason": "it crashed"});
        assert!(remedies_of(&view, &given_up).starts_with("  - Slot 3 is given up; remove its container, "));
        let mut recommended = held(2, "window");
        recommended["recommended"] = json!({"target": 3, "steps": []});
        assert!(remedies_of(&view, &recommended).contains("The workload only recommends a target of 3"));
        let failed = remedies_of(&view, &decision(7, &json!("stale: old")));
        assert!(failed.contains("`requests` has no value, which blocks scale-in"), "{failed}");
        assert!(!explanation(&view, &decision(2, &Value::Null), false).contains("would change"));
    }

    #[test]
    fn a_single_replica_is_in_the_singular() {
        let mut one = decision(1, &Value::Null);
        one["target"] = json!(1);
        let text = explanation(&view(), &one, false);
        assert!(text.starts_with("web:1 has a target of 1 replica, decided at "), "{text}");
    }
}

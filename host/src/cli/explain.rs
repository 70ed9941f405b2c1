//! `windlass explain`: why a workload has the count it has, and what would change it, in sentences.

use crate::cli::remote::{Server, remote, time};
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;
use windlass_core::text::duration;

/// `windlass explain …`
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Image or name of the workload
    image: String,
    /// Explain the count of an earlier time: RFC 3339 (`2026-01-01T12:00:00Z`), or how long ago (`10m`) [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Moment>,
    /// Where it runs.
    #[command(flatten)]
    server: Server,
}

/// A time people name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    At(jiff::Timestamp),
    Ago(std::time::Duration),
}

fn moment(text: &str) -> Result<Moment, String> {
    let at = text.parse().map(Moment::At).ok();
    at.or_else(|| duration(text).map(Moment::Ago).ok())
        .ok_or_else(|| "expected a time as `2026-01-01T12:00:00Z`, or how long ago as `10m`".to_owned())
}

/// What the command prints.
///
/// # Errors
/// When the server does not answer, or nothing was decided by then.
pub async fn run(arguments: &ExplainArguments) -> anyhow::Result<String> {
    let remote = remote(&arguments.server)?;
    let view = remote.get(&["images", &arguments.image]).await?;
    let until = arguments.at.map(|at| match at {
        Moment::At(at) => u64::try_from(at.as_millisecond()).unwrap_or_default(),
        Moment::Ago(ago) => crate::cli::sandbox_args::now().0.saturating_sub(windlass_core::time::millis(ago)),
    });
    let asked = [("limit", Some(1)), ("until", until)];
    let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
    let path = ["images", arguments.image.as_str(), "decisions"];
    let decisions = remote.get_where(&path, &asked.collect::<Vec<_>>()).await?;
    let Some(decision) = decisions["decisions"].get(0) else {
        let image = arguments.image.escape_debug();
        anyhow::bail!("no decision about `{image}` from that time or before is kept");
    };
    Ok(explained(&view, decision, arguments.at.is_none()))
}

/// A decision in sentences; with what would change it, if it is the newest.
fn explained(view: &Value, decision: &Value, is_now: bool) -> String {
    let (desired, scaling) = (&view["desired"], &decision["scaling"]);
    let mut text = String::new();
    let mut say = |sentence: String| {
        // Writing to text cannot fail.
        let _ = writeln!(text, "{sentence}");
    };
    say(format!(
        "{} is steered to {} replicas, decided at {}: {}.",
        word(&view["image"]),
        decision["target"],
        time(&decision["at"]),
        word(&decision["reason"])
    ));
    let policy = word(&scaling["policy"]["name"]);
    if let Some(chosen) = scaling["policy"]["stands_in_for"].as_str() {
        say(format!("No revision of the policy `{chosen}` acts: the built-in `{policy}` stands in for it."));
    }
    match scaling["answer"].get("unavailable") {
        Some(failure) => say(format!("The scaling policy `{policy}` gave no answer: {}.", word(&failure["reason"]))),
        None => say(format!(
            "The scaling policy `{policy}` proposed {}: {}.",
            scaling["answer"]["replicas"],
            word(&scaling["answer"]["reason"])
        )),
    }
    for series in scaling["observation"]["metrics"].as_array().into_iter().flatten() {
        if !series["replica"].is_null() {
            continue;
        }
        let newest = series["samples"].as_array().and_then(|samples| samples.last());
        let value = newest.map_or_else(|| "no value".to_owned(), |sample| sample["value"].to_string());
        let failure = series["failure"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
        say(format!("It was shown `{}`: {value}{failure}.", word(&series["name"])));
    }
    stages(decision, &mut say);
    for waiting in decision["deferred"].as_array().into_iter().flatten() {
        say(format!("Waiting until {}: {}.", time(&waiting["until"]), word(&waiting["reason"])));
    }
    for alert in decision["alerts"].as_array().into_iter().flatten() {
        say(format!("Somebody should look into this, since {}: {}.", time(&alert["since"]), word(&alert["reason"])));
    }
    for step in decision["steps"].as_array().into_iter().flatten() {
        say(format!("Done: {} ({}).", word(&step["step"]), word(&step["reason"])));
    }
    if is_now {
        say(format!("Of {} wanted, {} run now.", desired["target"], view["observed"]["running"]));
        changes(view, decision, &mut say);
    }
    text
}

/// What windows, rates and bounds made of the proposal, or who stands over it.
fn stages(decision: &Value, say: &mut impl FnMut(String)) {
    let of = |name: &str| decision["stages"][name].as_u64();
    let (Some(raw), Some(stabilized), Some(limited), Some(bounded)) =
        (of("raw"), of("stabilized"), of("limited"), of("bounded"))
    else {
        return;
    };
    if raw == bounded {
        return;
    }
    // The record names the last that had a say alone.
    let first = match decision["held_by"].as_str() {
        Some("window" | "cooldown") => "by the windows and cooldowns",
        Some("force" | "pause" | "freeze-up" | "freeze-down") => "by an operator's word",
        _ => "by what comes before the rates",
    };
    say(format!("On its way {raw} became {stabilized} {first}, {limited} by the rates and {bounded} by the bounds."));
}

/// Some of it was stopped through the engine, and is left so.
fn is_left_stopped(view: &Value) -> bool {
    view["observed"]["stopped_outside"].as_array().is_some_and(|names| !names.is_empty())
}

/// What would change the count.
fn changes(view: &Value, decision: &Value, say: &mut impl FnMut(String)) {
    let overrides = &view["desired"]["overrides"];
    let mut all: Vec<String> = Vec::new();
    let said = [
        ("paused", "an operator paused scaling", "pause"),
        ("freeze_scale_up", "an operator froze scaling up", "freeze-up"),
        ("freeze_scale_down", "an operator froze scaling down", "freeze-down"),
    ];
    let image = word(&view["image"]);
    for (name, what, hand) in said {
        if overrides[name] == true {
            all.push(format!("{what}: `windlass scaling resume {image} {hand}` takes it back"));
        }
    }
    if overrides["force"].is_object() {
        let when = time(&overrides["force"]["until"]);
        all.push(format!(
            "an operator forces the count: when that ends, at {when}, or by `windlass scaling resume {image} force`"
        ));
    }
    if is_left_stopped(view) {
        all.push("what was stopped outside of Windlass: started again, or by `windlass scaling resume`".to_owned());
    }
    let failed = (decision["scaling"]["observation"]["metrics"].as_array().into_iter().flatten())
        .filter(|series| series["replica"].is_null() && series["failure"].is_string());
    for series in failed {
        all.push(format!("`{}` has no value: nothing shrinks until it has one", word(&series["name"])));
    }
    let alerts = decision["alerts"].as_array().into_iter().flatten();
    for alert in alerts.filter(|alert| alert["kind"] == "given-up") {
        all.push(format!(
            "place {} is given up: its container removed or `PATCH`ed to running, or the workload started again",
            alert["slot"]
        ));
    }
    all.extend(remedy(&view["desired"], decision));
    if !decision["recommended"].is_null() {
        all.push(format!(
            "it is only recommended to steer to {}: `PUT /images/{{image}}/policy` with `\"mode\": \"act\"`",
            decision["recommended"]["target"]
        ));
    }
    say(format!("What would change it: {}.", all.join("; ")));
}

/// What would change what keeps the count from the proposal; none: that is told already.
fn remedy(desired: &Value, decision: &Value) -> Option<String> {
    let (raw, target) = (&decision["stages"]["raw"], &decision["stages"]["bounded"]);
    let wants = format!("the policy wants {raw}");
    let (direction, moves) =
        if raw.as_u64() > target.as_u64() { ("scale_up", "grows") } else { ("scale_down", "shrinks") };
    let guardrail = &desired["guardrails"][direction];
    Some(match word(&decision["held_by"]) {
        // Said with what is in force now.
        "force" | "pause" | "freeze-up" | "freeze-down" | "stopped-outside" | "metrics" => return None,
        "stopped" => {
            "it is wanted stopped: `POST /start/container` with `\"status\": \"running\"` starts it".to_owned()
        }
        "dependency" => "what it depends on is down: once that is up".to_owned(),
        "unavailable" => "an answer of the scaling policy would".to_owned(),
        "still-to-come" => format!("{wants}: once all replicas serve that are wanted now"),
        "window" => format!("{wants}: it {moves} once {} of proposals agree", length(&guardrail["window"])),
        "cooldown" => format!("{wants}: it {moves} once the cooldown is over"),
        "rate" => format!("{wants}: it {moves} as the rates of its guardrails allow"),
        "disabled" => format!("{wants}: its guardrails never let it, by the `select` of their `{direction}`"),
        "grace" => format!(
            "{wants}: it is new here, and {moves} once its grace of {} is over",
            length(&desired["guardrails"]["grace"])
        ),
        "bounds" if direction == "scale_up" => {
            format!("{wants}: a higher `max_replicas` than {target} lets it grow")
        }
        "bounds" => format!("{wants}: a lower `min_replicas` than {target} lets it shrink"),
        _ => "the policy has what it wants: another proposal of it would".to_owned(),
    })
}

/// A duration: text, or a number of seconds.
fn length(value: &Value) -> String {
    value.as_str().map_or_else(|| format!("{value} s"), str::to_owned)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
            "reason": "`t` proposed 2, steered to 7: 7 is the highest proposal of the last 300 s; calm",
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
            ("force", "by an operator's word"),
            ("cooldown", "by the windows and cooldowns"),
            ("metrics", "by what comes before the rates"),
        ] {
            let decision =
                json!({"stages": {"raw": 4, "stabilized": 2, "limited": 2, "bounded": 3}, "held_by": held_by});
            let mut said = String::new();
            stages(&decision, &mut |sentence| said = sentence);
            assert_eq!(said, format!("On its way 4 became 2 {who}, 2 by the rates and 3 by the bounds."));
        }
    }

    #[test]
    fn a_count_that_a_window_holds_is_explained() {
        insta::assert_snapshot!(explained(&view(), &decision(2, &Value::Null), true), @r#"
        web:1 is steered to 7 replicas, decided at 2026-01-01T00:00:00Z: `t` proposed 2, steered to 7: 7 is the highest proposal of the last 300 s; calm.
        The scaling policy `t` proposed 2: calm.
        It was shown `requests`: 20.5.
        On its way 2 became 7 by the windows and cooldowns, 7 by the rates and 7 by the bounds.
        Waiting until 2026-01-01T00:01:00Z: it crashed; backoff.
        Somebody should look into this, since 2025-12-31T23:59:00Z: it crashed; it is given up.
        Of 7 wanted, 6 run now.
        What would change it: the policy wants 2: it shrinks once 300.0 s of proposals agree.
        "#);
    }

    #[test]
    fn bounds_operators_and_failures_are_what_would_change_it() {
        let told = |view: &Value, decision: &Value| {
            explained(view, decision, true).lines().last().unwrap_or_default().to_owned()
        };
        let mut at_most = view();
        at_most["desired"]["max_replicas"] = json!(7);
        let held = |raw, by: &str| {
            let mut decision = decision(raw, &Value::Null);
            decision["held_by"] = json!(by);
            decision
        };
        let wants_more = told(&at_most, &held(12, "bounds"));
        assert!(wants_more.contains("the policy wants 12: a higher `max_replicas` than 7"), "{wants_more}");
        let mut paused = view();
        paused["desired"]["overrides"]["paused"] = json!(true);
        assert!(
            told(&paused, &decision(7, &Value::Null)).contains("`windlass scaling resume web:1 pause` takes it back")
        );
        let mut view = view();
        view["desired"]["guardrails"]["grace"] = json!(60.0);
        for (raw, by, remedy) in [
            (2, "bounds", "a lower `min_replicas` than 7 lets it shrink"),
            (2, "cooldown", "it shrinks once the cooldown is over"),
            (9, "cooldown", "it grows once the cooldown is over"),
            (9, "rate", "it grows as the rates of its guardrails allow"),
            (2, "disabled", "its guardrails never let it, by the `select` of their `scale_down`"),
            (2, "grace", "it is new here, and shrinks once its grace of 60.0 s is over"),
            (2, "still-to-come", "once all replicas serve that are wanted now"),
            (2, "dependency", "What would change it: what it depends on is down: once that is up."),
            (7, "stopped", "it is wanted stopped: `POST /start/container` with"),
            (2, "unavailable", "What would change it: an answer of the scaling policy would."),
        ] {
            let told = told(&view, &held(raw, by));
            assert!(told.contains(remedy), "{by}: {told}");
        }
        let mut given_up = decision(7, &Value::Null);
        given_up["alerts"][0] = json!({"kind": "given-up", "slot": 3, "since": 1, "reason": "it crashed"});
        assert!(told(&view, &given_up).contains("What would change it: place 3 is given up: its container removed or"));
        let mut recommended = held(2, "window");
        recommended["recommended"] = json!({"target": 3, "steps": []});
        assert!(told(&view, &recommended).contains("it is only recommended to steer to 3"));
        let failed = told(&view, &decision(7, &json!("stale: old")));
        assert!(failed.contains("`requests` has no value: nothing shrinks until it has one"), "{failed}");
        assert!(!explained(&view, &decision(2, &Value::Null), false).contains("would change"));
    }

    #[test]
    fn times_are_told_in_two_ways() {
        assert_eq!(moment("10m"), Ok(Moment::Ago(std::time::Duration::from_secs(600))));
        assert!(matches!(moment("2026-01-01T12:00:00Z"), Ok(Moment::At(_))));
        assert!(moment("noon").is_err());
    }
}

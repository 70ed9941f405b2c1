//! The recorded decisions of a workload: read from their JSON, and shown as sentences that open.

use crate::chart::Mark;
use crate::words;
use maud::{Markup, html};
use serde_json::Value;
use windlass_api::answer::{list, workload_metrics};
use windlass_core::Timestamp;

/// A decision, as far as the page shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    pub(crate) id: i64,
    pub(crate) at: u64,
    pub(crate) target: u64,
    pub(crate) reason: String,
    /// The count raw, stabilized, limited and bounded. `None` if no policy answered.
    pub(crate) stages: Option<[u64; 4]>,
    pub(crate) held_by: Option<String>,
    /// Every policy that was asked for a count. Several are parts of one decision.
    pub(crate) votes: Vec<Vote>,
    /// The newest value of each metric of the workload, or why it has none.
    pub(crate) inputs: Vec<(String, Result<f64, String>)>,
    pub(crate) actions: Vec<Action>,
    /// Sentences about what waits.
    pub(crate) deferred: Vec<String>,
    pub(crate) recommended: Option<u64>,
}

/// The answer of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) policy: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) revision: u64,
    /// The count, or nothing if the policy failed.
    pub(crate) count: Option<u64>,
    pub(crate) reason: String,
}

/// An action of the pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) reason: String,
    pub(crate) error: Option<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Decision {
    /// A decision of the record. `None` if it has no number or time.
    pub(crate) fn parse(record: &Value) -> Option<Self> {
        let scaling = &record["scaling"];
        let parts = list(&scaling["answer"]["parts"]);
        let votes = if parts.is_empty() { vec![vote(scaling)] } else { parts.iter().map(vote).collect() };
        Some(Self {
            id: record["id"].as_i64()?,
            at: record["at"].as_u64()?,
            target: record["target"].as_u64().unwrap_or_default(),
            reason: text(&record["reason"]),
            stages: counts(&record["stages"]),
            held_by: record["held_by"].as_str().map(str::to_owned),
            votes,
            inputs: inputs(record),
            actions: list(&record["actions"]).iter().map(action).collect(),
            deferred: list(&record["deferred"]).iter().map(|deferral| text(&deferral["reason"])).collect(),
            recommended: record["recommended"]["target"].as_u64(),
        })
    }

    /// The place on the page that describes it.
    pub(crate) fn anchor(&self) -> String {
        format!("d{}", self.id)
    }

    /// The path of its whole record.
    fn record(&self) -> String {
        format!("/decisions/{}", self.id)
    }
}

/// The count after each stage. `None` if no policy answered.
fn counts(stages: &Value) -> Option<[u64; 4]> {
    let stage = |name: &str| stages[name].as_u64();
    Some([stage("raw")?, stage("stabilized")?, stage("limited")?, stage("bounded")?])
}

fn vote(scaling: &Value) -> Vote {
    let (policy, answer) = (&scaling["policy"], &scaling["answer"]);
    let failure = answer.get("unavailable");
    Vote {
        policy: text(&policy["name"]),
        version: text(&policy["version"]),
        digest: text(&policy["digest"]),
        revision: policy["revision"].as_u64().unwrap_or_default(),
        count: answer["replicas"].as_u64(),
        reason: text(failure.map_or(&answer["reason"], |failure| &failure["reason"])),
    }
}

fn inputs(record: &Value) -> Vec<(String, Result<f64, String>)> {
    let input = |series: &Value| {
        let newest = list(&series["samples"]).last().and_then(|sample| sample["value"].as_f64());
        let failure = || series["failure"].as_str().unwrap_or("no value yet").to_owned();
        (text(&series["name"]), newest.ok_or_else(failure))
    };
    workload_metrics(record).map(input).collect()
}

fn action(action: &Value) -> Action {
    Action {
        kind: text(&action["action"]),
        name: text(&action["name"]),
        reason: text(&action["reason"]),
        error: action["error"].as_str().map(str::to_owned),
    }
}

/// The most marks in a chart, the newest ones.
const MOST_MARKS: usize = 200;

/// The decisions that changed the target, as marks of a chart. `decisions` are the newest first. The first `listed` of them are on
/// the page, and a mark leads there; another one leads to the record. If they do not begin with the first decision of the
/// workload, the oldest is no mark: it is not known whether it changed the target.
pub(crate) fn marks(decisions: &[Decision], listed: usize, is_whole: bool) -> Vec<Mark> {
    let mark = |(index, decision): (usize, &Decision)| {
        let before = decisions.get(index + 1);
        let change = before
            .map_or_else(|| decision.target.to_string(), |before| format!("{} → {}", before.target, decision.target));
        (before.map_or(is_whole, |before| before.target != decision.target)).then(|| Mark {
            at: decision.at,
            sentence: format!(
                "{} UTC: {change}: {}",
                words::time(Timestamp(decision.at), Timestamp(decision.at)),
                decision.reason
            ),
            link: if index < listed { format!("#{}", decision.anchor()) } else { decision.record() },
        })
    };
    decisions.iter().enumerate().filter_map(mark).take(MOST_MARKS).collect()
}

/// The decisions as a list, each a sentence that opens. `now` is the time of the page.
pub(crate) fn show(decisions: &[Decision], now: Timestamp) -> Markup {
    html! {
        ol.decisions {
            @for decision in decisions {
                li { details id=(decision.anchor()) {
                    summary {
                        time title=(Timestamp(decision.at).to_rfc3339()) { (words::time(Timestamp(decision.at), now)) } " "
                        b { (decision.target) } " " (decision.reason)
                    }
                    (stages(decision))
                    (votes(&decision.votes))
                    (rest(decision))
                } }
            }
        }
    }
}

fn stages(decision: &Decision) -> Markup {
    html! {
        @if let Some([raw, stabilized, limited, bounded]) = decision.stages {
            dl.stages {
                div { dt { "Proposed" } dd { (raw) } }
                div { dt { "After windows and cooldowns" } dd { (stabilized) } }
                div { dt { "After rates" } dd { (limited) } }
                div { dt { "Within bounds" } dd { (bounded) } }
                @if let Some(rule) = &decision.held_by { div { dt { "Held by" } dd { (rule.replace('-', " ")) } } }
            }
        }
    }
}

fn votes(votes: &[Vote]) -> Markup {
    html! {
        ul.votes {
            @for vote in votes {
                li {
                    "Policy " b { (vote.policy) } " " (vote.version)
                    @if vote.revision > 0 { ", revision " (vote.revision) }
                    ": " @if let Some(count) = vote.count { b { (count) } } @else { b.bad { "no answer" } } ", "
                    (vote.reason) " " code title="Digest of the component" { (short(&vote.digest)) }
                }
            }
        }
    }
}

/// The beginning of a digest.
pub(crate) fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(12).collect()
}

fn rest(decision: &Decision) -> Markup {
    html! {
        @if !decision.inputs.is_empty() {
            ul.inputs { @for (name, value) in &decision.inputs {
                li { code { (name) } " " @match value {
                    Ok(value) => { b { (words::number(*value)) } }
                    Err(why) => { span.bad { "no value: " (why) } }
                } }
            } }
        }
        @if let Some(target) = decision.recommended { p { "Recommended, not done: a target of " b { (target) } "." } }
        @if !decision.actions.is_empty() || !decision.deferred.is_empty() {
            ul.actions {
                @for action in &decision.actions {
                    li {
                        (action.kind) " " code { (action.name) } ": " (action.reason)
                        @if let Some(error) = &action.error { " " span.bad { "failed: " (error) } }
                    }
                }
                @for deferred in &decision.deferred { li { "waits: " (deferred) } }
            }
        }
        p { a href=(decision.record()) { "The whole record, as JSON" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(id: i64, target: u64) -> Value {
        json!({
            "id": id, "at": 1_767_225_600_000_u64 + u64::try_from(id).unwrap_or_default() * 1_000, "target": target,
            "reason": format!("`queue` proposed {target}: <more> load"),
            "stages": {"raw": 9, "stabilized": 7, "limited": 6, "bounded": 5}, "held_by": "freeze-up",
            "overrides": {"paused": false, "freeze_scale_up": true, "freeze_scale_down": false, "force": null},
            "scaling": {
                "policy": {"name": "combined", "version": "1", "digest": "sha256:0123456789abcdef", "revision": 0},
                "answer": {"replicas": 9, "reason": "busy", "parts": [
                    {"policy": {"name": "queue", "version": "1", "digest": "sha256:aa", "revision": 3}, "answer": {"replicas": 9, "reason": "busy"}},
                    {"policy": {"name": "cpu", "version": "2", "digest": "sha256:bb"}, "answer": {"unavailable": {"kind": "trap", "reason": "overflow"}}},
                ]},
                "observation": {
                    "replicas": [{"phase": "running", "health": "healthy"}, {"phase": "running", "health": "unhealthy"}, {"phase": "exited"}],
                    "metrics": [
                        {"name": "queue", "replica": null, "samples": [{"at": 1, "value": 3}, {"at": 2, "value": 41.5}], "failure": null},
                        {"name": "orders", "replica": null, "samples": [], "failure": "timeout"},
                        {"name": "queue", "replica": "a", "samples": []},
                    ],
                },
            },
            "actions": [{"action": "create", "name": "web-1", "reason": "5 are wanted", "ok": false, "error": "no space"}],
            "deferred": [{"slot": 1, "until": 5, "reason": "it crashed; backoff"}],
            "recommended": null,
        })
    }

    #[test]
    fn a_record_has_its_votes_inputs_and_counts() {
        let decision = Decision::parse(&record(7, 5)).expect("a decision");
        assert_eq!((decision.id, decision.target), (7, 5));
        assert_eq!(decision.stages, Some([9, 7, 6, 5]));
        let votes: Vec<_> =
            decision.votes.iter().map(|vote| (vote.policy.as_str(), vote.revision, vote.count)).collect();
        assert_eq!(votes, [("queue", 3, Some(9)), ("cpu", 0, None)]);
        assert_eq!(decision.votes[1].reason, "overflow");
        assert_eq!(decision.inputs, [("queue".to_owned(), Ok(41.5)), ("orders".to_owned(), Err("timeout".to_owned()))]);
        assert_eq!(Decision::parse(&json!({"id": 1})), None);
        let bare = Decision::parse(&json!({"id": 1, "at": 2})).expect("parts of it were omitted");
        assert_eq!((bare.stages, bare.inputs.len(), bare.votes.len()), (None, 0, 1));
    }

    #[test]
    fn only_decisions_that_changed_the_target_are_marks() {
        let of = |targets: &[u64]| {
            let records = targets.iter().zip(1..).map(|(target, id)| record(id, *target));
            let decisions: Vec<Decision> = records.filter_map(|record| Decision::parse(&record)).collect();
            decisions.into_iter().rev().collect::<Vec<_>>()
        };
        let decisions = of(&[2, 2, 5, 5]);
        let marks = marks(&decisions, 2, true);
        let sentences: Vec<&str> = marks.iter().map(|mark| mark.sentence.as_str()).collect();
        assert_eq!(
            sentences,
            [
                "00:00:03 UTC: 2 → 5: `queue` proposed 5: <more> load",
                "00:00:01 UTC: 2: `queue` proposed 2: <more> load",
            ]
        );
        assert_eq!([&marks[0].link, &marks[1].link], ["#d3", "/decisions/1"]);
        let of_a_part = super::marks(&decisions, 3, false);
        assert_eq!(of_a_part.iter().map(|mark| mark.link.as_str()).collect::<Vec<_>>(), ["#d3"]);
    }

    #[test]
    fn a_decision_opens_to_stages_votes_and_what_was_done() {
        let decision = Decision::parse(&record(7, 5)).expect("a decision");
        let text = show(&[decision], Timestamp(1_767_225_700_000)).into_string();
        for part in [
            "<details id=\"d7\"><summary>",
            "&lt;more&gt; load",
            "<dt>Proposed</dt><dd>9</dd>",
            "<dd>freeze up</dd>",
            "revision 3",
            "no answer",
            "overflow",
            "<b>41.5</b>",
            "no value: timeout",
            "failed: no space",
            "waits: it crashed",
            "href=\"/decisions/7\"",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
}

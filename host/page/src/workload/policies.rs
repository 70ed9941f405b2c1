//! The policies of a workload: the acting ones, and how its shadows differ.

use crate::decisions::short;
use crate::words;
use crate::workloads::since;
use maud::{Markup, html};
use serde_json::Value;
use windlass_api::answer::list;
use windlass_control::WorkloadView;
use windlass_control::report::PolicyReport;
use windlass_core::{ShadowComparison, Timestamp};

/// The acting policies and the shadows.
pub(crate) fn of(view: &WorkloadView, now: Timestamp) -> Markup {
    let pass = view.last_pass.as_ref();
    let acting = |kind: &str, report: Option<&PolicyReport>| {
        html! {
            @if let Some(PolicyReport { policy, unavailable }) = report {
                li {
                    (kind) ": " b { (policy.name) } " " (policy.version)
                    @if policy.revision > 0 { ", revision " (policy.revision) }
                    " " code title="Digest of the component" { (short(&policy.digest)) }
                    @if let Some(failure) = unavailable { " " span.bad { "no answer: " (failure.reason) } }
                }
            }
        }
    };
    html! {
        ul.votes {
            (acting("Scaling", pass.and_then(|pass| pass.scaling_policy.as_ref())))
            (acting("Health", pass.and_then(|pass| pass.health_policy.as_ref())))
        }
        @if !view.shadows.is_empty() {
            h3 { "Shadows: they only answer" }
            @for shadow in &view.shadows { (comparison(shadow, now)) }
        }
    }
}

/// A shadow: how often it differed, and the newest differences.
fn comparison(shadow: &ShadowComparison, now: Timestamp) -> Markup {
    let agreed = shadow.calls.saturating_sub(shadow.differed).saturating_sub(shadow.failed);
    html! {
        details id={ "s-" (shadow.policy.name) "-" (shadow.policy.revision) } {
            summary {
                b { (shadow.policy.name) } @if shadow.policy.revision > 0 { ", revision " (shadow.policy.revision) }
                ": agreed in " (agreed) " of " (words::count(shadow.calls, "call"))
                @if shadow.failed > 0 { ", " span.bad { (shadow.failed) " without an answer" } }
            }
            @if shadow.differences.is_empty() {
                p { "No answer differed in the last " (since(shadow.since, now)) "." }
            } @else {
                table {
                    thead { tr { th scope="col" { "Last" } th scope="col" { "Times" } th scope="col" { "Acting" } th scope="col" { "Shadow" } } }
                    tbody { @for difference in shadow.differences.iter().rev().take(10) {
                        tr {
                            td { (since(difference.last_at, now)) } td { (difference.times) }
                            td { (answer(&difference.acting)) } td { (answer(&difference.shadow)) }
                        }
                    } }
                }
            }
        }
    }
}

/// An answer in a sentence.
fn answer(answer: &Value) -> String {
    let reason = |of: &Value| of["reason"].as_str().unwrap_or_default().to_owned();
    if let Some(count) = answer["replicas"].as_u64() {
        return format!("{count}: {}", reason(answer));
    }
    if answer["unavailable"].is_object() {
        return format!("no answer: {}", reason(&answer["unavailable"]));
    }
    let assessments = list(&answer["assessments"]);
    let sentence = |one: &Value| format!("{}, {}", one["status"].as_str().unwrap_or_default(), reason(one));
    assessments.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_form_of_an_answer_is_a_sentence() {
        assert_eq!(answer(&json!({"replicas": 3, "reason": "busy"})), "3: busy");
        assert_eq!(answer(&json!({"unavailable": {"kind": "trap", "reason": "overflow"}})), "no answer: overflow");
        let assessments = json!({"assessments": [{"status": "healthy", "reason": "it answers"}]});
        assert_eq!(answer(&assessments), "healthy, it answers");
    }
}

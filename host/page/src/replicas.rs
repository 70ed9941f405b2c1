//! The replicas of a workload as a table: health with its reason, use, age, and what an operator may do with each.

use crate::row::Dot;
use crate::visitor::Visitor;
use crate::workloads::since;
use crate::{path, words};
use maud::{Markup, html};
use windlass_control::WorkloadView;
use windlass_core::{Replica, Timestamp};

/// The table.
pub(crate) fn table(view: &WorkloadView, now: Timestamp, visitor: &Visitor) -> Markup {
    html! {
        @if view.replicas.is_empty() {
            p.none { "No replica exists now." }
        } @else {
            table.replicas {
                thead { tr {
                    th scope="col" { "Replica" } th scope="col" { "Health" } th scope="col" { "CPU" } th scope="col" { "Memory" }
                    th scope="col" { "Up" } th scope="col" { "State" } th scope="col" { span.hide { "Actions" } }
                } }
                tbody { @for replica in &view.replicas { (line(replica, view, now, visitor)) } }
            }
        }
    }
}

fn line(replica: &Replica, view: &WorkloadView, now: Timestamp, visitor: &Visitor) -> Markup {
    let is_held = view.held.contains(&replica.id);
    let dot = Dot::of(view.state_of(replica));
    let usage = replica.usage.as_ref();
    let up = replica.started_at.filter(|_| replica.is_running());
    html! {
        tr id={ "r" (short_id(replica)) } {
            th scope="row" { (replica.name) small { (short_id(replica)) @if let Some(node) = &replica.node { " on " (node) } } }
            td {
                span.dots { i class=(dot.class()) aria-hidden="true" { (dot.sign()) } } " " (dot.word())
                @if let Some(why) = view.health_reasons.get(&replica.id) { small { (why) } }
            }
            td data-of="CPU" { (usage.map_or_else(|| "–".to_owned(), |usage| format!("{} cores", words::number(usage.cpu_cores)))) }
            td data-of="Memory" { (usage.map_or_else(|| "–".to_owned(), |usage| words::bytes(usage.memory_bytes))) }
            td data-of="Up" { @if let Some(at) = up { (since(at, now)) } @else { "–" } }
            td { (state(replica, view)) }
            td { (actions(replica, is_held, view, visitor)) }
        }
    }
}

fn short_id(replica: &Replica) -> String {
    replica.id.as_str().chars().take(12).collect()
}

/// The engine's status of a replica, and its other properties.
fn state(replica: &Replica, view: &WorkloadView) -> Markup {
    let protected = replica.is_protected || view.protected.contains(&replica.id);
    html! {
        (replica.status)
        @if let Some(code) = replica.exit_code.filter(|_| !replica.is_running()) { ", exit code " (code) }
        @if replica.out_of_memory { span.badge.bad { "out of memory" } }
        @if view.outdated.contains(&replica.id) { span.badge { "outdated" } }
        @if view.leaving.contains(&replica.id) { span.badge { "leaving" } }
        @if view.stopped_outside.contains(&replica.id) { span.badge { "stopped outside" } }
        @if protected { span.badge { "protected" } }
    }
}

fn actions(replica: &Replica, is_held: bool, view: &WorkloadView, visitor: &Visitor) -> Markup {
    let id = replica.id.as_str();
    let protected = view.protected.contains(&replica.id);
    let form = |change: &str, word: &str, sentence: &str| {
        html! {
            form method="post" action={ "/ui/containers/" (path::segment(id)) "/" (change) } {
                (visitor.field())
                input type="hidden" name="workload" value=(view.workload.key);
                p { (sentence) }
                button { (word) }
            }
        }
    };
    html! {
        a href={ "/ui/containers/" (path::segment(id)) "/logs" } aria-label={ "Logs of " (replica.name) } { "Logs" }
        @if visitor.may_operate {
            " "
            details.act id={ "a" (short_id(replica)) } {
                summary aria-label={ "Change " (replica.name) } { "Change" }
                @if is_held || !replica.is_alive() {
                    (form("start", "Start", "Starts the container and counts it again."))
                } @else {
                    (form("hold", "Hold", "Stops the container and keeps it stopped. The target falls by 1, down to the minimum."))
                }
                @if protected {
                    (form("unprotect", "Unprotect", "A policy may remove it again when it lowers the count."))
                } @else {
                    (form("protect", "Protect", "No policy removes it when it lowers the count."))
                }
                @if visitor.may_administer { (form("remove", "Remove", "Kills and removes the container. A replica that counts is replaced.")) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::view;

    #[test]
    fn a_replica_has_its_health_with_the_reason_and_its_forms() {
        let mut view = view();
        let operator = Visitor { may_operate: true, ..Visitor::default() };
        let id = view.replicas[0].id.clone();
        view.replicas[0].node = Some("<one>".to_owned());
        view.health_reasons.insert(id.clone(), "<answered> in 3 ms".to_owned());
        let text = table(&view, Timestamp(60_000), &operator).into_string();
        for part in [
            "&lt;answered&gt; in 3 ms",
            " on &lt;one&gt;</small>",
            ">59 s</time>",
            "action=\"/ui/containers/id-1-1000/hold\"",
            "name=\"workload\" value=\"web:1\"",
            "Protect",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert!(!text.contains("/remove\""), "only an administrator removes a replica");
        assert!(
            !table(&view, Timestamp(60_000), &Visitor::default()).into_string().contains("<form"),
            "the caller may only read"
        );
        view.held.insert(id);
        let text = table(&view, Timestamp(60_000), &operator).into_string();
        assert!(text.contains("/start\"") && !text.contains("/hold\""), "{text}");
    }
}

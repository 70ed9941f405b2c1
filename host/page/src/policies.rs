//! `GET /ui/policies`: names, revisions, events and trials, with the forms to push, promote and roll back.

use crate::decisions::short;
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::visitor::Visitor;
use crate::workloads::since;
use crate::{forms, path, words};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use std::collections::BTreeMap;
use windlass_api::PAGE_UPLOAD;
use windlass_core::policy::{PolicyInfo, RevisionInfo, Source};
use windlass_core::{Timestamp, WorkloadKey};

/// The most events of a policy on the page.
const MOST_EVENTS: usize = 10;

/// `GET /ui/policies`.
pub(crate) async fn show(
    State(page): State<Page>,
    visitor: Visitor,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let now = Timestamp(page.controller.now_ms());
    let (all, problems) = (page.catalogue.list(), page.catalogue.source_problems());
    let (built_in, pushed): (Vec<&PolicyInfo>, Vec<&PolicyInfo>) = all.iter().partition(|info| info.source.is_none());
    let main = html! {
        h1 { "Policies" }
        @if let Some(done) = query.get("done").and_then(|done| forms::done(done)) { p.banner.good role="status" { (done) } }
        @if visitor.may_administer_everything() { section #push aria-labelledby="push-h" { (push_form(&visitor)) } }
        section #pushed aria-labelledby="pushed-h" {
            h2 #pushed-h { "Pushed" }
            @if pushed.is_empty() && problems.is_empty() { p.none { "No policy is pushed. The built-in policies below are always available." } }
            @for info in &pushed { (policy(info, now, &visitor)) }
            @for (name, problem) in &problems {
                // A policy that never arrived is not in the list.
                @if all.iter().all(|info| info.name != *name) { article { h3 { (name) } p.banner.bad { "Its source: " (problem) } } }
            }
        }
        section #built-in aria-labelledby="built-in-h" {
            h2 #built-in-h { "Built in" }
            table {
                thead { tr { th scope="col" { "Policy" } th scope="col" { "Kind" } th scope="col" { "Summary" } } }
                tbody { @for info in built_in { tr {
                    th scope="row" { b { (info.name) } small { (info.version) } }
                    td { (info.kind) }
                    td { (info.summary) (failing(info, &visitor)) details id={ "b-" (info.name) } { summary { "Configuration" } (schema(info)) } }
                } } }
            }
        }
    };
    page.page(
        &visitor,
        StatusCode::OK,
        &Content { title: "Policies".to_owned(), place: Place::Policies, main, again: None },
    )
}

fn push_form(visitor: &Visitor) -> Markup {
    html! {
        h2 #push-h { "Push a component" }
        form.drop method="post" action=(PAGE_UPLOAD) enctype="multipart/form-data" {
            (visitor.field())
            p { "Drop a component here, or choose its file. It is checked before it may act." }
            div.fields {
                label { "Component" input type="file" name="component" accept=".wasm,application/wasm" required; }
                label { "Name" input name="name" placeholder="the name of the file" pattern="[a-z0-9\\-]{1,63}" autocomplete="off"; }
                label { "Register as"
                    select name="as" { option value="acting" { "acting revision" } option value="candidate" { "candidate: compared, not acting" } }
                }
                label { "Memory"
                    select name="memory" { option value="keep" { "keep that of the revision before" } option value="reset" { "begin empty" } }
                }
            }
            button { "Push" }
        }
    }
}

/// A pushed policy.
fn policy(info: &PolicyInfo, now: Timestamp, visitor: &Visitor) -> Markup {
    html! {
        article {
            h3 { (info.name) " " small { (info.kind) " policy, " (info.version) } }
            p { (info.summary) }
            (state(info))
            (failing(info, visitor))
            @if let Some(problem) = &info.source_problem { p.banner.bad { "Its source: " (problem) } }
            table.revisions {
                thead { tr {
                    th scope="col" { "Revision" } th scope="col" { "State" } th scope="col" { "Pushed" } th scope="col" { "Component" }
                    th scope="col" { span.hide { "Actions" } }
                } }
                tbody { @for revision in &info.revisions { (line(info, revision, now, visitor)) } }
            }
            div.acts { (policy_forms(info, visitor)) }
            details id={ "p-" (info.name) "-events" } { summary { "Events" }
                ul { @for event in info.events.iter().take(MOST_EVENTS) {
                    li { (since(event.at, now)) " ago, revision " (event.revision) ": " (event.what) }
                } }
            }
            details id={ "p-" (info.name) "-config" } { summary { "Configuration" } (schema(info)) }
        }
    }
}

fn state(info: &PolicyInfo) -> Markup {
    html! {
        @match (info.acting, info.candidate) {
            (Some(acting), Some(candidate)) => { p { "Revision " b { (acting) } " acts, and " b { (candidate) } " is the candidate." } }
            (Some(acting), None) => { p { "Revision " b { (acting) } " acts." } }
            (None, _) => { p.banner.bad { "No revision acts: the built-in " (info.kind) " policy takes its place." } }
        }
    }
}

/// The workloads in which another policy takes its place.
fn failing(info: &PolicyInfo, visitor: &Visitor) -> Markup {
    let seen: Vec<_> =
        info.failing.iter().filter(|failing| visitor.sees(&WorkloadKey::stored(&*failing.workload))).collect();
    html! {
        @if !seen.is_empty() {
            ul.alerts { @for failing in &seen { li {
                a href=(path::workload(&failing.workload)) { (failing.workload) } ": it failed " (failing.failures)
                " times in a row, the last time with " (failing.last) ". It is tried again at " (failing.retry_at.to_rfc3339()) "."
            } } }
        }
    }
}

fn schema(info: &PolicyInfo) -> Markup {
    html! { pre tabindex="0" { (serde_json::to_string_pretty(&info.config_schema).unwrap_or_default()) } }
}

/// The state of a revision in words.
fn revision_state(info: &PolicyInfo, revision: &RevisionInfo) -> String {
    let number = Some(revision.number);
    match &revision.quarantined {
        Some(why) => format!("must not act: {why}"),
        None if info.acting == number && revision.proved => "acts".to_owned(),
        None if info.acting == number => "acts, on trial".to_owned(),
        None if info.candidate == number => "candidate".to_owned(),
        None if revision.acted => "acted before".to_owned(),
        None => "never acted".to_owned(),
    }
}

fn line(info: &PolicyInfo, revision: &RevisionInfo, now: Timestamp, visitor: &Visitor) -> Markup {
    let may_act =
        visitor.may_change_policies() && revision.quarantined.is_none() && info.acting != Some(revision.number);
    html! {
        tr {
            th scope="row" { (revision.number) small { (revision.described_name) " " (revision.version) } }
            td.bad[revision.quarantined.is_some()] { (revision_state(info, revision)) }
            td { (since(revision.loaded_at, now)) " ago by " (revision.loaded_by) }
            td { code { (short(&revision.digest)) } " " (words::bytes(revision.size_bytes)) }
            td { @if may_act {
                details.act id={ "p-" (info.name) "-" (revision.number) } {
                    summary { "Promote…" }
                    form method="post" action={ (PAGE_UPLOAD) "/" (path::segment(&info.name)) "/promote" } {
                        (visitor.field())
                        input type="hidden" name="revision" value=(revision.number);
                        p { "Revision " (revision.number) " acts from the next pass on, in every workload that chose " (info.name) "." }
                        button { "Promote revision " (revision.number) }
                    }
                }
            } }
        }
    }
}

/// The forms of a policy as a whole.
fn policy_forms(info: &PolicyInfo, visitor: &Visitor) -> Markup {
    let form = |change: &str, title: &str, sentence: &str, word: &str| {
        html! {
            details.act id={ "p-" (info.name) "-" (change) } {
                summary { (title) }
                form method="post" action={ (PAGE_UPLOAD) "/" (path::segment(&info.name)) "/" (change) } {
                    (visitor.field())
                    p { (sentence) }
                    button { (word) }
                }
            }
        }
    };
    let could_act_again = |revision: &RevisionInfo| {
        revision.acted && revision.quarantined.is_none() && info.acting.is_some_and(|acting| revision.number < acting)
    };
    html! {
        @if visitor.may_change_policies() && info.revisions.iter().any(could_act_again) {
            (form("rollback", "Roll back…", "The newest revision before the acting one that acted and may act takes its place.", "Roll back"))
        }
        @if visitor.may_administer_everything() && info.source == Some(Source::Registry) {
            (form("refresh", "Fetch again…", "Its reference is resolved again. Another component becomes the acting revision.", "Fetch again"))
        }
        @if visitor.may_administer_everything() {
            (form("delete", "Remove…", "The policy and all its revisions are removed. This needs that no workload has chosen it.", "Remove the policy"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::PolicyKind;

    fn admin() -> Visitor {
        Visitor { may_operate: true, may_administer: true, ..Visitor::default() }
    }

    fn revision(number: u32) -> RevisionInfo {
        RevisionInfo {
            number,
            digest: format!("sha256:{number}{}", "0".repeat(63)),
            size_bytes: 20_480,
            described_name: "queue".to_owned(),
            version: "1.0.0".to_owned(),
            loaded_at: Timestamp(0),
            loaded_by: "<ada>".to_owned(),
            source: Source::Upload,
            memory_since: 0,
            acted: true,
            proved: true,
            quarantined: None,
        }
    }

    fn info(revisions: Vec<RevisionInfo>, acting: Option<u32>, candidate: Option<u32>) -> PolicyInfo {
        PolicyInfo {
            name: "queue".to_owned(),
            kind: PolicyKind::Scaling,
            version: "1.0.0".to_owned(),
            summary: "by queue".to_owned(),
            config_schema: serde_json::json!({"type": "object"}),
            digest: String::new(),
            size_bytes: 0,
            source: Some(Source::Upload),
            taken: None,
            imports: Vec::new(),
            replayable: true,
            http: None,
            failures: BTreeMap::new(),
            acting,
            candidate,
            revisions,
            events: Vec::new(),
            failing: Vec::new(),
            source_problem: None,
        }
    }

    #[test]
    fn a_revision_that_may_act_can_be_promoted_and_another_says_why_not() {
        let bad = RevisionInfo { quarantined: Some("it failed its trial".to_owned()), ..revision(3) };
        let trial = RevisionInfo { proved: false, ..revision(2) };
        let info = info(vec![revision(4), bad, trial, revision(1)], Some(2), Some(4));
        let states: Vec<String> = info.revisions.iter().map(|revision| revision_state(&info, revision)).collect();
        assert_eq!(states, ["candidate", "must not act: it failed its trial", "acts, on trial", "acted before"]);
        let text = policy(&info, Timestamp(60_000), &admin()).into_string();
        let promoted: Vec<&str> =
            text.split("name=\"revision\" value=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(promoted, ["4", "1"]);
        assert!(
            text.contains("/rollback\"") && text.contains("by &lt;ada&gt;") && !text.contains("/refresh\""),
            "{text}"
        );
    }

    #[test]
    fn a_policy_with_one_revision_has_nothing_to_roll_back_to() {
        let text = policy(&info(vec![revision(1)], Some(1), None), Timestamp(0), &admin()).into_string();
        assert!(!text.contains("/rollback\"") && text.contains("/delete\""), "{text}");
        let text = policy(&info(vec![revision(1)], None, None), Timestamp(0), &admin()).into_string();
        assert!(text.contains("No revision acts"), "{text}");
    }
}

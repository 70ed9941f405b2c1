//! `GET /ui/workloads/{name}`: one workload on one time axis, with its decisions, replicas, policies and configuration.

mod actions;
mod charts;
mod policies;

use crate::api::Refused;
use crate::chart::Axis;
use crate::decisions::{Decision, marks};
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::row::row;
use crate::series::Series;
use crate::visitor::Visitor;
use crate::workloads::{dots, since};
use crate::{decisions, error, forms, path, replicas, words};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeMap;
use windlass_api::answer::list;
use windlass_api::remedies::remedies;
use windlass_control::WorkloadView;
use windlass_core::{Timestamp, WorkloadKey};

/// The lengths of the time axis: the name, milliseconds, and the decisions that are read for its marks.
const SPANS: [(&str, u64, u32); 4] =
    [("1h", 3_600_000, 200), ("6h", 21_600_000, 300), ("24h", 86_400_000, 500), ("7d", 604_800_000, 1_000)];

/// The decisions in the list, and those that a click adds.
const NEWEST: usize = 15;
const OLDER: usize = 85;

/// `GET /ui/workloads/{name}?span=1h`.
pub(crate) async fn show(
    State(page): State<Page>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(view) = visitor.workload(&page, &name) else {
        return unknown(&page, &visitor, &WorkloadKey::stored(name));
    };
    let title = view.workload.key.to_string();
    let text = |field: &str| query.get(field).map(String::as_str).unwrap_or_default();
    match read(&page, &visitor, view, text("span")).await {
        Ok(shown) => {
            let main = shown.main(&visitor, forms::done(text("done")));
            page.page(&visitor, StatusCode::OK, &Content { title, place: Place::Workloads, main, again: None })
        }
        Err(refused) => error::refused(&page, &visitor, &refused, "/"),
    }
}

fn unknown(page: &Page, visitor: &Visitor, key: &WorkloadKey) -> Response {
    let refused =
        page.controller.refused_services().into_iter().find(|service| service.key == *key && visitor.sees(key));
    let why = match refused {
        Some(service) => format!("Workload {key} is not adopted: {}", service.reason),
        None => format!("There is no workload {key}. It was never started, or it was deleted."),
    };
    error::refused(page, visitor, &Refused::new(StatusCode::NOT_FOUND, why), "/")
}

/// All that the page of a workload shows.
struct Shown {
    view: WorkloadView,
    now: Timestamp,
    span: &'static str,
    axis: Axis,
    series: Series,
    /// The newest first.
    decisions: Vec<Decision>,
    /// The last of them is the first decision of the workload.
    is_whole: bool,
    /// The ways to change the target, a sentence or two each.
    remedies: Vec<String>,
    /// The desired state in the form of a start request.
    desired: Value,
}

async fn read(page: &Page, caller: &Visitor, view: WorkloadView, span: &str) -> Result<Shown, Refused> {
    let (span, length, limit) = SPANS.into_iter().find(|(name, ..)| *name == span).unwrap_or(SPANS[0]);
    let now = Timestamp(page.controller.now_ms());
    let axis = Axis { since: now.0.saturating_sub(length), until: now.0 };
    let name = view.workload.key.as_str();
    let of = |resource: &str| path::api_workload(name, resource);
    let recorded = page.decisions(caller, &of(&format!("/decisions?limit={limit}"))).await?;
    let records = list(&recorded["decisions"]);
    let decisions: Vec<Decision> = records.iter().filter_map(Decision::parse).collect();
    let mut shown = page.get(caller, &of("")).await?;
    let remedies = records.first().map(|newest| remedies(&shown, newest)).unwrap_or_default();
    let desired = shown["desired"].take();
    let series = page.get(caller, &of(&format!("/series?since={}&until={}", axis.since, axis.until))).await?;
    let series = Series::parse(&series);
    let is_whole = recorded["next"].is_null();
    Ok(Shown { view, now, span, axis, series, decisions, is_whole, remedies, desired })
}

impl Shown {
    fn main(&self, visitor: &Visitor, done: Option<&str>) -> Markup {
        let key = self.view.workload.key.as_str();
        html! {
            p.crumbs { a href="/" { "Workloads" } }
            h1 { (key) }
            @if let Some(done) = done { p.banner.good role="status" { (done) } }
            section #head aria-label="State" { (self.head()) }
            section #act aria-label="Take over" { (actions::bar(&self.view, self.now, visitor)) }
            section #charts aria-labelledby="charts-h" {
                h2 #charts-h { "The last " (span_words(self.span)) }
                nav.spans aria-label="Time axis" {
                    @for (span, ..) in SPANS {
                        a href={ "?span=" (span) } aria-current=[(span == self.span).then_some("true")] { (span) }
                    }
                }
                @let listed = self.decisions.len().min(NEWEST + OLDER);
                (charts::all(self.axis, &self.series, &self.decisions, marks(&self.decisions, listed, self.is_whole)))
            }
            section #decisions aria-labelledby="decisions-h" {
                h2 #decisions-h { "Decisions" }
                @if self.decisions.is_empty() {
                    p.none { "No decision is recorded yet. The first pass records one." }
                } @else {
                    @let (newest, older) = self.decisions.split_at(self.decisions.len().min(NEWEST));
                    (decisions::show(newest, self.now))
                    @if !older.is_empty() {
                        details #older {
                            summary { "Older decisions" }
                            (decisions::show(&older[..older.len().min(OLDER)], self.now))
                        }
                    }
                }
            }
            section #replicas aria-labelledby="replicas-h" {
                h2 #replicas-h { "Replicas" }
                (replicas::table(&self.view, self.now, visitor))
            }
            section #policies aria-labelledby="policies-h" {
                h2 #policies-h { "Policies" }
                (policies::of(&self.view, self.now))
            }
            section #config aria-labelledby="config-h" {
                h2 #config-h { "Configuration" }
                details #desired { summary { "The desired state as it is stored" }
                    pre tabindex="0" { (serde_json::to_string_pretty(&self.desired).unwrap_or_default()) }
                }
            }
        }
    }

    /// The state in one glance: the counts and the sentence of the last pass.
    fn head(&self) -> Markup {
        let row = row(&self.view.brief());
        html! {
            div.facts {
                div { b.big.warn[row.ready < row.target] { (row.ready) } span { "ready" } }
                div { b.big { (row.target) } span { "target" } }
                div { b.big { (row.min) "–" (row.max) } span { "bounds" } }
                div { (dots(&row.dots)) span { "replicas" } }
                @if let Some(rule) = row.held_by { div { b { (words::held_by(rule)) } span { "held by" } } }
                div { @if let Some(at) = row.passed { (since(at, self.now)) } @else { "none yet" } span { "last pass" } }
            }
            p.reason { (row.reason) }
            @if !self.remedies.is_empty() {
                details #remedies {
                    summary { "What would change the target" }
                    ul { @for remedy in &self.remedies { li { (remedy) } } }
                }
            }
            @if let Some(target) = row.recommended {
                p.banner role="status" { "This workload only recommends: it would set a target of " b { (target) } "." }
            }
            @if !self.view.alerts.is_empty() {
                ul.alerts {
                    @for alert in &self.view.alerts {
                        li { b { (words::alert(alert.kind)) } " " (alert.reason) " " (since(alert.since, self.now)) }
                    }
                }
            }
        }
    }
}

fn span_words(span: &str) -> &'static str {
    match span {
        "6h" => "6 hours",
        "24h" => "24 hours",
        "7d" => "7 days",
        _ => "hour",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::view;
    use serde_json::json;

    fn admin() -> Visitor {
        Visitor { may_operate: true, may_administer: true, ..Visitor::default() }
    }

    fn shown() -> Shown {
        Shown {
            view: view(),
            now: Timestamp(60_000),
            span: "6h",
            axis: Axis { since: 0, until: 60_000 },
            series: Series::default(),
            decisions: Vec::new(),
            is_whole: true,
            remedies: vec!["Nothing holds it; <b>".to_owned()],
            desired: json!({"image": "web:1", "env": {"A": "<b>"}}),
        }
    }

    #[test]
    fn a_new_workload_has_a_page_without_history() {
        let text = shown().main(&admin(), None).into_string();
        for part in [
            "<h1>web:1</h1>",
            "The last 6 hours",
            "href=\"?span=6h\" aria-current=\"true\"",
            "No decision is recorded yet",
            "<li>Nothing holds it; &lt;b&gt;</li>",
            "&quot;A&quot;: &quot;&lt;b&gt;&quot;",
            "<b class=\"big warn\">1</b>",
            "action=\"/ui/workloads/web%3A1/pause\"",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }

    #[test]
    fn every_label_leads_to_an_element_of_the_page() {
        let text = shown().main(&admin(), Some("Scaling is paused.")).into_string();
        for id in text.split("aria-labelledby=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(text.contains(&format!(" id=\"{id}\"")), "{id}");
        }
        assert!(text.contains("role=\"status\">Scaling is paused.</p>"));
    }
}

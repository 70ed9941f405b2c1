//! `GET /`: every workload on one screen, alerts on top.

use crate::counts::{HOUR, bar, sparkline};
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::row::{Dot, Row, row};
use crate::visitor::Visitor;
use crate::{path, words};
use axum::extract::{Query, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use std::collections::BTreeMap;
use windlass_control::{RefusedService, WorkloadView};
use windlass_core::contract::Sample;
use windlass_core::metric::BuiltIn;
use windlass_core::{Timestamp, WorkloadKey};

/// The most alerts on top of the list. The workloads have the others.
const MOST_ALERTS: usize = 12;

/// The most dots of a row; more replicas are counted.
const MOST_DOTS: u32 = 16;

/// `GET /?q=FILTER`.
pub(crate) async fn show(
    State(page): State<Page>,
    visitor: Visitor,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let filter = query.get("q").map(String::as_str).unwrap_or_default();
    let mut views = page.controller.views();
    views.retain(|view| visitor.sees(&view.workload.key));
    let now = Timestamp(page.controller.now_ms());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:8000");
    let mut refused = page.controller.refused_services();
    refused.retain(|service| visitor.sees(&service.key));
    let main = html! {
        h1 { "Workloads" }
        (alerts(&views, now))
        @if views.is_empty() {
            (first_steps(host))
        } @else {
            (search(filter))
            (list(&views, filter, now, |view| page.last_hour(&view.workload.key, now)))
        }
        (left_alone(&refused))
    };
    page.page(
        &visitor,
        StatusCode::OK,
        &Content { title: "Workloads".to_owned(), place: Place::Workloads, main, again: None },
    )
}

impl Page {
    /// The ready replicas of a workload in the last hour. They are in memory.
    fn last_hour(&self, key: &WorkloadKey, now: Timestamp) -> Vec<Sample> {
        let since = Timestamp(now.0.saturating_sub(HOUR));
        let report = self.controller.metric(key, BuiltIn::ReadyReplicas.name(), since);
        report.ok().flatten().map(|report| report.samples).unwrap_or_default()
    }
}

/// The body of a first start request: it needs nothing on the machine but the engine.
pub(crate) const FIRST: &str = r#"{"image": "nginx:alpine", "max_replicas": 5, "ports": {"80/tcp": 0}, "resources": {"cpu": "0.5", "memory": "128m"}}"#;

/// The first command on a fresh installation.
fn first_steps(host: &str) -> Markup {
    html! {
        section #list {
            h2 { "Nothing runs yet" }
            p { "Windlass keeps containers running and decides how many you need. Start the first workload:" }
            pre.first tabindex="0" { code { "curl --json '" (FIRST) "' " (host) "/start/container" } }
            p {
                "Or let it scale a service that runs already: add the label "
                code { "windlass.enable=true" } " and " code { "windlass.max=5" } " to the service in its Compose or stack file."
            }
            p { "This page shows a workload as soon as there is one. " a href="/docs" { "The API" } " lists every request." }
        }
    }
}

fn search(filter: &str) -> Markup {
    html! {
        form.search role="search" action="/" method="get" {
            label for="q" { "Filter" }
            input #q type="search" name="q" value=(filter) autocomplete="off" spellcheck="false" placeholder="name, image or project";
            button { "Filter" }
        }
    }
}

/// The alerts of all workloads, the oldest first.
fn alerts(views: &[WorkloadView], now: Timestamp) -> Markup {
    let mut all: Vec<_> =
        views.iter().flat_map(|view| view.alerts.iter().map(|alert| (&view.workload.key, alert))).collect();
    all.sort_by_key(|(_, alert)| alert.since);
    html! {
        section #alerts aria-label="Alerts" {
            @if !all.is_empty() {
                h2.bad { (words::count(all.len() as u64, "alert")) }
                ul.alerts {
                    @for (key, alert) in all.iter().take(MOST_ALERTS) {
                        li {
                            a href=(path::workload(key.as_str())) { (key) } " "
                            b { (words::alert(alert.kind)) } " " (alert.reason)
                            " " (since(alert.since, now))
                        }
                    }
                    @if all.len() > MOST_ALERTS { li { "and " (all.len() - MOST_ALERTS) " more" } }
                }
            }
        }
    }
}

/// A time as an age, which the script keeps current.
pub(crate) fn since(at: Timestamp, now: Timestamp) -> Markup {
    html! { time data-t=(at) { (words::age(now.since(at))) } }
}

fn list(views: &[WorkloadView], filter: &str, now: Timestamp, recent: impl Fn(&WorkloadView) -> Vec<Sample>) -> Markup {
    let rows: Vec<(Row, &WorkloadView)> = views.iter().map(|view| (row(view), view)).collect();
    let found: Vec<_> = rows.iter().filter(|(row, _)| row.matches(filter)).collect();
    html! {
        section #list {
            table.list {
                caption { (words::count(found.len() as u64, "workload")) @if found.len() < rows.len() { " of " (rows.len()) } }
                thead { tr {
                    th scope="col" { "Workload" } th scope="col" { "Engine" } th scope="col" { "Ready / target" }
                    th scope="col" { "Last hour" } th scope="col" { "Health" } th scope="col" { "Held by" }
                    th scope="col" { "Last pass" }
                } }
                tbody { @for (row, view) in &found { (line(row, now, &recent(view))) } }
            }
            p.none hidden[!found.is_empty()] { "No workload matches the filter. " a href="/" { "Show all" } }
        }
    }
}

/// A row. Its bytes count: 200 of them are one page.
fn line(row: &Row, now: Timestamp, recent: &[Sample]) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(path::workload(&row.name)) { (row.name) }
                @if let Some(image) = &row.image { " " small { (image) } }
                @if row.alerts > 0 { span.badge.bad { (words::count(row.alerts as u64, "alert")) } }
            }
            td { (row.place) }
            td {
                span.of { b class=[(row.ready < row.target).then_some("warn")] { (row.ready) } " / " (row.target) } " "
                small { (row.min) "–" (row.max) } (bar(row.ready, row.target, row.max))
            }
            td { (sparkline(recent, now)) }
            td { (dots(&row.dots)) }
            td title=[row.held_by.map(|_| &row.reason)] {
                @if let Some(rule) = row.held_by { (words::held_by(rule)) }
                @if row.recommends { span.badge { "recommends" @if let Some(target) = row.recommended { " " (target) } } }
            }
            td { @if let Some(at) = row.passed { (since(at, now)) } @else { "–" } }
        }
    }
}

/// The health of the replicas as dots, with their numbers in words for readers who do not see them.
pub(crate) fn dots(dots: &[(Dot, u32)]) -> Markup {
    let words: Vec<String> = dots.iter().map(|(dot, count)| format!("{count} {}", dot.word())).collect();
    let words = if words.is_empty() { "no replica".to_owned() } else { words.join(", ") };
    let many = dots.iter().map(|(_, count)| count).sum::<u32>() > MOST_DOTS;
    html! {
        span.dots role="img" aria-label=(words) {
            @if dots.is_empty() { "–" }
            @for (dot, count) in dots {
                i class=(dot.class()) {
                    @if many { (dot.sign()) (count) " " } @else { @for _ in 0..*count { (dot.sign()) } }
                }
            }
        }
    }
}

/// The services whose labels ask for scaling and that are left alone.
fn left_alone(refused: &[RefusedService]) -> Markup {
    html! {
        section #left-alone {
            @if !refused.is_empty() {
                h2 { "Left alone" }
                p { "The labels of these services ask Windlass to scale them, and something is wrong with the labels." }
                ul { @for service in refused { li { b { (service.key) } " " (service.reason) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use windlass_core::AlertKind;

    #[test]
    fn the_first_start_request_is_one_that_the_api_accepts() {
        let body: Value = serde_json::from_str(FIRST).expect("JSON");
        let workload = windlass_api::start::workload(&body).unwrap_or_else(|problem| panic!("{}", problem.detail()));
        assert_eq!(workload.image.to_string(), "nginx:alpine");
        let text = first_steps("10.0.0.7:8000").into_string();
        assert!(text.contains("10.0.0.7:8000/start/container"), "{text}");
    }

    #[test]
    fn many_replicas_are_counted_and_few_are_drawn() {
        let few = dots(&[(Dot::Healthy, 2), (Dot::Unhealthy, 1)]).into_string();
        assert!(
            few.contains("aria-label=\"2 healthy, 1 unhealthy\"") && few.contains("●●</i>") && few.contains('✖'),
            "{few}"
        );
        let many = dots(&[(Dot::Healthy, 40)]).into_string();
        assert!(many.contains("●40 </i>"), "{many}");
        assert!(dots(&[]).into_string().contains("no replica"));
    }

    #[test]
    fn alerts_are_on_top_the_oldest_first_and_counted_in_their_row() {
        let mut view = crate::fixtures::view();
        let alert = |since: u64, reason: &str| windlass_core::Alert {
            kind: AlertKind::GivenUp,
            since: Timestamp(since),
            slot: None,
            replica: None,
            reason: reason.to_owned(),
        };
        view.alerts = vec![alert(2_000, "<later>"), alert(1_000, "it crashed")];
        let text = alerts(&[view.clone()], Timestamp(60_000)).into_string();
        assert!(text.contains("2 alerts") && text.contains("<b>given up</b>"), "{text}");
        let [first, second] = ["it crashed", "&lt;later&gt;"].map(|reason| text.find(reason).expect("the reason"));
        assert!(first < second, "{text}");
        let rows = list(&[view], "", Timestamp(60_000), |_| Vec::new()).into_string();
        assert!(rows.contains("2 alerts</span>"), "{rows}");
        assert!(!alerts(&[crate::fixtures::view()], Timestamp(0)).into_string().contains("<li>"));
    }

    #[test]
    fn words_from_outside_are_escaped() {
        let refused = RefusedService {
            key: windlass_core::WorkloadKey::stored("<script>"),
            declaration: windlass_core::Declaration::Api,
            reason: "\"><img src=x>".to_owned(),
        };
        let text = left_alone(&[refused]).into_string();
        assert!(!text.contains("<script>") && !text.contains("<img"), "{text}");
        assert_eq!(words::alert(AlertKind::GivenUp), "given up");
    }
}

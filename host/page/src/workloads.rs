//! `GET /`: every workload on one screen, alerts on top.

use crate::counts::{HOUR, bar, sparkline};
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::rendered::Moment;
use crate::row::{Dot, Row, row};
use crate::visitor::Visitor;
use crate::{path, words};
use axum::extract::{Query, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use std::collections::BTreeMap;
use windlass_control::{RefusedService, WorkloadBrief};
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
    let now = Timestamp(page.controller.now_ms());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:8000");
    let main = page.list(&visitor, filter, now).unwrap_or_else(|| page.nothing_runs(&visitor, host));
    page.page(
        &visitor,
        StatusCode::OK,
        &Content { title: "Workloads".to_owned(), place: Place::Workloads, main, again: None },
    )
}

impl Page {
    /// The workloads that a filter finds, with their alerts. `None` if there is no workload.
    fn list(&self, visitor: &Visitor, filter: &str, now: Timestamp) -> Option<Markup> {
        if !filter.is_empty() {
            return self.render(visitor, filter, now);
        }
        let moment = Moment { last_event: visitor.last_event, second: now.0 / 1_000 };
        if let Some(list) = self.lists.find(moment, &visitor.scope) {
            return Some(list);
        }
        let list = self.render(visitor, filter, now)?;
        self.lists.keep(moment, &visitor.scope, &list);
        Some(list)
    }

    fn render(&self, visitor: &Visitor, filter: &str, now: Timestamp) -> Option<Markup> {
        let mut briefs = self.controller.briefs();
        briefs.retain(|brief| visitor.sees(&brief.key));
        (!briefs.is_empty()).then(|| {
            html! {
                h1 { "Workloads" }
                (alerts(&briefs, now))
                section #find { (search(filter)) }
                (list(&briefs, filter, now, |brief| self.last_hour(&brief.key, now)))
                (left_alone(&self.refused(visitor)))
            }
        })
    }

    /// The page of a fresh installation.
    fn nothing_runs(&self, visitor: &Visitor, host: &str) -> Markup {
        html! {
            h1 { "Workloads" }
            (alerts(&[], Timestamp::default()))
            section #find {}
            @if visitor.scope.is_everything() {
                (first_steps(&format!("{}{host}", if self.is_tls { "https://" } else { "" })))
            } @else {
                section #list { p.none { "There is no workload that you may see." } }
            }
            (left_alone(&self.refused(visitor)))
        }
    }

    /// The services that are left alone, as far as the caller may see them.
    fn refused(&self, visitor: &Visitor) -> Vec<RefusedService> {
        let mut refused = self.controller.refused_services();
        refused.retain(|service| visitor.sees(&service.key));
        refused
    }

    /// The ready replicas of a workload in the last hour. They are in memory.
    fn last_hour(&self, key: &WorkloadKey, now: Timestamp) -> Vec<Sample> {
        let since = Timestamp(now.0.saturating_sub(HOUR));
        let report = self.controller.metric(key, BuiltIn::ReadyReplicas.name(), since);
        report.ok().flatten().map(|report| report.samples).unwrap_or_default()
    }
}

/// The body of a first start request: it needs nothing on the machine but the engine.
pub(crate) const FIRST: &str = r#"{"image": "nginx:alpine", "max_replicas": 5, "ports": {"80/tcp": 0}, "resources": {"cpu": "0.5", "memory": "128m"}}"#;

/// The first command on a fresh installation, with the address of this server.
fn first_steps(server: &str) -> Markup {
    html! {
        section #list {
            h2 { "Nothing runs yet" }
            p { "Windlass keeps containers running and decides how many you need. Start the first workload:" }
            pre.first tabindex="0" { code { "curl --json '" (FIRST) "' " (server) "/start/container" } }
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
fn alerts(briefs: &[WorkloadBrief], now: Timestamp) -> Markup {
    let mut all: Vec<_> =
        briefs.iter().flat_map(|brief| brief.alerts.iter().map(|alert| (&brief.key, alert))).collect();
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

fn list(
    briefs: &[WorkloadBrief],
    filter: &str,
    now: Timestamp,
    recent: impl Fn(&WorkloadBrief) -> Vec<Sample>,
) -> Markup {
    let rows: Vec<(Row, &WorkloadBrief)> = briefs.iter().map(|brief| (row(brief), brief)).collect();
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
                tbody { @for (row, brief) in &found { (line(row, now, &recent(brief))) } }
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
                @if let Some(why) = &row.failure { span.bad title=(why) { "not observed" } }
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
        let text = alerts(&[view.brief()], Timestamp(60_000)).into_string();
        assert!(text.contains("2 alerts") && text.contains("<b>given up</b>"), "{text}");
        let [first, second] = ["it crashed", "&lt;later&gt;"].map(|reason| text.find(reason).expect("the reason"));
        assert!(first < second, "{text}");
        let rows = list(&[view.brief()], "", Timestamp(60_000), |_| Vec::new()).into_string();
        assert!(rows.contains("2 alerts</span>"), "{rows}");
        assert!(!alerts(&[crate::fixtures::view().brief()], Timestamp(0)).into_string().contains("<li>"));
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

//! `GET /ui/audit`: the changes that people and programs made, for administrators.

use crate::error;
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::path;
use crate::visitor::Visitor;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeMap;
use windlass_api::answer::list;

/// `GET /ui/audit?before=7`.
pub(crate) async fn show(
    State(page): State<Page>,
    visitor: Visitor,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let before = query.get("before").map(|before| format!("&before={}", path::segment(before)));
    match page.get(&visitor, &format!("/audit?limit=100{}", before.unwrap_or_default())).await {
        Ok(answer) => {
            let main = html! { h1 { "Audit" } section #audit { (table(&answer)) } };
            page.page(
                &visitor,
                StatusCode::OK,
                &Content { title: "Audit".to_owned(), place: Place::Audit, main, again: None },
            )
        }
        Err(refused) => error::refused(&page, &visitor, &refused, "/"),
    }
}

/// The records of an answer of `GET /audit`.
fn table(answer: &Value) -> Markup {
    let records = list(&answer["records"]);
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    html! {
        @if records.is_empty() {
            p.none { "Nobody has changed anything yet." }
        } @else {
            table.audit {
                thead { tr {
                    th scope="col" { "Time" } th scope="col" { "Caller" } th scope="col" { "Change" } th scope="col" { "Result" }
                } }
                tbody { @for record in records { tr {
                    td { (text(record, "time").trim_end_matches('Z').replace('T', " ")) }
                    td { b { (text(record, "who")) } small { (text(record, "from")) } }
                    td {
                        (text(record, "what")) small { (text(record, "request")) }
                        @if record["after"].is_object() || record["before"].is_object() {
                            details id={ "c" (record["id"].as_i64().unwrap_or_default()) } { summary { "Before and after" } pre tabindex="0" {
                                "before: " (record["before"].to_string()) "\nafter:  " (record["after"].to_string())
                            } }
                        }
                    }
                    td { @let result = text(record, "result"); span.bad[result != "done"] { (result) } }
                } } }
            }
            @if let Some(next) = answer["next"].as_i64() { p { a href={ "?before=" (next) } { "Older changes" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_has_its_caller_and_its_result() {
        let record = |result: &str| {
            json!({"time": "2026-01-02T03:04:05Z", "who": "<ada>", "from": "10.0.0.7", "what": "Pause scaling",
            "request": "PATCH /workloads/web/overrides", "before": {"paused": false}, "after": {"paused": true}, "result": result})
        };
        let text = table(&json!({"records": [record("done"), record("refused")], "next": 7})).into_string();
        for part in [
            "2026-01-02 03:04:05",
            "&lt;ada&gt;",
            "10.0.0.7",
            "&quot;paused&quot;:true",
            "<span class=\"bad\">refused",
            "?before=7",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert!(table(&json!({"records": []})).into_string().contains("Nobody has changed"));
    }
}

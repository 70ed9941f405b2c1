//! `GET /ui/containers/{id}/logs`: the newest lines that a replica printed.
//!
//! The lines come from the API, which decides who may read them. However many a replica printed, only the newest ones are kept,
//! in number and in bytes.

use crate::api::Refused;
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::visitor::Visitor;
use crate::{error, path, words};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use windlass_core::text::plain;
use windlass_core::{Replica, WorkloadKey};

/// How many lines may be chosen, counted from the newest.
const TAILS: [u32; 4] = [50, 200, 1_000, 5_000];

/// The choice without a query.
const USUAL_TAIL: u32 = 200;

/// The most bytes of the lines of a page.
const MOST_BYTES: usize = 1 << 20;

/// Seconds between two looks for later lines.
const FOLLOW_SECONDS: u32 = 2;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// Its time of day with its date. Empty if the engine does not say.
    at: String,
    is_error: bool,
    text: String,
}

/// The newest lines of a log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Newest {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Older lines were left out because the page has the most bytes.
    is_cut: bool,
    /// The reason for which the engine ended the log early.
    failure: Option<String>,
}

impl Newest {
    /// Adds a line of JSON. The oldest lines give way to it.
    fn add(&mut self, json: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Value>(json) else { return };
        if let Some(failure) = line["error"].as_str() {
            self.failure = Some(failure.to_owned());
            return;
        }
        let text = plain(&without_colours(line["text"].as_str().unwrap_or_default()));
        let at = line["time"].as_str().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
        self.bytes += text.len() + at.len();
        self.lines.push_back(Line { at, is_error: line["stream"] == "stderr", text });
        while self.bytes > MOST_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len() + oldest.at.len();
            self.is_cut = true;
        }
    }

    /// Reads lines of JSON to their end.
    async fn read(body: Body) -> Result<Self, Refused> {
        let (mut newest, mut rest) = (Self::default(), Vec::new());
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece: Bytes =
                piece.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
            let mut lines = piece.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                rest.extend_from_slice(line);
                // The last part is a line without its end.
                if lines.peek().is_some() {
                    newest.add(&std::mem::take(&mut rest));
                }
            }
        }
        Ok(newest)
    }
}

/// A text without the codes that colour it in a terminal.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !matches!(c, '0'..='9' | ';'));
        kept.push_str(match end {
            Some(end) if part[end..].starts_with('m') => &part[end + 1..],
            _ => part,
        });
    }
    kept
}

/// The choices of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    tail: u32,
    follows: bool,
}

impl Choice {
    fn parse(query: &BTreeMap<String, String>) -> Self {
        let tail = query.get("tail").and_then(|tail| tail.parse().ok()).filter(|tail| TAILS.contains(tail));
        Self { tail: tail.unwrap_or(USUAL_TAIL), follows: query.get("follow").is_some_and(|follow| follow == "true") }
    }

    /// The query that leads to it.
    fn query(self) -> String {
        format!("?tail={}{}", self.tail, if self.follows { "&follow=true" } else { "" })
    }
}

/// `GET /ui/containers/{id}/logs?tail=200&follow=true`.
pub(crate) async fn show(
    State(page): State<Page>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let choice = Choice::parse(&query);
    let owner = page.owner(&visitor, &id);
    let back = owner.as_ref().map_or_else(|| "/".to_owned(), |(key, _)| path::workload(key.as_str()));
    let name = owner.as_ref().map_or(id.as_str(), |(_, name)| name.as_str());
    let raw = format!("/containers/{}/logs?tail={}", path::segment(&id), choice.tail);
    let newest = match page.lines(&visitor, &raw).await {
        Ok(body) => Newest::read(body).await,
        Err(refused) => Err(refused),
    };
    let mut response = match newest {
        Ok(newest) => {
            let main = html! {
                p.crumbs {
                    a href="/" { "Workloads" }
                    @if let Some((key, _)) = &owner { " › " a href=(back) { (key) } }
                }
                h1 { "Logs of " (name) }
                (controls(choice, &raw))
                section #log.still[!choice.follows] aria-label="Lines" { (lines(&newest, choice)) }
            };
            let again = choice.follows.then_some(FOLLOW_SECONDS);
            let content = Content { title: format!("Logs of {name}"), place: Place::Workloads, main, again };
            page.page(&visitor, StatusCode::OK, &content)
        }
        Err(refused) => error::refused(&page, &visitor, &refused, &back),
    };
    // The API does not count the connection of a log among those of requests.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

impl Page {
    /// The workload of a container that the caller may see, and the container's name.
    fn owner(&self, visitor: &Visitor, id: &str) -> Option<(WorkloadKey, String)> {
        let is_wanted = |replica: &Replica| replica.is_called(id) && visitor.sees(&replica.workload);
        self.controller.find_replica(is_wanted).map(|replica| (replica.workload, replica.name))
    }
}

fn controls(choice: Choice, raw: &str) -> Markup {
    html! {
        nav.spans aria-label="Number of lines" {
            span.none aria-hidden="true" { "Lines" }
            @for tail in TAILS {
                a href=(Choice { tail, ..choice }.query()) aria-current=[(tail == choice.tail).then_some("true")] {
                    (tail) span.hide { " lines" }
                }
            }
        }
        p.acts {
            @if choice.follows {
                a.button href=(Choice { follows: false, ..choice }.query()) { "Stop following" }
            } @else {
                a.button href=(Choice { follows: true, ..choice }.query()) { "Follow" }
                a.button href=(choice.query()) { "Reload" }
            }
            a.button href=(raw) { "As text" }
        }
    }
}

fn lines(newest: &Newest, choice: Choice) -> Markup {
    html! {
        p.none {
            @if newest.lines.is_empty() {
                "The container has printed nothing."
            } @else if newest.is_cut {
                "The newest " (words::count(newest.lines.len() as u64, "line")) ", " (words::bytes(MOST_BYTES as u64))
                " at most. The text has them all."
            } @else {
                "The newest " (words::count(newest.lines.len() as u64, "line")) ", the latest at the end."
            }
            @if choice.follows { " Later lines appear every " (FOLLOW_SECONDS) " s." }
        }
        @if !newest.lines.is_empty() {
            // The style sheet shows the end of the box first.
            div.log tabindex="0" role="region" aria-label="Lines of the log" {
                ol {
                    @for line in &newest.lines {
                        li class=[line.is_error.then_some("stderr")] {
                            @if !line.at.is_empty() { time { (line.at) } " " }
                            @if line.is_error { b title="Standard error" { "err" } " " }
                            span { (line.text) }
                        }
                    }
                }
            }
        }
        @if let Some(failure) = &newest.failure { p.banner.bad role="alert" { "The log ends here: " (failure) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(stream: &str, text: &str) -> String {
        let time = "2026-01-02T03:04:05.678Z";
        format!("{}\n", json!({"time": time, "stream": stream, "text": text}))
    }

    async fn read(text: String) -> Newest {
        // Pieces that end within a line and within a character.
        let pieces: Vec<Vec<u8>> = text.into_bytes().chunks(7).map(<[u8]>::to_vec).collect();
        let stream = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
        Newest::read(Body::from_stream(stream)).await.expect("lines")
    }

    #[tokio::test]
    async fn lines_are_read_from_any_pieces_and_are_harmless_on_a_page() {
        let text = [
            record("stdout", "näive <b>\u{1b}[1;31mred\u{1b}[0m\u{7}\u{202e}"),
            record("stderr", "disk full"),
            "{\"error\":\"the engine left\"}\n".to_owned(),
        ];
        let newest = read(text.concat()).await;
        let texts: Vec<&str> = newest.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["näive <b>red", "disk full"]);
        let choice = Choice { tail: 200, follows: true };
        let page = lines(&newest, choice).into_string();
        for part in [
            "<li><time>2026-01-02 03:04:05.678</time> <span>näive &lt;b&gt;red</span></li>",
            "<li class=\"stderr\"><time>2026-01-02 03:04:05.678</time> <b title=\"Standard error\">err</b>",
            "The newest 2 lines, the latest at the end. Later lines appear every 2 s.",
            "The log ends here: the engine left",
        ] {
            assert!(page.contains(part), "{part} is missing: {page}");
        }
    }

    #[tokio::test]
    async fn a_log_of_any_length_takes_bounded_memory_and_its_newest_lines_stay() {
        let mut newest = Newest::default();
        let long = "x".repeat(16 << 10);
        for number in 0..5_000 {
            newest.add(record("stdout", &format!("{number} {long}")).as_bytes());
            assert!(newest.bytes <= MOST_BYTES, "{} bytes", newest.bytes);
        }
        assert!(newest.is_cut && newest.lines.len() < 70, "{} lines", newest.lines.len());
        assert!(newest.lines.back().is_some_and(|line| line.text.starts_with("4999 ")));
        let page = lines(&newest, Choice { tail: 5_000, follows: false }).into_string();
        assert!(page.contains("1 MiB at most"), "the page says that lines are missing");
    }

    #[test]
    fn only_offered_choices_are_accepted() {
        let parse = |text: &str| {
            let query = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            Choice::parse(&query)
        };
        assert_eq!(parse(""), Choice { tail: 200, follows: false });
        assert_eq!(parse("tail=1000&follow=true"), Choice { tail: 1_000, follows: true });
        assert_eq!(parse("tail=100000&follow=1"), Choice { tail: 200, follows: false });
        assert_eq!(parse("tail=1000&follow=true").query(), "?tail=1000&follow=true");
    }

    #[test]
    fn a_container_that_printed_nothing_says_so() {
        let page = lines(&Newest::default(), Choice { tail: 200, follows: false }).into_string();
        assert!(page.contains("The container has printed nothing.") && !page.contains("class=\"log\""), "{page}");
    }
}

//! `GET /containers/{name_or_id}/logs`.

#[cfg(test)]
mod tests;

use crate::ApiState;
use crate::error::Problem;
use crate::json::time::{Time, time_schema};
use crate::operation::{Description, Operation, Part};
use crate::path::ContainerName;
use crate::query::{Parameters, Query, boolean, time, wrong};
use crate::receiver::Receiver;
use crate::streams::{OpenStream, unbuffered};
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use windlass_core::engine::EngineError;
use windlass_core::logs::{LogLine, LogQuery, LogStream};
use windlass_core::text::plain;

/// Lines that are sent at once, if so many have come. Each has 16 KiB at most.
const LINES_AT_ONCE: usize = 32;

/// The most lines of `tail`.
const MOST_LINES: u32 = 100_000;

/// The media type of lines of JSON.
const JSON_LINES: &str = "application/x-ndjson";

/// Query of `GET /containers/{name_or_id}/logs`.
pub(crate) struct Tail(LogQuery);

impl Default for Tail {
    fn default() -> Self {
        Self(LogQuery { tail: Some(100), since: None, follow: false })
    }
}

impl Parameters for Tail {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let tail = json!({"type": "integer", "minimum": 0, "maximum": MOST_LINES, "default": 100});
        vec![
            ("tail", "How many lines, counted from the newest.", tail),
            (
                "since",
                "No line before this time: RFC 3339, or milliseconds since the Unix epoch. Default: any.",
                time_schema(),
            ),
            (
                "follow",
                "Whether the lines that are printed from now on follow. Default: false.",
                json!({"type": "boolean"}),
            ),
        ]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        match name {
            "since" => self.0.since = Some(time(name, &value)?),
            "follow" => self.0.follow = boolean(name, &value)?,
            _ => {
                let tail = value.parse().ok().filter(|tail| *tail <= MOST_LINES);
                let expected = format!("expected a whole number from 0 to {MOST_LINES}");
                self.0.tail = Some(tail.ok_or_else(|| wrong(name, expected))?);
            }
        }
        Ok(())
    }
}

/// The form of the lines that the header `accept` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accepted = parts.headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let is_json = accepted.flat_map(|value| value.split(',')).any(|accepted| {
            accepted.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(JSON_LINES))
        });
        Ok(if is_json { Self::Json } else { Self::Text })
    }
}

impl Part for Form {
    fn describe(_: &mut Description) {}
}

pub(crate) fn operation() -> Operation {
    let summary = "Read the lines that a container printed to standard output and standard error";
    Operation::new(summary, logs).answer_as("text/plain").or_as(JSON_LINES).errors(&[400, 404, 409])
}

async fn logs(
    State(state): State<ApiState>,
    ContainerName(name): ContainerName,
    Query(Tail(query)): Query<Tail>,
    form: Form,
    receiver: Receiver,
) -> Result<Response, Problem> {
    let permit = receiver.open(&state.log_streams)?;
    let lines = state.controller.logs(&name, query).await?;
    let mut response = Response::new(body(lines.take_until(receiver.ended(&state.access)), form, permit));
    let media_type = match form {
        Form::Text => "text/plain; charset=utf-8",
        Form::Json => JSON_LINES,
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(unbuffered(response))
}

/// The lines as they come. The engine stops sending when the body is dropped, because the client left.
fn body(
    lines: impl Stream<Item = Result<LogLine, EngineError>> + Send + 'static,
    form: Form,
    permit: OpenStream,
) -> Body {
    let pieces = lines.ready_chunks(LINES_AT_ONCE).map(move |lines| {
        let _held = &permit;
        let mut piece = String::new();
        for line in &lines {
            piece.push_str(&written(line, form));
            piece.push('\n');
        }
        Ok::<_, Infallible>(Bytes::from(piece))
    });
    Body::from_stream(pieces)
}

/// A line of JSON.
#[derive(Serialize)]
struct JsonLine<'a> {
    time: Option<Time>,
    stream: LogStream,
    text: &'a str,
}

fn written(line: &Result<LogLine, EngineError>, form: Form) -> String {
    match (line, form) {
        (Ok(LogLine { text, .. }), Form::Text) => text.clone(),
        (Ok(LogLine { at, stream, text }), Form::Json) => {
            let line = JsonLine { time: at.map(Time), stream: *stream, text };
            // It cannot fail: all keys are strings.
            serde_json::to_string(&line).unwrap_or_default()
        }
        // The status was sent long ago.
        (Err(error), Form::Text) => format!("windlass: the log ends here: {}", plain(&error.to_string())),
        (Err(error), Form::Json) => json!({"error": plain(&error.to_string())}).to_string(),
    }
}

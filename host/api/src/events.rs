//! `GET /events`.

mod stream;
#[cfg(test)]
mod tests;

use crate::ApiState;
use crate::access::Caller;
use crate::error::Problem;
use crate::operation::{Description, Operation, Part};
use crate::pieces;
use crate::query::{Parameters, Query, boolean, wrong};
use crate::receiver::Receiver;
use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windlass_control::events::{Batch, EventFilter, EventKind, Events, Visible};
use windlass_core::WorkloadKey;
use windlass_core::access::Role;

/// Most workloads that a query names.
const MOST_WORKLOADS: usize = 100;

/// Query of `GET /events`.
pub(crate) struct EventQuery {
    filter: EventFilter,
    last_event_id: Option<u64>,
    follow: bool,
}

impl Default for EventQuery {
    fn default() -> Self {
        Self { filter: EventFilter::default(), last_event_id: None, follow: true }
    }
}

/// The number in `Last-Event-ID` or `last_event_id`. Whole numbers of JSON readers are exact up to 2^53.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| *number <= 1 << 53)
}

fn number_schema() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": 1_u64 << 53})
}

impl Parameters for EventQuery {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        vec![
            (
                "workload",
                "Only events of this workload, by its image or name. May be given several times.",
                json!({"type": "string", "minLength": 1}),
            ),
            ("kind", "Only events of this kind. May be given several times.", json!({"type": "string", "enum": kinds})),
            (
                "last_event_id",
                "Only events after the one with this `id`; 0 for every event that is kept. The header `Last-Event-ID` \
                 takes precedence. Default: events from now on; with `follow=false` every kept event.",
                number_schema(),
            ),
            (
                "follow",
                "`false` returns the kept events as a JSON list, instead of a stream. Default: true.",
                json!({"type": "boolean"}),
            ),
        ]
    }

    fn may_repeat(name: &str) -> bool {
        matches!(name, "workload" | "kind")
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        match name {
            "workload" if value.is_empty() => return Err(wrong(name, "expected the image or the name of a workload")),
            "workload" if self.filter.workloads.len() >= MOST_WORKLOADS => {
                return Err(wrong(name, format!("given more than {MOST_WORKLOADS} times")));
            }
            "workload" => self.filter.workloads.push(WorkloadKey::stored(value)),
            "kind" => {
                let kind = EventKind::ALL.into_iter().find(|kind| kind.as_str() == value);
                let kinds = EventKind::ALL.map(|kind| format!("`{}`", kind.as_str())).join(", ");
                let kind = kind.ok_or_else(|| wrong(name, format!("expected one of {kinds}")))?;
                if !self.filter.kinds.contains(&kind) {
                    self.filter.kinds.push(kind);
                }
            }
            "follow" => self.follow = boolean(name, &value)?,
            _ => {
                let id = number(&value).ok_or_else(|| wrong(name, "expected the `id` of an event, or 0"))?;
                self.last_event_id = Some(id);
            }
        }
        Ok(())
    }
}

/// The header `Last-Event-ID`, which a browser sends when it connects again.
pub(crate) struct LastEventId(Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get("last-event-id") else { return Ok(Self(None)) };
        let id = header.to_str().ok().and_then(number);
        let detail = "header `Last-Event-ID`: expected the `id` of an event";
        id.map(|id| Self(Some(id))).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, detail))
    }
}

impl Part for LastEventId {
    fn describe(description: &mut Description) {
        description.errors.insert(400);
        description.parameters.push(json!({
            "name": "Last-Event-ID", "in": "header", "schema": number_schema(),
            "description": "The `id` of the last event that was received; the stream continues after it.",
        }));
    }
}

/// Answer of `GET /events?follow=false`. A stream has the same objects as the `data` of its events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventList {
    /// The kept events, oldest first.
    events: Vec<EventView>,
    /// The `last_event_id` after which later events follow.
    last_event_id: u64,
}

/// One event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its number. Later events have higher ones, also after a restart.
    id: u64,
    /// Its time, RFC 3339.
    time: String,
    /// `decision`, `replica`, `alert`, `policy`, `override`, `workload` or `audit`.
    kind: String,
    /// The key of its workload; absent if it concerns none.
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<String>,
    /// The event in one sentence.
    text: String,
    /// More about it, by kind.
    #[schema(value_type = Object)]
    data: Value,
}

pub(crate) fn operation() -> Operation {
    let summary = "Follow what happens, as server-sent events, or list the newest events";
    Operation::new(summary, events).answer::<EventList>().or_as("text/event-stream")
}

async fn events(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    LastEventId(header): LastEventId,
    Query(EventQuery { mut filter, last_event_id, follow }): Query<EventQuery>,
    receiver: Receiver,
) -> Result<Response, Problem> {
    // Another spelling of an image leads to the same workload.
    for key in &mut filter.workloads {
        *key = state.controller.known_key(key);
    }
    if !caller.role.includes(Role::Admin) {
        without_audit(&mut filter, &caller)?;
    }
    if !caller.scope.is_everything() {
        filter.visible = Some(Visible::of(move |key| caller.scope.includes(key)));
    }
    let after = header.or(last_event_id);
    if follow {
        let permit = receiver.open(&state.event_streams)?;
        let reader = state.controller.events().subscribe(after, filter);
        return Ok(stream::serve(reader, permit, receiver.ended(&state.access)));
    }
    let permit = pieces::permit(&state, receiver.peer())?;
    let list = List { events: state.controller.events().clone(), filter, after: after.unwrap_or(0), separator: BEGIN };
    Ok(pieces::json(permit, Some(list), |rest: Option<List>| async move { Ok(rest.map(List::piece)) }))
}

/// Leaves out the changes by people and programs, which only administrators see.
///
/// # Errors
/// 403 if the caller wants nothing else.
fn without_audit(filter: &mut EventFilter, caller: &Caller) -> Result<(), Problem> {
    if filter.kinds == [EventKind::Audit] {
        caller.check_role(Role::Admin)?;
    }
    if filter.kinds.is_empty() {
        filter.kinds = EventKind::ALL.to_vec();
    }
    filter.kinds.retain(|kind| *kind != EventKind::Audit);
    Ok(())
}

/// The events that are not sent yet.
struct List {
    events: Events,
    filter: EventFilter,
    after: u64,
    /// The text before the next event.
    separator: &'static str,
}

/// The beginning of the list.
const BEGIN: &str = r#"{"events":["#;

impl List {
    /// The next events, and the rest of the list.
    fn piece(mut self) -> (Bytes, Option<Self>) {
        let Batch { events, last, is_more } = self.events.since(self.after, &self.filter);
        let mut piece = String::new();
        for event in &events {
            piece.push_str(std::mem::replace(&mut self.separator, ","));
            piece.push_str(&event.json);
        }
        self.after = last;
        if is_more {
            return (piece.into(), Some(self));
        }
        if self.separator == BEGIN {
            piece.push_str(BEGIN);
        }
        piece.push_str(&format!(r#"],"last_event_id":{last}}}"#));
        (piece.into(), None)
    }
}

#[cfg(test)]
mod rights {
    use super::*;

    #[test]
    fn only_administrators_see_the_changes_by_people() {
        let caller = Caller::new("ada", Role::Operator);
        let seen = |kinds: &[EventKind]| {
            let mut filter = EventFilter { kinds: kinds.to_vec(), ..EventFilter::default() };
            without_audit(&mut filter, &caller).map(|()| filter.kinds).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(seen(&[]), Ok(EventKind::ALL[..6].to_vec()));
        assert_eq!(seen(&[EventKind::Audit, EventKind::Alert]), Ok(vec![EventKind::Alert]));
        assert_eq!(seen(&[EventKind::Audit]), Err(403));
    }
}

//! `GET /workloads/{name}/decisions`.

use crate::ApiState;
use crate::error::Problem;
use crate::json::time::time_schema;
use crate::long_answers::LongAnswer;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::pieces::{self, PIECE_BYTES};
use crate::query::{Parameters, Query, time, wrong};
use crate::workloads::lookup::known;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windlass_control::{ControlError, Controller};
use windlass_core::store::{DecisionPage, DecisionQuery, DecisionRecord};
use windlass_core::{Timestamp, WorkloadKey};

/// Bytes after which an answer ends. The caller reads on with `before`.
const ANSWER_BYTES: usize = 16 << 20;

/// Query of `GET /workloads/{name}/decisions`.
pub(crate) struct Newest {
    until: Option<Timestamp>,
    before: Option<i64>,
    limit: u32,
}

impl Default for Newest {
    fn default() -> Self {
        Self { until: None, before: None, limit: 20 }
    }
}

impl Parameters for Newest {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 20});
        vec![
            ("limit", "How many decisions, counted from the newest.", limit),
            (
                "until",
                "No decision after this time: RFC 3339, or milliseconds since the Unix epoch. Default: now.",
                time_schema(),
            ),
            (
                "before",
                "Only decisions with a lower `id`: `next` of the answer before.",
                json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": i64::MAX}),
            ),
        ]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        if name == "until" {
            self.until = Some(time(name, &value)?);
            return Ok(());
        }
        if name == "before" {
            let before = value.parse().ok().filter(|before| *before >= 0);
            self.before = Some(before.ok_or_else(|| wrong(name, "expected the `id` of a decision"))?);
            return Ok(());
        }
        let limit = value.parse().ok().filter(|limit| (1..=1_000).contains(limit));
        self.limit = limit.ok_or_else(|| wrong(name, "expected a whole number from 1 to 1000"))?;
        Ok(())
    }
}

/// Answer of `GET /workloads/{name}/decisions`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageDecisions {
    /// The image.
    image: String,
    /// Newest first, as they were recorded. `id` counts up. Times are milliseconds since the Unix epoch, as in the
    /// policy contract, so that a decision can be replayed. A part that no budget of the store had room for is null, and
    /// `omitted` lists it with the setting of the limit.
    #[schema(value_type = Vec<Object>)]
    decisions: Vec<DecisionRecord>,
    /// The `before` with which older decisions follow; null if there are none. An answer ends after 16 MiB.
    next: Option<i64>,
}

pub(crate) fn operation() -> Operation {
    Operation::new("List the newest decisions of a workload", decisions).answer::<ImageDecisions>().errors(&[404])
}

async fn decisions(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    Query(Newest { until, before, limit }): Query<Newest>,
    permit: LongAnswer,
) -> Result<Response, Problem> {
    let image = json!(known(&state, &key)?.workload.image.to_string());
    let query = DecisionQuery { until, before, limit, bytes: PIECE_BYTES };
    let first = state.controller.decisions(&key, query).await?;
    let begin = format!(r#"{{"image":{image},"decisions":["#).into_bytes();
    let list = List { controller: state.controller, key, query, page: Some(first), begin, sent: 0 };
    Ok(pieces::json(permit, Some(list), List::piece))
}

/// A list of which a part is sent.
struct List {
    controller: Controller,
    key: WorkloadKey,
    /// The rest of the list.
    query: DecisionQuery,
    /// The page that follows, if it is read already.
    page: Option<DecisionPage>,
    /// The beginning of the answer; empty once it is sent.
    begin: Vec<u8>,
    /// Bytes sent so far.
    sent: usize,
}

impl List {
    /// The next piece, and the rest of the list. `None` at the end of the answer.
    async fn piece(rest: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, ControlError> {
        let Some(mut list) = rest else { return Ok(None) };
        let DecisionPage { decisions, next } = match list.page.take() {
            Some(page) => page,
            None => list.controller.decisions(&list.key, list.query).await?,
        };
        let is_first = !list.begin.is_empty();
        let mut piece = std::mem::take(&mut list.begin);
        for (index, decision) in decisions.iter().enumerate() {
            if index > 0 || !is_first {
                piece.push(b',');
            }
            piece.extend(&decision.json);
        }
        let sent = u32::try_from(decisions.len()).unwrap_or(u32::MAX);
        list.query = DecisionQuery { before: next, limit: list.query.limit.saturating_sub(sent), ..list.query };
        list.sent += piece.len();
        if next.is_some() && list.query.limit > 0 && list.sent < ANSWER_BYTES {
            return Ok(Some((piece.into(), Some(list))));
        }
        piece.extend(format!(r#"],"next":{}}}"#, json!(next)).into_bytes());
        Ok(Some((piece.into(), None)))
    }
}

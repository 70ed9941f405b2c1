//! `GET /audit`: the record of changes.

use crate::ApiState;
use crate::access::store_call::call;
use crate::error::Problem;
use crate::json::time::{Time, time_schema};
use crate::operation::Operation;
use crate::query::{Parameters, Query, time, wrong};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windlass_core::WorkloadKey;
use windlass_core::access::{AuditQuery, AuditRecord};

/// Query of `GET /audit`.
pub(crate) struct Newest(AuditQuery);

impl Default for Newest {
    fn default() -> Self {
        Self(AuditQuery { since: None, before: None, workload: None, limit: 100 })
    }
}

impl Parameters for Newest {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100});
        vec![
            ("limit", "How many records, counted from the newest.", limit),
            (
                "since",
                "No record from before this time: RFC 3339, or milliseconds since the Unix epoch.",
                time_schema(),
            ),
            (
                "before",
                "Only records with a lower `id`: `next` of the answer before.",
                json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": i64::MAX}),
            ),
            ("workload", "Only changes of this workload: its image or name.", json!({"type": "string"})),
        ]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        match name {
            "since" => self.0.since = Some(time(name, &value)?),
            "workload" => self.0.workload = Some(value),
            "before" => {
                let before = value.parse().ok().filter(|before| *before >= 0);
                self.0.before = Some(before.ok_or_else(|| wrong(name, "expected the `id` of a record"))?);
            }
            _ => {
                let limit = value.parse().ok().filter(|limit| (1..=1_000).contains(limit));
                self.0.limit = limit.ok_or_else(|| wrong(name, "expected a whole number from 1 to 1000"))?;
            }
        }
        Ok(())
    }
}

/// Answer of `GET /audit`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditList {
    /// Newest first.
    records: Vec<AuditView>,
    /// The `before` with which older records follow; null if there are none.
    next: Option<i64>,
}

/// One change by a person or a program, successful or not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditView {
    /// Its number, which counts up.
    id: i64,
    /// Time of the answer to the request.
    time: Time,
    /// Name of the caller.
    who: String,
    /// Identifier of the caller's token; null if it sent none, or the one of the configuration.
    token: Option<String>,
    /// Address of the caller, or its user on this machine.
    from: String,
    /// Method and path of the request.
    request: String,
    /// The request in words.
    what: String,
    /// The changed workload; null if the change concerns none.
    workload: Option<String>,
    /// The fields that differ, before the change; null if there are none. A value that may be secret is `not shown`.
    #[schema(value_type = Object)]
    before: Value,
    /// The fields that differ, after the change; null if there are none.
    #[schema(value_type = Object)]
    after: Value,
    /// HTTP status of the answer.
    status: u16,
    /// `done`, or the reason why the request failed.
    result: String,
}

impl From<AuditRecord> for AuditView {
    fn from(record: AuditRecord) -> Self {
        let AuditRecord { id, at, who, token, from, request, what, workload, before, after, status, result } = record;
        Self { id, time: Time(at), who, token, from, request, what, workload, before, after, status, result }
    }
}

pub(crate) fn operation() -> Operation {
    Operation::new("List the changes that people and programs made, newest first", list).answer::<AuditList>()
}

async fn list(State(state): State<ApiState>, Query(Newest(query)): Query<Newest>) -> Result<Json<AuditList>, Problem> {
    let query = AuditQuery { workload: query.workload.map(|name| known(&state, name)), ..query };
    let most = query.limit as usize;
    let store = state.access.tokens.store()?;
    // One more than requested shows whether there are older ones.
    let one_more = AuditQuery { limit: query.limit + 1, ..query };
    let mut found = call(&store, move |store| store.audit(&one_more)).await?;
    let has_more = found.len() > most;
    found.truncate(most);
    let next = found.last().filter(|_| has_more).map(|record| record.id);
    Ok(Json(AuditList { records: found.into_iter().map(AuditView::from).collect(), next }))
}

/// The name of a workload as it is recorded.
fn known(state: &ApiState, name: String) -> String {
    state.controller.known_key(&WorkloadKey::stored(name)).to_string()
}

//! `GET /workloads/{name}/metrics`.

use crate::ApiState;
use crate::error::Problem;
use crate::json::time::Time;
use crate::json::time::time_schema;
use crate::long_answers::LongAnswer;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::pieces;
use crate::query::{Parameters, Query, time};
use crate::workloads::lookup::known;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use utoipa::ToSchema;
use windlass_control::metrics::MetricReport;
use windlass_control::{ControlError, Controller};
use windlass_core::contract::Sample;
use windlass_core::time::millis;
use windlass_core::{Timestamp, WorkloadKey};

/// The default of `since`, before now.
const DEFAULT_SINCE: Duration = Duration::from_secs(3_600);

/// Query of `GET /workloads/{name}/metrics`.
#[derive(Default)]
pub(crate) struct Since {
    since: Option<Timestamp>,
}

impl Parameters for Since {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let meaning =
            "No value before this time: RFC 3339, or milliseconds since the Unix epoch. Default: an hour ago.";
        vec![("since", meaning, time_schema())]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        self.since = Some(time(name, &value)?);
        Ok(())
    }
}

/// Answer of `GET /workloads/{name}/metrics`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageMetrics {
    /// The image.
    image: String,
    /// Every metric, ordered by name, including those that every workload has.
    metrics: Vec<MetricView>,
}

/// One metric and its values.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MetricView {
    /// Its name.
    name: String,
    /// `built-in`, `prometheus`, `json`, `exec` or `push`.
    source: String,
    /// Why it has no value now, beginning with the name of the failure; null if it has one.
    failure: Option<String>,
    /// Its values, ordered by time.
    samples: Vec<SampleView>,
}

/// A value. `POST /workloads/{name}/metrics` accepts it with the `name` of its metric.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SampleView {
    /// Its time.
    at: Time,
    /// `at` in milliseconds since the Unix epoch; deprecated.
    at_ms: u64,
    /// The value.
    value: f64,
}

impl From<MetricReport> for MetricView {
    fn from(report: MetricReport) -> Self {
        let sample = |Sample { at, value }| SampleView { at: Time(at), at_ms: at.0, value };
        Self {
            name: report.name,
            source: report.source.to_owned(),
            failure: report.failure,
            samples: report.samples.into_iter().map(sample).collect(),
        }
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Show the metrics of a workload, with their values since a time";
    Operation::new(summary, show).answer::<ImageMetrics>().errors(&[404])
}

async fn show(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    Query(Since { since }): Query<Since>,
    permit: LongAnswer,
) -> Result<Response, Problem> {
    let image = json!(known(&state, &key)?.workload.image.to_string());
    let default = || Timestamp(state.controller.now_ms().saturating_sub(millis(DEFAULT_SINCE)));
    let names = state.controller.metric_names(&key)?.into_iter();
    let begin = format!(r#"{{"image":{image},"metrics":["#).into_bytes();
    let since = since.unwrap_or_else(default);
    let list = List { controller: state.controller, key, since, names, begin };
    Ok(pieces::json(permit, Some(list), List::piece))
}

/// The metrics that are not sent yet.
struct List {
    controller: Controller,
    key: WorkloadKey,
    since: Timestamp,
    names: std::vec::IntoIter<String>,
    /// The beginning of the answer, or what stands between two metrics.
    begin: Vec<u8>,
}

impl List {
    /// One metric, and the rest of the list. `None` at the end of the answer.
    async fn piece(rest: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, ControlError> {
        let Some(mut list) = rest else { return Ok(None) };
        let mut piece = std::mem::take(&mut list.begin);
        let Some(name) = list.names.next() else { return Ok(Some((Bytes::from_static(b"]}"), None))) };
        let Some(report) = list.controller.metric(&list.key, &name, list.since)? else {
            // Its definition was removed meanwhile.
            list.begin = piece;
            return Ok(Some((Bytes::new(), Some(list))));
        };
        // A metric may have thousands of values.
        let written = tokio::task::spawn_blocking(move || {
            serde_json::to_writer(&mut piece, &MetricView::from(report)).expect("a metric is written to memory");
            piece
        });
        let piece = written.await.map_err(|_| ControlError::ShuttingDown)?;
        list.begin = vec![b','];
        Ok(Some((piece.into(), Some(list))))
    }
}

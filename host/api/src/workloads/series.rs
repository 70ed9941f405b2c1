//! `GET /workloads/{name}/series`.

mod period;

use crate::ApiState;
use crate::error::Problem;
use crate::json::time::Time;
use crate::long_answers::LongAnswer;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::pieces;
use crate::query::Query;
use crate::workloads::lookup::known;
use crate::workloads::series::period::Period;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;
use utoipa::ToSchema;
use windlass_control::series::{Line, Values};
use windlass_control::{ControlError, Controller};
use windlass_core::metric::BuiltIn;
use windlass_core::series::{Band, Steps};
use windlass_core::text::show_duration;
use windlass_core::{Timestamp, WorkloadKey};

/// Answer of `GET /workloads/{name}/series`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkloadSeries {
    /// The key of the workload.
    workload: String,
    /// The beginning of the first step.
    since: Time,
    /// The end of the last step.
    until: Time,
    /// The length of a step: `30s`.
    step: String,
    /// The lines, of which each has the same steps: `replicas.ready`, `replicas.running`, `count.raw`, `count.stabilized`,
    /// `count.limited`, `count.target`, and `metric.NAME` and `metric.NAME.target` for the metrics of the workload.
    lines: Vec<SeriesLine>,
    /// The rollouts, overrides and outages of the workload, and the times at which the engine could not be observed.
    bands: Vec<SeriesBand>,
}

/// One line of a chart.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesLine {
    /// Its name.
    name: String,
    /// For each step its beginning in milliseconds since the Unix epoch, and the value, or null if there is none.
    #[schema(value_type = Vec<Vec<Option<f64>>>)]
    points: Value,
}

/// A time during which the workload was in a state of its own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesBand {
    /// `rollout`, `override`, `outage` (no replica served, although some should have) or `blind` (the engine could not be
    /// observed).
    kind: String,
    /// Its beginning, which may be before `since`.
    from: Time,
    /// Its end, which may be after that of the answer; while it lasts, the end of the answer.
    until: Time,
    /// Whether it lasts.
    lasts: bool,
    /// The state in one sentence.
    text: String,
}

impl SeriesBand {
    /// A band in an answer that ends at this time.
    fn of(Band { kind, since, until, text }: Band, end: Timestamp) -> Self {
        let (lasts, until) = (until.is_none(), Time(until.unwrap_or(end)));
        Self { kind: kind.as_str().to_owned(), from: Time(since), until, lasts, text }
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Show the course of a workload over time: its counts, replicas and metrics by steps";
    Operation::new(summary, series).answer::<WorkloadSeries>().errors(&[404])
}

async fn series(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    Query(period): Query<Period>,
    permit: LongAnswer,
) -> Result<Response, Problem> {
    let key = known(&state, &key)?.workload.key;
    let steps = period.steps(Timestamp(state.controller.now_ms()))?;
    let decisions = state.controller.decision_lines(&key, steps).await?;
    let names = state.controller.metric_names(&key)?.into_iter();
    let begin = begin(&key, &steps);
    let (lines, targets) = (decisions.lines.into_iter(), decisions.targets);
    let rest = Rest { controller: state.controller, key, steps, lines, names, targets, begin };
    Ok(pieces::json(permit, Some(rest), Rest::piece))
}

/// The answer up to the first line.
fn begin(key: &WorkloadKey, steps: &Steps) -> Vec<u8> {
    let step = show_duration(Duration::from_millis(steps.step));
    let [workload, since, until, step] =
        [json!(key), json!(Time(steps.since)), json!(Time(steps.until())), json!(step)];
    format!(r#"{{"workload":{workload},"since":{since},"until":{until},"step":{step},"lines":["#).into_bytes()
}

/// The part of the answer that is not sent yet.
struct Rest {
    controller: Controller,
    key: WorkloadKey,
    steps: Steps,
    lines: std::vec::IntoIter<Line>,
    names: std::vec::IntoIter<String>,
    /// The targets of metrics, whose lines follow those of the metrics.
    targets: BTreeMap<String, Values>,
    /// The beginning of the answer, or what stands between two lines.
    begin: Vec<u8>,
}

impl Rest {
    /// The next lines, and the rest of the answer. `None` at its end.
    async fn piece(rest: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, ControlError> {
        let Some(mut rest) = rest else { return Ok(None) };
        let mut piece = std::mem::take(&mut rest.begin);
        if let Some(Line { name, values }) = rest.lines.next() {
            line(&mut piece, &name, &rest.steps, &values);
        } else if let Some(name) = rest.names.next() {
            let values = rest.controller.metric_values(&rest.key, &name, rest.steps).await?;
            let shown = if BuiltIn::of(&name) == Some(BuiltIn::ReadyReplicas) {
                "replicas.ready".to_owned()
            } else {
                format!("metric.{name}")
            };
            line(&mut piece, &shown, &rest.steps, &values);
            if let Some(values) = rest.targets.remove(&name) {
                piece.push(b',');
                line(&mut piece, &format!("metric.{name}.target"), &rest.steps, &values);
            }
        } else {
            // There is at least one line, so this is what stands between two of them.
            let bands = rest.controller.bands(&rest.key, rest.steps).await?;
            let end = rest.steps.until();
            let bands: Vec<SeriesBand> = bands.into_iter().map(|band| SeriesBand::of(band, end)).collect();
            let end = format!(r#"],"bands":{}}}"#, json!(bands));
            return Ok(Some((end.into(), None)));
        }
        rest.begin = vec![b','];
        Ok(Some((piece.into(), Some(rest))))
    }
}

/// Writes a line: of each step its beginning and its value.
fn line(piece: &mut Vec<u8>, name: &str, steps: &Steps, values: &Values) {
    let write = |piece: &mut Vec<u8>, text: String| piece.write_all(text.as_bytes()).expect("it is written to memory");
    write(piece, format!(r#"{{"name":{},"points":["#, json!(name)));
    for (index, value) in values.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write(piece, format!("{comma}[{},{}]", steps.begin(index).0, json!(value)));
    }
    write(piece, "]}".to_owned());
}

//! `/images/{image}/metrics`: what is measured of a workload, its values, and samples that are pushed.

use crate::error::Problem;
use crate::fields::{Fields, Problems, length_of_time};
use crate::request::{ImageKey, JsonBody, NoQuery, Since, to_the_end};
use crate::views::ImageView;
use crate::workloads::{changed, known};
use crate::{ApiState, fields};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;
use windlass_control::metrics::{LONGEST_KEPT, MetricReport};
use windlass_core::contract::Sample;
use windlass_core::{BuiltIn, Metric, MetricSource, Timestamp, Workload};

const SOURCES: [&str; 4] = ["prometheus", "json", "exec", "push"];
const FIELDS: &[&str] = &["prometheus", "json", "exec", "push", "interval", "timeout", "max_age", "allow_negative"];
const LONGEST_INTERVAL: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Bytes of an address, a query, a pointer or a word of a command.
const LONGEST_TEXT: usize = 4_096;
/// Samples of one push.
const MOST_SAMPLES: usize = 1_000;
/// How far ahead of this clock the time of a sample may be.
const AHEAD: Duration = Duration::from_secs(60);
/// How far back values are shown where nobody says.
const USUAL_SINCE: Duration = Duration::from_secs(3_600);

/// Answer of `GET /images/{image}/metrics`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageMetrics {
    /// The image.
    pub image: String,
    /// Every metric, in the order of names; those every workload has are among them.
    pub metrics: Vec<MetricView>,
}

/// One metric and its values.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricView {
    /// Its name.
    pub name: String,
    /// `built-in`, `prometheus`, `json`, `exec` or `push`.
    pub source: String,
    /// Why there is no value now, beginning with the name of the failure; null: there is one.
    pub failure: Option<String>,
    /// The values, by time.
    pub samples: Vec<SampleView>,
}

/// A value.
#[derive(Debug, Serialize, ToSchema)]
pub struct SampleView {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// How much.
    pub value: f64,
}

/// Answer of `POST /images/{image}/metrics`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PushedSamples {
    /// How many were taken: all of them.
    pub accepted: usize,
}

impl From<MetricReport> for MetricView {
    fn from(report: MetricReport) -> Self {
        let samples = report.samples.into_iter().map(|Sample { at, value }| SampleView { at: at.0, value });
        Self {
            name: report.name,
            source: report.source.to_owned(),
            failure: report.failure,
            samples: samples.collect(),
        }
    }
}

/// Every metric of a workload with its values since a time.
pub async fn show(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    Since(since): Since,
) -> Result<Json<ImageMetrics>, Problem> {
    let image = known(&state, &key)?.workload.image.to_string();
    let usual = || Timestamp(state.controller.now_ms().saturating_sub(windlass_core::time::millis(USUAL_SINCE)));
    let reports = state.controller.metrics(&key, since.unwrap_or_else(usual))?;
    Ok(Json(ImageMetrics { image, metrics: reports.into_iter().map(MetricView::from).collect() }))
}

/// Replaces what is measured of a workload and answers after the pass after it.
pub async fn define(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Json<ImageView>, Problem> {
    let mut problems = Problems::default();
    let metrics = Fields::of(&body, "", &["metrics"], &mut problems)
        .and_then(|fields| fields.required("metrics", &mut problems, definitions));
    let metrics = problems.finish(metrics)?;
    changed(&state, key, async move |controller, key| controller.define_metrics(&key, metrics).await).await
}

/// Takes in samples, all of them or none.
pub async fn push(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Json<PushedSamples>, Problem> {
    let workload = known(&state, &key)?.workload;
    let now = Timestamp(state.controller.now_ms());
    let mut problems = Problems::default();
    let samples = Fields::of(&body, "", &["samples"], &mut problems).and_then(|fields| {
        let read =
            |value: &Value, pointer: &str, problems: &mut Problems| sample(value, pointer, &workload, now, problems);
        fields.required("samples", &mut problems, fields::list_of(read))
    });
    if samples.as_ref().is_some_and(|samples| samples.len() > MOST_SAMPLES) {
        problems.add("/samples", format!("at most {MOST_SAMPLES} samples are taken at once"));
    }
    let samples = problems.finish(samples)?;
    let accepted = samples.len();
    to_the_end(async move { state.controller.push_samples(&key, &samples).await }).await?;
    Ok(Json(PushedSamples { accepted }))
}

fn sample(
    value: &Value,
    pointer: &str,
    workload: &Workload,
    now: Timestamp,
    problems: &mut Problems,
) -> Option<(String, Sample)> {
    let fields = Fields::of(value, pointer, &["name", "value", "at"], problems)?;
    let name = fields.required("name", problems, fields::text);
    let number = fields.required("value", problems, |value, pointer, problems| {
        let number = value.as_f64();
        if number.is_none() {
            problems.add(pointer, "expected a number");
        }
        number
    });
    let at = fields.or("at", now.0, problems, fields::whole(0..=u64::MAX));
    let (name, number, at) = (name?, number?, Timestamp(at?));
    let metric = workload.metrics.get(&name).filter(|metric| metric.source == MetricSource::Push);
    let Some(metric) = metric else {
        let pushed: Vec<&str> = (workload.metrics.iter())
            .filter(|(_, metric)| metric.source == MetricSource::Push)
            .map(|(name, _)| name.as_str())
            .collect();
        problems.add(fields.at("name"), fields::unknown("metric that is pushed", &name, &pushed));
        return None;
    };
    if at > now.plus(AHEAD) {
        problems.add(fields.at("at"), format!("it is more than {} s ahead of this clock", AHEAD.as_secs()));
    } else if now.since(at) > LONGEST_KEPT {
        problems.add(fields.at("at"), "it is more than 28 days ago");
    }
    match metric.accept(number) {
        Ok(value) => Some((name, Sample { at, value })),
        Err(failure) => {
            problems.add(fields.at("value"), failure.to_string());
            None
        }
    }
}

/// The definitions of a body: `{"name": {"prometheus": {…}, "interval": "15s"}}`.
pub(crate) fn definitions(value: &Value, pointer: &str, problems: &mut Problems) -> Option<BTreeMap<String, Metric>> {
    let definitions = fields::map_of(|name, value, pointer, problems| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if !(1..=63).contains(&name.len()) || !name.bytes().all(plain) {
            problems.add(pointer, "a metric's name is 1 to 63 lower-case letters, digits, `-` and `_`");
        } else if BuiltIn::of(name).is_some() {
            problems.add(pointer, "every workload has a metric of this name; choose another one");
        }
        Some((name.to_owned(), definition(value, pointer, problems)?))
    })(value, pointer, problems)?;
    if definitions.len() > Metric::MOST {
        problems.add(pointer, format!("a workload has at most {} metrics", Metric::MOST));
    }
    Some(definitions)
}

fn definition(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Metric> {
    let fields = Fields::of(value, pointer, FIELDS, problems)?;
    let sources: Vec<&str> = SOURCES.into_iter().filter(|source| fields.has(source)).collect();
    let source = match sources.as_slice() {
        [source] => fields.required(source, problems, |value, pointer, problems| {
            crate::metrics::source(source, value, pointer, problems)
        }),
        _ => {
            problems.add(pointer, "a metric has one source: `prometheus`, `json`, `exec` or `push`");
            None
        }
    };
    let interval = fields.or("interval", Metric::INTERVAL, problems, length_of_time);
    let usual = interval.unwrap_or(Metric::INTERVAL);
    let timeout = fields.or("timeout", Metric::TIMEOUT.min(usual), problems, length_of_time);
    let max_age = fields.or("max_age", Metric::usual_max_age(usual), problems, length_of_time);
    let allow_negative =
        fields.or("allow_negative", false, problems, |value, pointer, problems| match value.as_bool() {
            Some(truth) => Some(truth),
            None => {
                problems.add(pointer, "expected `true` or `false`");
                None
            }
        });
    let (interval, timeout, max_age) = (interval?, timeout?, max_age?);
    if !(Duration::from_secs(1)..=LONGEST_INTERVAL).contains(&interval) {
        problems.add(fields.at("interval"), "expected 1 s to 1 h");
    } else {
        if !(Duration::from_millis(10)..=interval).contains(&timeout) {
            problems.add(fields.at("timeout"), "expected 10 ms up to `interval`");
        }
        if !(interval..=DAY).contains(&max_age) {
            problems.add(fields.at("max_age"), "expected `interval` up to a day");
        }
    }
    Some(Metric { source: source?, interval, timeout, max_age, allow_negative: allow_negative? })
}

fn source(name: &str, value: &Value, pointer: &str, problems: &mut Problems) -> Option<MetricSource> {
    match name {
        "prometheus" => {
            let fields = Fields::of(value, pointer, &["url", "query"], problems)?;
            let url = fields.required("url", problems, address);
            let query = fields.required("query", problems, text);
            Some(MetricSource::Prometheus { url: url?, query: query? })
        }
        "json" => {
            let fields = Fields::of(value, pointer, &["url", "pointer"], problems)?;
            let url = fields.required("url", problems, address);
            let pointer = fields.required("pointer", problems, json_pointer);
            Some(MetricSource::Json { url: url?, pointer: pointer? })
        }
        "exec" => {
            let fields = Fields::of(value, pointer, &["command"], problems)?;
            let command = fields.required("command", problems, fields::list_of(text))?;
            if command.is_empty() {
                problems.add(fields.at("command"), "expected a program and its arguments");
            }
            Some(MetricSource::Exec { command })
        }
        _ => {
            Fields::of(value, pointer, &[], problems)?;
            Some(MetricSource::Push)
        }
    }
}

fn text(value: &Value, pointer: &str, problems: &mut Problems) -> Option<String> {
    let text = fields::text(value, pointer, problems)?;
    if text.is_empty() || text.len() > LONGEST_TEXT || text.contains('\0') {
        problems.add(pointer, format!("expected 1 to {LONGEST_TEXT} bytes of text without NUL"));
    }
    Some(text)
}

fn address(value: &Value, pointer: &str, problems: &mut Problems) -> Option<String> {
    let text = text(value, pointer, problems)?;
    let uri: Option<axum::http::Uri> = text.parse().ok();
    let fits = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if !fits {
        problems.add(pointer, "expected an address such as `http://127.0.0.1:9090`");
    }
    Some(text)
}

fn json_pointer(value: &Value, pointer: &str, problems: &mut Problems) -> Option<String> {
    let text = fields::text(value, pointer, problems)?;
    if (!text.is_empty() && !text.starts_with('/')) || text.len() > LONGEST_TEXT {
        problems.add(pointer, "expected a JSON pointer such as `/queues/0/depth`, or `\"\"` for the whole document");
    }
    Some(text)
}

/// A definition in the form of the start request; lengths of time in seconds.
pub(crate) fn shown(metric: &Metric) -> Value {
    let source = match &metric.source {
        MetricSource::Prometheus { url, query } => json!({"url": url, "query": query}),
        MetricSource::Json { url, pointer } => json!({"url": url, "pointer": pointer}),
        MetricSource::Exec { command } => json!({"command": command}),
        MetricSource::Push => json!({}),
    };
    json!({
        metric.source.name(): source,
        "interval": metric.interval.as_secs_f64(),
        "timeout": metric.timeout.as_secs_f64(),
        "max_age": metric.max_age.as_secs_f64(),
        "allow_negative": metric.allow_negative,
    })
}

//! `POST /workloads/{name}/metrics`.

use crate::ApiState;
use crate::body::Body;
use crate::detached;
use crate::error::Problem;
use crate::json::object::{Object, declare, unread};
use crate::json::problems::{Problems, unknown};
use crate::json::shape::{list_of, number, text};
use crate::json::time::time;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workloads::lookup::known;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use utoipa::ToSchema;
use windlass_control::metrics::LONGEST_KEPT;
use windlass_core::contract::Sample;
use windlass_core::{MetricSource, Timestamp, Workload};

/// Most samples of one request.
const MOST_SAMPLES: usize = 1_000;
/// How far the time of a sample may be ahead of the host's clock.
const AHEAD: Duration = Duration::from_secs(60);

declare! {
    /// Body of `POST /workloads/{name}/metrics`.
    pub(crate) struct SamplesRequest {
        /// At most 1 000 samples. If one of them is wrong, none is stored.
        required samples: Vec<Value> = list_of(unread::<SampleRequest>()).keyword("maxItems", json!(MOST_SAMPLES)),
    }
}

declare! {
    /// A value of a pushed metric.
    pub(crate) struct SampleRequest {
        /// Name of the metric.
        required name: String = text(),
        /// The value.
        required value: f64 = number(),
        /// Its time, at most 28 days ago: RFC 3339, or milliseconds since the Unix epoch. Default: now.
        optional at: Timestamp = time(),
    }
    read_only {
        "at_ms": "`at` in milliseconds since the Unix epoch, as `GET` returns it; ignored.",
    }
}

/// Answer of `POST /workloads/{name}/metrics`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PushedSamples {
    /// Number of stored samples: all of them.
    accepted: usize,
}

pub(crate) fn operation() -> Operation {
    Operation::new("Push samples of metrics", push).answer::<PushedSamples>().errors(&[400, 404]).unrecorded()
}

async fn push(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
    body: Body<SamplesRequest>,
) -> Result<Json<PushedSamples>, Problem> {
    let workload = known(&state, &key)?.workload;
    let now = Timestamp(state.controller.now_ms());
    let samples = body.check(|request, problems| checked(request, &workload, now, problems))?;
    let accepted = samples.len();
    detached::run(async move { state.controller.push_samples(&key, &samples).await }).await?;
    Ok(Json(PushedSamples { accepted }))
}

/// The samples with their names, checked against the metrics of the workload.
fn checked(
    request: SamplesRequest,
    workload: &Workload,
    now: Timestamp,
    problems: &mut Problems,
) -> Option<Vec<(String, Sample)>> {
    let samples = request.samples.given()?;
    if samples.len() > MOST_SAMPLES {
        problems.add("/samples", format!("at most {MOST_SAMPLES} samples are accepted at once"));
        return None;
    }
    let checked: Vec<Option<(String, Sample)>> = (samples.iter().enumerate())
        .map(|(index, sample)| {
            let pointer = format!("/samples/{index}");
            SampleRequest::read(sample, &pointer, problems)?.checked(&pointer, workload, now, problems)
        })
        .collect();
    checked.into_iter().collect()
}

impl SampleRequest {
    fn checked(
        self,
        pointer: &str,
        workload: &Workload,
        now: Timestamp,
        problems: &mut Problems,
    ) -> Option<(String, Sample)> {
        let (name, value, at) = (self.name.given()?, self.value.given()?, self.at.or(now)?);
        let Some(metric) = workload.metrics.get(&name).filter(|metric| metric.source == MetricSource::Push) else {
            let pushed: Vec<&str> = (workload.metrics.iter())
                .filter(|(_, metric)| metric.source == MetricSource::Push)
                .map(|(name, _)| name.as_str())
                .collect();
            problems.add(format!("{pointer}/name"), unknown("metric that is pushed", &name, &pushed));
            return None;
        };
        if at > now.plus(AHEAD) {
            problems.add(format!("{pointer}/at"), format!("it is more than {} s ahead of this clock", AHEAD.as_secs()));
        } else if now.since(at) > LONGEST_KEPT {
            problems.add(format!("{pointer}/at"), "it is more than 28 days ago");
        }
        match metric.accept(value) {
            Ok(value) => Some((name, Sample { at, value })),
            Err(failure) => {
                problems.add(format!("{pointer}/value"), failure.to_string());
                None
            }
        }
    }
}

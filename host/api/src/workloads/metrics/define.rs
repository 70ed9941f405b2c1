//! `PUT /workloads/{name}/metrics`.

use crate::ApiState;
use crate::body::Body;
use crate::error::Problem;
use crate::json::object::declare;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workload::metric::{definitions, keep_secrets};
use crate::workloads::change::changed;
use crate::workloads::view::ImageView;
use axum::Json;
use axum::extract::State;
use std::collections::BTreeMap;
use windlass_core::Metric;

declare! {
    /// Body of `PUT /workloads/{name}/metrics`.
    pub(crate) struct MetricsRequest {
        /// At most 32 metrics by name: 1 to 63 lower-case letters, digits, `-` and `_`.
        required metrics: BTreeMap<String, Metric> = definitions(),
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Replace the metrics of a workload, and answer after the next pass";
    Operation::new(summary, define).answer::<ImageView>().errors(&[400, 404, 409])
}

async fn define(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
    body: Body<MetricsRequest>,
) -> Result<Json<ImageView>, Problem> {
    let stored = state.controller.view(&key).map(|view| view.workload.metrics).unwrap_or_default();
    let metrics = body.check(|request, problems| {
        let mut metrics = request.metrics.given()?;
        keep_secrets(&mut metrics, &stored, "/metrics", problems);
        Some(metrics)
    })?;
    changed(&state, key, async move |controller, key| controller.define_metrics(&key, metrics).await).await
}

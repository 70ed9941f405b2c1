//! `GET /metrics`: the metrics of Windlass itself, in OpenMetrics format.

use crate::ApiState;
use crate::access::Caller;
use crate::error::Problem;
use crate::operation::Operation;
use crate::query::NoQuery;
use axum::Extension;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt::Error;
use windlass_control::WorkloadView;
use windlass_control::counters::{CallTimes, PolicyCounters};
use windlass_core::store::StoreSize;
use windlass_core::{FailureKind, Overrides, Timestamp};

const MEDIA_TYPE: &str = "application/openmetrics-text";
const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels with their values.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// The values of one answer.
#[derive(Debug)]
struct Figures {
    views: Vec<WorkloadView>,
    policies: PolicyCounters,
    engine_up: bool,
    orphans: usize,
    refused_services: usize,
    store: StoreSize,
    now: Timestamp,
}

pub(crate) fn operation() -> Operation {
    Operation::new("Show the metrics of Windlass itself, in OpenMetrics format", show).answer_as(MEDIA_TYPE)
}

/// All metrics, from the last observation: the engine is not called.
async fn show(
    State(state): State<ApiState>,
    Extension(Caller { scope, .. }): Extension<Caller>,
    _: NoQuery,
) -> Result<impl IntoResponse, Problem> {
    let controller = &state.controller;
    let figures = Figures {
        views: controller.views().into_iter().filter(|view| scope.includes(&view.workload.key)).collect(),
        policies: controller.policy_counters(),
        engine_up: controller.readiness().engine.is_none(),
        orphans: controller.orphans().len(),
        refused_services: controller.refused_services().len(),
        store: controller.store_size().await?,
        now: Timestamp(controller.now_ms()),
    };
    // Thousands of workloads take tens of milliseconds, in which a thread of the runtime would serve nobody else.
    let written = tokio::task::spawn_blocking(move || text(figures).map_err(|error| error.to_string())).await;
    match written.map_err(|error| error.to_string()).flatten() {
        Ok(text) => Ok(([(CONTENT_TYPE, CONTENT)], text)),
        Err(error) => {
            tracing::error!(error, "the metrics cannot be written");
            Err(Problem::internal())
        }
    }
}

fn text(figures: Figures) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("windlass");
    registry.register_collector(Box::new(figures));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        let mut build = encoder.encode_descriptor("build", "The version of Windlass", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let mut engine =
            encoder.encode_descriptor("engine_up", "Whether the engine answers", None, MetricType::Gauge)?;
        engine.encode_gauge(&i64::from(self.engine_up))?;
        for (name, help, count) in [
            ("orphans", "Containers of this instance whose workload is unknown", self.orphans),
            ("refused_services", "Services whose labels Windlass cannot follow", self.refused_services),
        ] {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&whole(count))?;
        }
        for (name, help, bytes) in [
            ("store_bytes", "Bytes of the database's files", self.store.file_bytes),
            ("store_used_bytes", "Bytes of the database that are in use", self.store.used_bytes),
        ] {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&bytes)?;
        }
        self.encode_counts(encoder)?;
        self.encode_life(encoder)?;
        self.encode_policies(encoder)
    }
}

impl Figures {
    /// The current and the desired numbers of replicas.
    fn encode_counts(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        type Count = fn(&WorkloadView) -> Option<i64>;
        let counts: [(&str, &str, Count); 8] = [
            ("min_replicas", "The fewest replicas", |view| Some(view.workload.bounds.min().into())),
            ("max_replicas", "The most replicas", |view| Some(view.workload.bounds.max().into())),
            ("proposed_replicas", "The last proposal of the scaling policy; absent if it gave no answer", |view| {
                view.counters.proposed.map(Into::into)
            }),
            ("target_replicas", "The target count", |view| Some(view.target.into())),
            ("current_replicas", "Replicas that are neither held nor being stopped", |view| Some(view.counted.into())),
            ("ready_replicas", "Replicas that are ready for requests", |view| Some(whole(view.ready()))),
            ("outdated_replicas", "Replicas that do not match the desired state", |view| {
                Some(whole(view.outdated.len()))
            }),
            ("rollout_paused", "Whether a rollout is paused after too many failures", |view| {
                Some(view.rollout.as_ref().is_some_and(|rollout| rollout.paused.is_some()).into())
            }),
        ];
        for (name, help, count) in counts {
            self.gauges(encoder, name, help, |view| count(view).map(|count| count as f64))?;
        }
        Ok(())
    }

    /// The activity of the control loop.
    fn encode_life(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Time since the end of the last pass that observed the engine";
        self.gauges(encoder, "last_pass_age_seconds", help, |view| {
            Some(self.now.since(view.observed_at?).as_secs_f64())
        })?;
        let help = "Metrics without a value in the last pass";
        self.gauges(encoder, "failed_metrics", help, |view| Some(view.counters.failed_metrics as f64))?;
        let help = "Whether an operator set this override";
        let mut family = encoder.encode_descriptor("override", help, None, MetricType::Gauge)?;
        for view in &self.views {
            let Overrides { paused, freeze_scale_up, freeze_scale_down, force } = view.workload.overrides;
            let overrides = [
                ("paused", paused),
                ("freeze_scale_up", freeze_scale_up),
                ("freeze_scale_down", freeze_scale_down),
                ("force", force.is_some()),
            ];
            for (name, is_set) in overrides {
                let labels: Labels<'_, 2> = [("workload", view.workload.key.as_str()), ("override", name)];
                family.encode_family(&labels)?.encode_gauge(&i64::from(is_set))?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "policy_answered",
            "Whether the policy answered in the last pass",
            None,
            MetricType::Gauge,
        )?;
        for (view, (health, scaling)) in self.views.iter().filter_map(|view| Some((view, view.counters.answered?))) {
            for (kind, answered) in [("health", health), ("scaling", scaling)] {
                let labels: Labels<'_, 2> = [("workload", view.workload.key.as_str()), ("kind", kind)];
                family.encode_family(&labels)?.encode_gauge(&i64::from(answered))?;
            }
        }
        let mut family = encoder.encode_descriptor("passes", "Passes that ended", None, MetricType::Counter)?;
        for view in &self.views {
            for (outcome, count) in [("done", view.counters.passes), ("blind", view.counters.blind_passes)] {
                count_one(&mut family, &[("workload", view.workload.key.as_str()), ("outcome", outcome)], count)?;
            }
        }
        type Counted = fn(&WorkloadView) -> u64;
        let counted: [(&str, &str, Counted); 3] = [
            ("decisions", "Recorded decisions", |view| view.counters.decisions),
            ("heals", "Replicas restarted or replaced because they were unhealthy", |view| view.counters.heals),
            ("metric_failures", "Metrics without a value in all passes", |view| view.counters.metric_failures),
        ];
        for (name, help, counted) in counted {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for view in &self.views {
                count_one(&mut family, &[("workload", view.workload.key.as_str())], counted(view))?;
            }
        }
        let mut family = encoder.encode_descriptor("actions", "Actions on the engine", None, MetricType::Counter)?;
        for view in &self.views {
            for ((kind, done), count) in &view.counters.actions {
                let outcome = if *done { "done" } else { "failed" };
                let key = view.workload.key.as_str();
                count_one(&mut family, &[("workload", key), ("action", kind.as_str()), ("outcome", outcome)], *count)?;
            }
        }
        Ok(())
    }

    /// The answers of the active policies.
    fn encode_policies(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Duration of a policy's calls, including the wait for a free slot";
        let mut family = encoder.encode_descriptor("policy_call_seconds", help, None, MetricType::Histogram)?;
        for ((kind, name), counters) in &self.policies.0 {
            let bounds = CallTimes::BOUNDS.into_iter().chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counters.times.buckets).collect();
            let kind = kind.to_string();
            let labels: Labels<'_, 2> = [("policy", name), ("kind", &kind)];
            let mut histogram = family.encode_family(&labels)?;
            histogram.encode_histogram::<NoLabelSet>(counters.times.sum, counters.times.calls(), &buckets, None)?;
        }
        let mut family =
            encoder.encode_descriptor("policy_failures", "Calls without an answer", None, MetricType::Counter)?;
        for ((kind, name), counters) in &self.policies.0 {
            let kind = kind.to_string();
            for failure in FailureKind::ALL {
                let count = counters.failures.get(&failure).copied().unwrap_or_default();
                let failure = failure.to_string();
                count_one(&mut family, &[("policy", name), ("kind", &kind), ("failure", &failure)], count)?;
            }
        }
        Ok(())
    }

    /// A gauge with the value of each workload that has one.
    fn gauges(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&WorkloadView) -> Option<f64>,
    ) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (view, value) in self.views.iter().filter_map(|view| Some((view, value(view)?))) {
            let labels: Labels<'_, 1> = [("workload", view.workload.key.as_str())];
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

fn count_one<const N: usize>(family: &mut MetricEncoder<'_>, labels: &Labels<'_, N>, count: u64) -> Result<(), Error> {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(&count, None)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

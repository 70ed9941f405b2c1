//! Gathers the metrics of all workloads when they are due. Workloads with the same request share it.

use crate::context::Context;
use crate::error::ControlError;
use crate::metrics::answer::{self, QueryResult};
use crate::metrics::log::count;
use crate::metrics::source_clock::{Exchange, SourceClocks};
use crate::metrics::track::LONGEST_KEPT;
use crate::metrics::unsaved::Unsaved;
use crate::replica_call::CallError;
use crate::store_access::log_failure;
use crate::workload::handle::WorkloadHandle;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use windlass_concurrency::KeyedConcurrencyLimit;
use windlass_core::contract::Sample;
use windlass_core::engine::EngineError;
use windlass_core::net::{NetError, SourceRequest};
use windlass_core::store::SeriesChanges;
use windlass_core::time::millis;
use windlass_core::{ContainerId, Metric, MetricFailure, MetricSource, Phase, Timestamp};

/// Requests in progress at once.
pub(crate) const MOST_REQUESTS: usize = 32;

/// Requests in progress at once to one source.
pub(crate) const MOST_REQUESTS_PER_SOURCE: usize = 8;

/// The endpoint of an instant query.
const QUERY_ENDPOINT: &str = "/api/v1/query";

/// Time between two checks of what is due: the shortest interval of a metric.
const TICK: Duration = Duration::from_secs(1);

/// A request for a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    source: MetricSource,
    timeout: Duration,
    /// The workload in whose replicas a command runs. `None` for a source that all workloads share.
    workload: Option<String>,
}

/// The workloads that share a request, each with its name of the metric.
type Receivers = Vec<(Arc<WorkloadHandle>, String)>;

/// The requests that wait or run. Each is there once at most, so a source that hangs does not collect requests.
#[derive(Debug, Clone, Default)]
struct InProgress(Arc<Mutex<BTreeSet<Request>>>);

/// Marks a request as in progress until it is dropped.
struct Mark {
    request: Request,
    all: InProgress,
}

impl InProgress {
    fn contains(&self, request: &Request) -> bool {
        self.0.lock().contains(request)
    }

    fn mark(&self, request: Request) -> Mark {
        self.0.lock().insert(request.clone());
        Mark { request, all: self.clone() }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.request);
    }
}

/// Gathers metrics until Windlass ends.
pub(crate) async fn gather(context: Arc<Context>) {
    let mut shutdown = context.tasks.shutdown();
    let mut before = context.clock.now();
    let limit = Arc::new(KeyedConcurrencyLimit::new(MOST_REQUESTS, MOST_REQUESTS_PER_SOURCE));
    let clocks = Arc::new(SourceClocks::default());
    let in_progress = InProgress::default();
    loop {
        tokio::select! {
            () = shutdown.begins() => return save_all(&context).await,
            () = tokio::time::sleep(TICK) => {}
        }
        let now = context.clock.now();
        for handle in context.workloads.all() {
            let state = handle.state();
            handle.metrics.keep_only(&state.workload, &state.snapshot);
            let usage = |id: &_| context.engine.usage(id);
            handle.metrics.note_usage(&state.workload, &state.snapshot, &state.history, usage, now);
        }
        let due = due(&context, &in_progress, before, now);
        before = now;
        // In the background: a slow source delays no other, and its next request comes at its next interval.
        for (request, receivers) in due {
            let (task, limit, mut shutdown) = (Arc::clone(&context), Arc::clone(&limit), context.tasks.shutdown());
            let clocks = Arc::clone(&clocks);
            let mark = in_progress.mark(request.clone());
            context.tasks.spawn(async move {
                let _mark = mark;
                tokio::select! {
                    () = shutdown.begins() => {}
                    () = send(&task, (&limit, &clocks), request, receivers) => {}
                }
            });
        }
        limit.remove_idle();
        save_all(&context).await;
    }
}

/// The requests that became due between two checks. Times are counted from the epoch, so metrics with the same interval
/// are due at the same time in all workloads. A request that is still in progress is left out.
fn due(context: &Context, in_progress: &InProgress, before: Timestamp, now: Timestamp) -> BTreeMap<Request, Receivers> {
    let mut due: BTreeMap<Request, Receivers> = BTreeMap::new();
    for handle in context.workloads.all() {
        let state = handle.state();
        for (name, metric) in &state.workload.metrics {
            let turn = |at: Timestamp| u128::from(at.0) / metric.interval.as_millis().max(1);
            let runs = || state.snapshot.replicas.iter().any(|replica| replica.phase == Phase::Running);
            let can_run = !matches!(metric.source, MetricSource::Exec { .. }) || runs();
            let is_due = handle.metrics.take_due(name, can_run);
            if turn(before) == turn(now) && !is_due {
                continue;
            }
            let workload = match &metric.source {
                MetricSource::Push => continue,
                MetricSource::Exec { .. } => Some(handle.key.to_string()),
                MetricSource::Prometheus { .. } | MetricSource::Json { .. } => None,
            };
            let request = Request { source: metric.source.clone(), timeout: metric.timeout, workload };
            if in_progress.contains(&request) {
                if is_due {
                    // It was due at once, so it does not wait for its interval now.
                    handle.metrics.stays_due(name);
                }
                continue;
            }
            due.entry(request).or_default().push((Arc::clone(&handle), name.clone()));
        }
    }
    due
}

/// Sends a request and passes its answer to the receivers.
async fn send(
    context: &Context,
    (limit, clocks): (&KeyedConcurrencyLimit, &SourceClocks),
    request: Request,
    receivers: Receivers,
) {
    let Request { source, timeout, .. } = request;
    let answer = match &source {
        MetricSource::Prometheus { url, query, credentials } => {
            let _permit = limit.acquire(url.reveal()).await;
            let request = SourceRequest { url, endpoint: QUERY_ENDPOINT, query: &[("query", query)], credentials };
            let sent = context.clock.now();
            let response = context.net.query_source(&request, answer::LONGEST, timeout).await.map_err(no_answer);
            let received = context.clock.now();
            response.and_then(|response| {
                let QueryResult { sample, missing } = answer::prometheus(answer::body(&response)?)?;
                let exchange = Exchange { sent, received, date: response.date };
                let at = clocks.corrected(&url.origin(), sample.at, exchange);
                Ok((Sample { at, ..sample }, missing))
            })
        }
        MetricSource::Json { url, pointer, credentials } => {
            let _permit = limit.acquire(url.reveal()).await;
            let request = SourceRequest { url, endpoint: "", query: &[], credentials };
            let response = context.net.query_source(&request, answer::LONGEST, timeout).await.map_err(no_answer);
            let value = response.and_then(|response| answer::pointed(answer::body(&response)?, pointer));
            value.map(|value| (Sample { at: context.clock.now(), value }, None))
        }
        MetricSource::Exec { command } => {
            for (handle, name) in &receivers {
                run_in_replicas(context, limit, handle, name, command).await;
            }
            return;
        }
        MetricSource::Push => return,
    };
    for (handle, name) in receivers {
        note(&handle, &name, &source, answer.clone().map(|(sample, _)| sample));
        if let Ok((_, Some(missing))) = &answer {
            note(&handle, &name, &source, Err(MetricFailure::InPart(missing.clone())));
        }
    }
}

/// Adds an answer to the log, if the metric still has this source and the value is valid.
fn note(handle: &WorkloadHandle, name: &str, source: &MetricSource, answer: Result<Sample, MetricFailure>) {
    let metric = handle.state().workload.metrics.get(name).filter(|metric| metric.source == *source).cloned();
    let Some(metric) = metric else { return };
    let answer = answer.and_then(|sample| metric.accept(sample.value).map(|value| Sample { value, ..sample }));
    if let Err(failure) = &answer {
        tracing::warn!(workload = %handle.key, metric = name, %failure, "the metric has no value");
    }
    handle.metrics.note(name, answer);
}

/// Runs a command in each running replica. The value is the mean of the printed numbers. If some replicas print none, the
/// value is the mean of the others, with the failure next to it.
async fn run_in_replicas(
    context: &Context,
    limit: &KeyedConcurrencyLimit,
    handle: &WorkloadHandle,
    name: &str,
    command: &[String],
) {
    let (replicas, metric) = {
        let state = handle.state();
        let running = state.snapshot.replicas.iter().filter(|replica| replica.phase == Phase::Running);
        let replicas: Vec<ContainerId> = running.map(|replica| replica.id.clone()).collect();
        let Some(metric) = state.workload.metrics.get(name) else { return };
        (replicas, metric.clone())
    };
    let caller = context.caller(&handle.commands);
    let purpose = format!("metric {name}");
    let runs = replicas.iter().map(|id| async {
        let _permit = limit.acquire(handle.key.as_str()).await;
        caller.exec(id, &purpose, command, metric.timeout).await
    });
    let outputs = futures_util::future::join_all(runs).await;
    let (mut values, mut failures) = (Vec::new(), Vec::new());
    for (id, output) in replicas.iter().zip(outputs) {
        let value = printed(output, &metric);
        let at = context.clock.now();
        handle.metrics.note_replica(name, id, value.clone().map(|value| Sample { at, value }));
        match value {
            Ok(value) => values.push(value),
            Err(failure) => failures.push(failure),
        }
    }
    let at = context.clock.now();
    let (of, without) = (replicas.len(), failures.len());
    let note = |answer| note(handle, name, &metric.source, answer);
    match (values.len(), failures.into_iter().next()) {
        (0, Some(failure)) => note(Err(failure)),
        (0, None) => {
            note(Err(MetricFailure::Missing("no replica runs".to_owned())));
            handle.metrics.stays_due(name);
        }
        (printed, failure) => {
            note(Ok(Sample { at, value: values.iter().sum::<f64>() / count(printed) }));
            if let Some(failure) = failure {
                note(Err(MetricFailure::Partial { without, of, why: failure.to_string() }));
            }
        }
    }
}

/// The number that a command printed, if it is valid.
fn printed(output: Result<String, CallError>, metric: &Metric) -> Result<f64, MetricFailure> {
    match output {
        Ok(text) => answer::printed(&text).and_then(|value| metric.accept(value)),
        Err(
            CallError::TimedOut(_) | CallError::CommandTimedOut(_) | CallError::Engine(EngineError::TimedOut { .. }),
        ) => Err(MetricFailure::TimedOut(metric.timeout)),
        Err(error) => Err(MetricFailure::Unreachable(error.to_string())),
    }
}

fn no_answer(error: NetError) -> MetricFailure {
    match error {
        NetError::TimedOut(timeout) => MetricFailure::TimedOut(timeout),
        NetError::Failed(why) => MetricFailure::Unreachable(why),
    }
}

/// Stores the new values of all workloads. A failure is logged.
async fn save_all(context: &Context) {
    if let Err(error) = save(context, &context.workloads.all()).await {
        log_failure("store the values of metrics", &error);
    }
}

/// Stores new values, so that windows survive a restart. If the store fails, they are stored with the next ones.
pub(crate) async fn save(context: &Context, handles: &[Arc<WorkloadHandle>]) -> Result<(), ControlError> {
    let (mut series, mut taken) = (Vec::new(), Vec::new());
    for handle in handles {
        let unsaved = handle.metrics.take_unsaved();
        taken.push((handle, unsaved.len()));
        series.extend(unsaved.into_iter().map(|Unsaved { name, changes, oldest }| SeriesChanges {
            key: handle.key.clone(),
            name,
            changes,
            oldest,
        }));
    }
    if series.is_empty() {
        return Ok(());
    }
    let now = context.clock.now();
    let oldest = Timestamp(now.0.saturating_sub(millis(LONGEST_KEPT)));
    let series = Arc::new(series);
    let stored = Arc::clone(&series);
    let saved = context.store.call(move |store| store.save_samples(&stored, oldest)).await;
    if saved.is_err() {
        let mut series = Arc::unwrap_or_clone(series).into_iter();
        for (handle, count) in taken {
            let unsaved = series.by_ref().take(count);
            let unsaved =
                unsaved.map(|SeriesChanges { name, changes, oldest, .. }| Unsaved { name, changes, oldest }).collect();
            handle.metrics.put_back(unsaved);
        }
    }
    saved
}

//! Asks the sources of all workloads' metrics when they are due. The same question is asked once, however many
//! workloads have it.

use super::{LONGEST_KEPT, Unsaved, answer};
use crate::control::cell::Cell;
use crate::control::shared::Shared;
use crate::model::facts::{Phase, Sample};
use crate::model::time::millis;
use crate::model::{ContainerId, MetricFailure, MetricSource, Timestamp};
use crate::net::NetError;
use crate::runtime::{Runtime, RuntimeError};
use crate::store::SeriesChanges;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Time between two looks at what is due: the shortest interval a metric may have.
const TICK: Duration = Duration::from_secs(1);

/// Questions in flight at once.
const AT_ONCE: usize = 32;

/// What is asked of somebody outside, and how long it may take: the same for all who have it.
type Question = (MetricSource, Duration);

/// Asks until Windlass ends.
pub(in crate::control) async fn gather(shared: Arc<Shared>) {
    let mut shutdown = shared.shutdown.subscribe();
    let mut before = shared.clock.now();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let is_over = tokio::select! {
            _ = shutdown.wait_for(|down| *down) => true,
            () = tokio::time::sleep(TICK) => false,
        };
        if is_over {
            return save(&shared, &shared.cells()).await;
        }
        let now = shared.clock.now();
        for cell in shared.cells() {
            let state = cell.state();
            cell.metrics.keep_only(&state.workload, &state.snapshot);
            cell.metrics.note_usage(&state.workload, &state.snapshot, |id| shared.runtime.usage(id), now);
        }
        let due = due(&shared, before, now);
        before = now;
        // Beside the ticks: what takes long keeps nobody waiting, and is asked again when it is due again.
        for (question, askers) in due {
            let (asking, places, mut ended) = (Arc::clone(&shared), Arc::clone(&places), shared.shutdown.subscribe());
            shared.spawn(async move {
                tokio::select! {
                    _ = ended.wait_for(|down| *down) => {}
                    () = ask(&asking, &places, question, askers) => {}
                }
            });
        }
        save(&shared, &shared.cells()).await;
    }
}

/// Who has a question, by the name they have it under.
type Askers = Vec<(Arc<Cell>, String)>;

/// The questions whose time came since the last look. Times are counted from the epoch, so that the same interval is
/// the same time for all workloads.
fn due(shared: &Shared, before: Timestamp, now: Timestamp) -> BTreeMap<(Question, Option<String>), Askers> {
    let mut due: BTreeMap<(Question, Option<String>), Askers> = BTreeMap::new();
    for cell in shared.cells() {
        let state = cell.state();
        for (name, metric) in &state.workload.metrics {
            let turn = |at: Timestamp| u128::from(at.0) / metric.interval.as_millis().max(1);
            if turn(before) == turn(now) && !cell.metrics.begin(name) {
                continue;
            }
            let of_one = match &metric.source {
                MetricSource::Push => continue,
                MetricSource::Exec { .. } => Some(cell.key.to_string()),
                MetricSource::Prometheus { .. } | MetricSource::Json { .. } => None,
            };
            let question = ((metric.source.clone(), metric.timeout), of_one);
            due.entry(question).or_default().push((Arc::clone(&cell), name.clone()));
        }
    }
    due
}

async fn ask(shared: &Shared, places: &Semaphore, ((source, timeout), _): (Question, Option<String>), askers: Askers) {
    if let MetricSource::Exec { command } = &source {
        for (cell, name) in &askers {
            ask_replicas(shared, places, cell, name, command, timeout).await;
        }
        return;
    }
    let _place = places.acquire().await;
    let answer = match &source {
        MetricSource::Prometheus { url, query } => {
            let body = {
                let url = format!("{}/api/v1/query", url.trim_end_matches('/'));
                shared.net.get(&url, &[("query", query)], answer::LONGEST, timeout).await
            };
            body.map_err(unanswered).and_then(|body| answer::prometheus(&body))
        }
        MetricSource::Json { url, pointer } => {
            let body = shared.net.get(url, &[], answer::LONGEST, timeout).await;
            let value = body.map_err(unanswered).and_then(|body| answer::pointed(&body, pointer));
            value.map(|value| Sample { at: shared.clock.now(), value })
        }
        MetricSource::Exec { .. } | MetricSource::Push => return,
    };
    for (cell, name) in askers {
        note(&cell, &name, &source, answer.clone());
    }
}

/// Takes an answer over, if the metric is still defined so and the value counts.
fn note(cell: &Cell, name: &str, source: &MetricSource, answer: Result<Sample, MetricFailure>) {
    let metric = cell.state().workload.metrics.get(name).filter(|metric| metric.source == *source).cloned();
    let Some(metric) = metric else { return };
    let answer = answer.and_then(|sample| metric.accept(sample.value).map(|value| Sample { value, ..sample }));
    if let Err(failure) = &answer {
        tracing::warn!(workload = %cell.key, metric = name, %failure, "the metric has no value");
    }
    cell.metrics.note(name, answer);
}

/// Runs a command in each running replica; the metric is the mean of what they print, and failed if one does.
async fn ask_replicas(
    shared: &Shared,
    places: &Semaphore,
    cell: &Cell,
    name: &str,
    command: &[String],
    timeout: Duration,
) {
    let (replicas, metric) = {
        let state = cell.state();
        let running = state.snapshot.replicas.iter().filter(|replica| replica.phase == Phase::Running);
        let replicas: Vec<ContainerId> = running.map(|replica| replica.id.clone()).collect();
        let Some(metric) = state.workload.metrics.get(name) else { return };
        (replicas, metric.clone())
    };
    let mut asked = Vec::new();
    for id in &replicas {
        asked.push(run(shared.runtime.as_ref(), places, id, command, timeout));
    }
    let mut values = Vec::new();
    for (id, printed) in replicas.iter().zip(futures_util::future::join_all(asked).await) {
        let value = printed.and_then(|text| answer::printed(&text)).and_then(|value| metric.accept(value));
        let at = shared.clock.now();
        cell.metrics.note_replica(name, id, value.clone().map(|value| Sample { at, value }));
        values.push(value);
    }
    let all: Result<Vec<f64>, MetricFailure> = values.into_iter().collect();
    let mean = all.and_then(|values| match values.len() {
        0 => Err(MetricFailure::Missing("no replica runs".to_owned())),
        count => Ok(values.iter().sum::<f64>() / super::count(count)),
    });
    note(cell, name, &metric.source, mean.map(|value| Sample { at: shared.clock.now(), value }));
}

async fn run(
    runtime: &dyn Runtime,
    places: &Semaphore,
    id: &ContainerId,
    command: &[String],
    timeout: Duration,
) -> Result<String, MetricFailure> {
    let _place = places.acquire().await;
    match tokio::time::timeout(timeout, runtime.exec(id, command)).await {
        Err(_) | Ok(Err(RuntimeError::TimedOut { .. })) => Err(MetricFailure::TimedOut(timeout)),
        Ok(Err(error)) => Err(MetricFailure::Unreachable(error.to_string())),
        Ok(Ok(output)) => Ok(output),
    }
}

fn unanswered(error: NetError) -> MetricFailure {
    match error {
        NetError::TimedOut(timeout) => MetricFailure::TimedOut(timeout),
        NetError::Failed(why) => MetricFailure::Unreachable(why),
    }
}

/// Stores what came, so that windows survive a restart.
pub(in crate::control) async fn save(shared: &Shared, cells: &[Arc<Cell>]) {
    let mut changes = Vec::new();
    for cell in cells {
        changes.extend(
            cell.metrics.take_unsaved().into_iter().map(|Unsaved { name, changes, oldest }| SeriesChanges {
                key: cell.key.clone(),
                name,
                changes,
                oldest,
            }),
        );
    }
    if changes.is_empty() {
        return;
    }
    let now = shared.clock.now();
    let oldest = Timestamp(now.0.saturating_sub(millis(LONGEST_KEPT)));
    shared.store_or_log("store the values of metrics", move |store| store.save_samples(&changes, oldest)).await;
}

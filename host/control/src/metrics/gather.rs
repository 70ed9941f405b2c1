//! Asks the sources of all workloads' metrics when they are due. The same question is asked once, however many
//! workloads have it.

use crate::command::Ran;
use crate::context::Shared;
use crate::metrics::concurrency::Places;
use crate::metrics::{LONGEST_KEPT, Unsaved, answer};
use crate::workload::state::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::contract::{Phase, Sample};
use windlass_core::engine::EngineError;
use windlass_core::net::NetError;
use windlass_core::store::SeriesChanges;
use windlass_core::time::millis;
use windlass_core::{ContainerId, MetricFailure, MetricSource, Timestamp};

/// Time between two looks at what is due: the shortest interval a metric may have.
const TICK: Duration = Duration::from_secs(1);

/// What is asked of somebody outside, and how long it may take: the same for all who have it.
type Question = (MetricSource, Duration);

/// Asks until Windlass ends.
pub(crate) async fn gather(shared: Arc<Shared>) {
    let mut shutdown = shared.shutdown.subscribe();
    let mut before = shared.clock.now();
    let places = Arc::new(Places::new());
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
            cell.metrics.note_usage(&state.workload, &state.snapshot, |id| shared.engine.usage(id), now);
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
        places.tidy();
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

async fn ask(shared: &Shared, places: &Places, ((source, timeout), _): (Question, Option<String>), askers: Askers) {
    if let MetricSource::Exec { command } = &source {
        for (cell, name) in &askers {
            ask_replicas(shared, places, cell, name, command, timeout).await;
        }
        return;
    }
    let answer = match &source {
        MetricSource::Prometheus { url, query } => {
            let _place = places.of(url).await;
            let body = {
                let url = format!("{}/api/v1/query", url.trim_end_matches('/'));
                shared.net.get(&url, &[("query", query)], answer::LONGEST, timeout).await
            };
            body.map_err(unanswered).and_then(|body| answer::prometheus(&body))
        }
        MetricSource::Json { url, pointer } => {
            let _place = places.of(url).await;
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

/// Runs a command in each running replica; the metric is the mean of what they print. Where some print none there is the
/// mean of the others, and the failure besides.
async fn ask_replicas(
    shared: &Shared,
    places: &Places,
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
        asked.push(async {
            let _place = places.of(cell.key.as_str()).await;
            cell.metrics.commands.run(&shared.engine, id, name, command, timeout).await
        });
    }
    let (mut good, mut failures) = (Vec::new(), Vec::new());
    for (id, ran) in replicas.iter().zip(futures_util::future::join_all(asked).await) {
        let value = printed(ran, timeout).and_then(|value| metric.accept(value));
        let at = shared.clock.now();
        cell.metrics.note_replica(name, id, value.clone().map(|value| Sample { at, value }));
        match value {
            Ok(value) => good.push(value),
            Err(why) => failures.push(why),
        }
    }
    let at = shared.clock.now();
    let (of, without) = (replicas.len(), failures.len());
    let tell = |answer| note(cell, name, &metric.source, answer);
    match (good.len(), failures.into_iter().next()) {
        (0, Some(why)) => tell(Err(why)),
        (0, None) => tell(Err(MetricFailure::Missing("no replica runs".to_owned()))),
        (count, failure) => {
            tell(Ok(Sample { at, value: good.iter().sum::<f64>() / crate::metrics::count(count) }));
            if let Some(why) = failure {
                tell(Err(MetricFailure::Partial { without, of, why: why.to_string() }));
            }
        }
    }
}

/// The number a command printed.
fn printed(ran: Ran, timeout: Duration) -> Result<f64, MetricFailure> {
    match ran {
        Ran::NotBegun => Err(MetricFailure::Unreachable("the command of an earlier question still runs".to_owned())),
        Ran::TimedOut | Ran::Ended(Err(EngineError::TimedOut { .. })) => Err(MetricFailure::TimedOut(timeout)),
        Ran::Ended(Err(error)) => Err(MetricFailure::Unreachable(error.to_string())),
        Ran::Ended(Ok(text)) => answer::printed(&text),
    }
}

fn unanswered(error: NetError) -> MetricFailure {
    match error {
        NetError::TimedOut(timeout) => MetricFailure::TimedOut(timeout),
        NetError::Failed(why) => MetricFailure::Unreachable(why),
    }
}

/// Stores what came, so that windows survive a restart.
pub(crate) async fn save(shared: &Shared, cells: &[Arc<Cell>]) {
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

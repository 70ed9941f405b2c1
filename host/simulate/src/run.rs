//! Runs a policy over a trace.

pub use crate::service::QUEUE;

use crate::budget::{Budget, MAX_STEPS, RunError, check_interval};
use crate::outcome::Recorder;
use crate::service::Service;
use crate::trace::Trace;
use crate::{Measures, Point, ServiceModel, Silence, Subject};
use std::time::Duration;
use windlass_core::contract::Sample;
use windlass_core::metric::BuiltIn;
use windlass_core::{MetricFailure, Timestamp};

/// Time step of the service model between two passes. It is longer for a load of more than 46 days.
const TICK: Duration = Duration::from_secs(1);

/// The column in which a value above 0 makes every starting replica crash.
const CRASHING: &str = "crashing";

/// Container metrics that the model does not have. They are reported as missing, because a value of 0 would make a
/// policy scale in.
const UNMODELLED: [BuiltIn; 3] =
    [BuiltIn::MemoryUtilization, BuiltIn::NetworkReceiveRate, BuiltIn::NetworkTransmitRate];

/// The results of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// The measures.
    pub measures: Measures,
    /// One point per pass.
    pub points: Vec<Point>,
    /// Inputs that were missing in some passes.
    pub silences: Vec<Silence>,
}

/// Runs a workload through a trace, starting with its target as the number of replicas. `progress` receives the
/// completed share, 0 to 1.
///
/// The policy's input contains the trace's columns and [`QUEUE`] as metrics of the workload, in addition to the
/// built-in metrics.
///
/// # Errors
/// If the policy does not return its requirements, or the run exceeds the limits of a simulation.
pub async fn run(
    mut subject: Subject,
    trace: &Trace,
    model: ServiceModel,
    mut progress: impl FnMut(f64),
) -> Result<Ran, RunError> {
    let (begin, end) = trace.span();
    let span = end.since(begin);
    check_interval(span, subject.interval().max(TICK))?;
    let (mut budget, step) = (Budget::within(subject.time()), TICK.max(span / MAX_STEPS));
    let done = |now: Timestamp| now.since(begin).as_secs_f64() / span.as_secs_f64().max(1.0);
    let mut service = Service::new(model, &subject.workload, subject.target(), begin);
    let (mut recorder, mut points) = (Recorder::default(), Vec::new());
    let (mut now, mut saturation) = (begin, 0.0);
    let needed = |load: f64| needed(load, model.capacity);
    while now <= end {
        budget.check_time(now, done(now))?;
        measure(&subject, trace, &service, now);
        let snapshot = service.snapshot(&subject.workload, now);
        budget.pass(snapshot.replicas.len(), trace.names().len())?;
        let uses = |id: &_| snapshot.replica(id).and_then(|replica| replica.usage);
        subject.metrics.note_usage(&subject.workload, &snapshot, subject.history(), uses, now);
        for metric in UNMODELLED {
            subject.metrics.without(
                metric.name(),
                &MetricFailure::Missing("the model of the service does not have it".to_owned()),
            );
        }
        subject.metrics.keep_only(&subject.workload, &snapshot);
        let series = subject.series(now).await?;
        let before = subject.target();
        for series in series.iter().filter(|series| series.replica.is_none()) {
            if let Some(why) = &series.failure {
                recorder.silence(Some(&series.name), why);
            }
        }
        let pass = subject.pass(snapshot, series, now).await;
        if let Err(failure) = &pass.evaluation.verdict.scaling.answer {
            recorder.silence(None, failure);
        }
        service.act(&subject.workload, &pass.plan.steps, now);
        recorder.pass(now, before, pass.plan.target);
        let load = trace.load(now);
        points.push(Point {
            at: now,
            load,
            needed: needed(load),
            wanted: pass.plan.target,
            running: count(service.running()),
            ready: count(service.ready(now)),
            queue: service.queue(),
            saturation,
        });
        progress(done(now));
        let next = now.plus(subject.wait(&pass.plan, now).max(step));
        let (mut used, mut time) = (0.0, 0.0);
        while now < next {
            let tick = step.min(next.since(now));
            if trace.value(CRASHING, now).is_some_and(|on| on > 0.0) {
                service.crash(now.minus(step), now);
            }
            let load = trace.load(now);
            let stretch = service.serve(load, now, tick);
            recorder.serve(now, tick, needed(load), count(service.ready(now)), (stretch.offered, stretch.dropped));
            used += stretch.utilization * tick.as_secs_f64();
            time += tick.as_secs_f64();
            now = now.plus(tick);
        }
        saturation = if time > 0.0 { used / time } else { 0.0 };
        service.note_utilization(saturation);
    }
    // The last pass is usually before the end.
    progress(1.0);
    let (measures, silences) = recorder.finish();
    Ok(Ran { measures, points, silences })
}

fn measure(subject: &Subject, trace: &Trace, service: &Service, now: Timestamp) {
    let note = |name: &str, value: Option<f64>| {
        let value = value.ok_or_else(|| MetricFailure::Empty("the trace has no value".to_owned()));
        let sample = value.map(|value| Sample { at: now, value });
        subject.metrics.note(name, sample.and_then(|sample| subject.accept(name, sample)));
    };
    for (name, value) in trace.values(now) {
        note(name, value);
    }
    note(QUEUE, Some(service.queue()));
    // Nothing is stored in a simulation.
    subject.metrics.discard_unsaved();
}

fn count(replicas: usize) -> u32 {
    u32::try_from(replicas).unwrap_or(u32::MAX)
}

/// The minimum number of replicas for a load: load ÷ capacity, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float casts saturating; neither is below 0"
)]
fn needed(load: f64, capacity: f64) -> u32 {
    (load / capacity).ceil() as u32
}

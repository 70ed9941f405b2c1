//! Runs policies over a trace in the simulator, on a thread of its own.

use crate::series::Line;
use crate::try_it::recorded;
use crate::try_it::runs::Run;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::contract::{MetricRequest, Sample, ScalingDecision, ScalingObservation};
use windlass_core::policy::ScalingPolicy;
use windlass_core::workload::DesiredStatus;
use windlass_core::{
    Declaration, FailureKind, Overrides, PolicyChoices, PolicyFailure, PolicyIdentity, Timestamp, Workload,
};
use windlass_simulate::run::{QUEUE, Ran, run};
use windlass_simulate::trace::Trace;
use windlass_simulate::{Measures, Point, ServiceModel, Subject, define_metrics};

/// Time between two passes, the default of `windlass simulate`.
const INTERVAL: Duration = Duration::from_secs(15);

/// A policy with its configuration.
#[derive(Clone)]
pub(crate) struct Tried {
    pub(crate) name: String,
    pub(crate) policy: Arc<dyn ScalingPolicy>,
    pub(crate) config: String,
}

/// The input of a replay.
pub(crate) struct Input {
    pub(crate) workload: Workload,
    pub(crate) trace: Trace,
    /// The current policy, if the workload has only one, and the policy to try.
    pub(crate) policies: Vec<Tried>,
    pub(crate) capacity: f64,
    pub(crate) start_up: Duration,
    /// The ready replicas that there were, and the recorded load. `None` for an example.
    pub(crate) recorded: Option<(Line, Vec<Sample>)>,
}

/// The measures of one count over the load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// The count over time.
    pub(crate) line: Line,
    /// Replica-minutes below and above what the load needs.
    pub(crate) too_little: f64,
    pub(crate) too_much: f64,
    /// The rest; `None` for the recorded count.
    pub(crate) measures: Option<Measures>,
    /// The inputs that were missing, one sentence each.
    pub(crate) silences: Vec<String>,
}

/// The result of a replay.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Replay {
    pub(crate) since: u64,
    pub(crate) until: u64,
    pub(crate) capacity: f64,
    pub(crate) needed: Line,
    /// The recorded count first, if there is one; then one for each policy.
    pub(crate) counts: Vec<Measured>,
}

/// The most points of a line.
const MOST_POINTS: usize = 1_000;

/// Replays the trace with each policy.
///
/// # Errors
/// One sentence: a policy failed, the run is too large, or it was cancelled.
pub(crate) async fn replay(input: Input, progress: &Arc<Run<Replay>>) -> Result<Replay, String> {
    let Input { workload, trace, policies, capacity, start_up, recorded } = input;
    let (since, until) = trace.span();
    let workload = subject_of(workload, &trace);
    let model = ServiceModel { capacity, start_up, queue: capacity * 10.0 };
    let begin = workload.bounds.clamp((trace.load(since) / capacity).ceil() as u32);
    let all = policies.len().max(1) as f64;
    let mut counts: Vec<Measured> = Vec::new();
    if let Some((line, load)) = recorded {
        let (too_little, too_much) = recorded::minutes(&load, &line, capacity);
        let line = thinned(line);
        counts.push(Measured {
            name: "recorded".to_owned(),
            line,
            too_little,
            too_much,
            measures: None,
            silences: Vec::new(),
        });
    }
    for (index, Tried { name, policy, config }) in policies.into_iter().enumerate() {
        let watched = Watched { policy, run: Arc::clone(progress) };
        let subject =
            Subject::new(workload.clone(), Arc::new(watched), config).beginning_at(Some(begin)).every(INTERVAL);
        let advance = |done: f64| progress.advance((index as f64 + done) / all);
        let ran = run(subject, &trace, model, advance).await;
        if progress.is_cancelled() {
            return Err("it was cancelled".to_owned());
        }
        let Ran { measures, points, silences } = ran.map_err(|error| format!("policy {name}: {error}"))?;
        let silences = silences.into_iter().map(|silence| {
            let of = silence.metric.map_or_else(|| "no answer".to_owned(), |metric| format!("no value of {metric}"));
            format!("{name}: {of} in {} of {} passes; first: {}", silence.passes, measures.passes, silence.why)
        });
        counts.push(Measured {
            line: wanted(&points),
            too_little: measures.too_little,
            too_much: measures.too_much,
            measures: Some(measures),
            silences: silences.collect(),
            name,
        });
    }
    let step = until.since(since).as_millis() as u64 / MOST_POINTS as u64 + 1;
    let loads = (0..=MOST_POINTS as u64).map(|index| Timestamp(since.0 + index * step)).filter(|at| *at <= until);
    let needed = recorded::needed(loads.map(|at| (at, trace.load(at))), capacity);
    Ok(Replay { since: since.0, until: until.0, capacity, needed: thinned(needed), counts })
}

/// The workload as a subject of a simulation: managed, acting, and without an operator's overrides.
fn subject_of(mut workload: Workload, trace: &Trace) -> Workload {
    workload.declaration = Declaration::Api;
    workload.overrides = Overrides::default();
    workload.policies = PolicyChoices::default();
    workload.depends_on.clear();
    workload.resources.status = DesiredStatus::Running;
    define_metrics(&mut workload, trace.names().chain([QUEUE]));
    workload
}

/// The target of each pass as a line of its changes.
fn wanted(points: &[Point]) -> Line {
    let points = points.iter().map(|point| (point.at.0, Some(f64::from(point.wanted))));
    thinned(Line { name: "target".to_owned(), points: points.collect() })
}

/// A line without points that repeat the value before them; of a long one, the highest value of each stretch.
fn thinned(mut line: Line) -> Line {
    line.points.dedup_by(|next, before| next.1 == before.1);
    let stretch = line.points.len().div_ceil(MOST_POINTS);
    if stretch > 1 {
        let highest = |points: &[(u64, Option<f64>)]| {
            let value = points.iter().filter_map(|(_, value)| *value).reduce(f64::max);
            (points[0].0, value)
        };
        line.points = line.points.chunks(stretch).map(highest).collect();
    }
    line
}

/// A policy that fails once its replay is cancelled.
struct Watched {
    policy: Arc<dyn ScalingPolicy>,
    run: Arc<Run<Replay>>,
}

#[async_trait]
impl ScalingPolicy for Watched {
    fn identity(&self) -> &PolicyIdentity {
        self.policy.identity()
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        if self.run.is_cancelled() {
            // The simulator ends with the first policy that does not say what it needs.
            return Err(PolicyFailure::new(FailureKind::Refused, "it was cancelled"));
        }
        self.policy.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        self.policy.decide(config, observation).await
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        self.policy.protected(config, observation).await
    }
}

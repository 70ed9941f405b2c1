//! A scenario: observations or proposals with their times, and the decision for each; one JSON object per line.
//!
//! Empty lines and lines that begin with `#` are ignored. The first object is the [`Beginning`], each other an
//! `Event`, which is one pass. The result is one [`Outcome`] per event.

use crate::budget::{Budget, MAX_PASSES, MAX_SPAN, RunError, TimeLimit};
use crate::replica::simulated;
use crate::{BEGINNING, Subject};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use windlass_core::contract::{HealthStatus, MetricRequest, Phase, Sample, ScalingDecision, ScalingObservation, Usage};
use windlass_core::policy::ScalingPolicy;
use windlass_core::{
    Bounds, ContainerId, FailureKind, HeldBy, MetricFailure, Plan, PolicyFailure, PolicyIdentity, Replica, Slot,
    Snapshot, Stages, Step, Timestamp, Workload,
};

/// The start of a scenario.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// The body of `POST /start/container`, in which `image` and `resources` are optional.
    #[serde(default)]
    pub workload: serde_json::Map<String, Value>,
    /// The initial count, at most 1,000. `None` for the minimum, at least 1.
    pub replicas: Option<u32>,
    /// Start time, RFC 3339, from 1970 to 2099. `None` for 2026-01-01T00:00:00Z.
    pub begin: Option<jiff::Timestamp>,
}

impl Beginning {
    fn check(&self) -> Result<(), String> {
        if let Some(replicas) = self.replicas.filter(|replicas| *replicas > Bounds::LIMIT) {
            return Err(format!("`replicas` is {replicas}; expected at most {}", Bounds::LIMIT));
        }
        let is_early = |begin: &jiff::Timestamp| (0..LATEST_BEGIN_MS).contains(&begin.as_millisecond());
        match self.begin.filter(|begin| !is_early(begin)) {
            Some(begin) => Err(format!("`begin` is {begin}; expected a time from 1970 to 2099")),
            None => Ok(()),
        }
    }
}

/// The first millisecond after 2099.
const LATEST_BEGIN_MS: i64 = 4_102_444_800_000;

/// The state at a time, for which a decision is made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    /// Seconds since the start.
    at: f64,
    /// The policy's proposal. `None` if the policy is called.
    proposal: Option<u32>,
    /// The reason why the policy is unavailable, if it is.
    unavailable: Option<String>,
    /// Metrics of the workload: a number, null for a query without a result, or a text for why there is none. A metric
    /// that is left out has no new value.
    #[serde(default)]
    metrics: BTreeMap<String, Value>,
    /// The existing replicas. `None` for as many as the target, all ready for an hour.
    replicas: Option<Vec<EventReplica>>,
}

/// A replica in an event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventReplica {
    /// Its name.
    id: String,
    /// Its phase; running if it is left out.
    #[serde(default = "running")]
    phase: Phase,
    /// Its health status; healthy if it is left out.
    #[serde(default = "healthy")]
    health: HealthStatus,
    /// Time of its creation and start, in seconds since the scenario's start; an hour before it if left out.
    #[serde(default = "long_ago")]
    started: f64,
    /// Cores in use. `None` if there is no sample of its resource use.
    cpu_cores: Option<f64>,
    /// Bytes of memory in use; set together with the cores, or not at all.
    memory_bytes: Option<u64>,
    /// Bytes received per second; 0 if it is left out of a sample.
    network_receive_rate: Option<f64>,
    /// Bytes sent per second; 0 if it is left out of a sample.
    network_transmit_rate: Option<f64>,
    /// Metrics measured at the replica, in the same form as in the event.
    #[serde(default)]
    metrics: BTreeMap<String, Value>,
}

fn running() -> Phase {
    Phase::Running
}

fn healthy() -> HealthStatus {
    HealthStatus::Healthy
}

fn long_ago() -> f64 {
    -3_600.0
}

/// The decision for an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Seconds since the start.
    pub at: f64,
    /// The count before.
    pub from: u32,
    /// The target count.
    pub target: u32,
    /// The stages of the proposal; null if there was none.
    pub stages: Option<Stages>,
    /// The reason why the target differs from the proposal; null if it does not.
    pub held_by: Option<HeldBy>,
    /// One sentence.
    pub reason: String,
    /// The steps of the plan.
    pub steps: Vec<Step>,
}

/// A parsed scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its start.
    pub beginning: Beginning,
    /// Its events, by time.
    events: Vec<Event>,
}

impl Scenario {
    /// Parses a scenario.
    ///
    /// # Errors
    /// One sentence with the line number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter_map(|(index, line)| {
            let line = line.trim();
            (!line.is_empty() && !line.starts_with('#')).then_some((index + 1, line))
        });
        fn read<'a, T: Deserialize<'a>>((number, line): (usize, &'a str)) -> Result<T, String> {
            serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))
        }
        let first = lines.next().ok_or("the scenario is empty")?;
        let beginning: Beginning = read(first)?;
        beginning.check().map_err(|why| format!("line {}: {why}", first.0))?;
        let mut events: Vec<Event> = Vec::new();
        for line in lines {
            let event: Event = read(line)?;
            let most = MAX_SPAN.as_secs_f64();
            if !(0.0..=most).contains(&event.at) || events.last().is_some_and(|last| last.at >= event.at) {
                return Err(format!(
                    "line {}: `at` is {}; expected seconds that increase from line to line, at most {most} (366 days)",
                    line.0, event.at
                ));
            }
            if events.len() >= MAX_PASSES as usize {
                return Err(format!("line {}: a scenario has at most {MAX_PASSES} passes; shorten it", line.0));
            }
            let listed = event.replicas.as_ref().map_or(0, Vec::len);
            if listed > Bounds::LIMIT as usize {
                return Err(format!(
                    "line {}: `replicas` lists {listed} replicas; expected at most {}",
                    line.0,
                    Bounds::LIMIT
                ));
            }
            for (name, value) in
                event.metrics.iter().chain(event.replicas.iter().flatten().flat_map(|one| &one.metrics))
            {
                if !(value.is_number() || value.is_null() || value.is_string()) {
                    return Err(format!("line {}: `{name}` is {value}; expected a number, null or a text", line.0));
                }
            }
            for replica in event.replicas.iter().flatten() {
                let rates = replica.network_receive_rate.or(replica.network_transmit_rate);
                let is_whole = replica.cpu_cores.is_some() == replica.memory_bytes.is_some();
                if !is_whole || (rates.is_some() && replica.cpu_cores.is_none()) {
                    return Err(format!(
                        "line {}: `cpu_cores` and `memory_bytes` of replica `{}` are one sample; give both, or no \
                         resource use at all",
                        line.0, replica.id
                    ));
                }
            }
            events.push(event);
        }
        Ok(Self { beginning, events })
    }

    /// The metrics with values in the scenario.
    pub fn metrics(&self) -> BTreeSet<&str> {
        let of_events = self.events.iter().flat_map(|event| event.metrics.keys());
        let replicas = self.events.iter().flat_map(|event| event.replicas.iter().flatten());
        of_events.chain(replicas.flat_map(|replica| replica.metrics.keys())).map(String::as_str).collect()
    }

    /// Returns true if any event calls the policy.
    pub fn asks(&self) -> bool {
        self.events.iter().any(|event| event.proposal.is_none() && event.unavailable.is_none())
    }

    /// Runs one pass per event. `policy` is called for events without a proposal.
    ///
    /// # Errors
    /// If the policy does not return its requirements, or the run exceeds the limits of a simulation.
    pub async fn run(
        &self,
        workload: Workload,
        policy: Arc<dyn ScalingPolicy>,
        config: String,
        time: Option<TimeLimit>,
    ) -> Result<Vec<Outcome>, RunError> {
        let begin = self.beginning.begin.and_then(|begin| u64::try_from(begin.as_millisecond()).ok());
        let begin = begin.map_or(BEGINNING, Timestamp);
        let scripted = Arc::new(Scripted { policy, script: Mutex::default() });
        let mut subject = Subject::new(workload, Arc::<Scripted>::clone(&scripted), config);
        subject = subject.beginning_at(self.beginning.replicas);
        let (mut all, mut budget) = (Vec::new(), Budget::within(time));
        for event in &self.events {
            let now = after(begin, event.at);
            let from = subject.target();
            let snapshot = snapshot(event, &subject, begin, now);
            budget.check_time(now, all.len() as f64 / self.events.len().max(1) as f64)?;
            budget.pass(snapshot.replicas.len(), event.metrics.len())?;
            for (name, value) in &event.metrics {
                subject.metrics.note(name, sample(value, now).and_then(|sample| subject.accept(name, sample)));
            }
            for replica in event.replicas.iter().flatten() {
                let id = ContainerId(replica.id.clone());
                for (name, value) in &replica.metrics {
                    let sample = sample(value, now).and_then(|sample| subject.accept(name, sample));
                    subject.metrics.note_replica(name, &id, sample);
                }
            }
            let uses = |id: &_| snapshot.replica(id).and_then(|replica| replica.usage);
            subject.metrics.note_usage(&subject.workload, &snapshot, subject.history(), uses, now);
            subject.metrics.keep_only(&subject.workload, &snapshot);
            *scripted.script.lock() = event.unavailable.clone().map(Err).or(event.proposal.map(Ok));
            let series = subject.series(now).await?;
            let plan = subject.pass(snapshot, series, now).await.plan;
            let Plan { target, stages, held_by, reason, steps, .. } = plan;
            all.push(Outcome { at: event.at, from, target, stages, held_by, reason, steps });
        }
        Ok(all)
    }
}

/// A policy that returns the event's proposal, else calls the real policy.
struct Scripted {
    policy: Arc<dyn ScalingPolicy>,
    script: Mutex<Option<Result<u32, String>>>,
}

#[async_trait]
impl ScalingPolicy for Scripted {
    fn identity(&self) -> &PolicyIdentity {
        self.policy.identity()
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        self.policy.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        let script = self.script.lock().clone();
        match script {
            None => self.policy.decide(config, observation).await,
            Some(Err(why)) => Err(PolicyFailure::new(FailureKind::Refused, why)),
            Some(Ok(replicas)) => Ok(ScalingDecision {
                replicas,
                reason: "the scenario proposes it".to_owned(),
                memory: observation.memory.clone(),
                evaluate_after: None,
                parts: Vec::new(),
            }),
        }
    }
}

fn sample(value: &Value, now: Timestamp) -> Result<Sample, MetricFailure> {
    match value {
        Value::String(why) => Err(MetricFailure::Unreachable(why.clone())),
        value => {
            let value = value.as_f64().ok_or_else(|| MetricFailure::Empty("the scenario has no value".to_owned()))?;
            Ok(Sample { at: now, value })
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a time within the reach of a scenario")]
fn after(begin: Timestamp, seconds: f64) -> Timestamp {
    let milliseconds = (seconds * 1_000.0).round() as i64;
    Timestamp(begin.0.saturating_add_signed(milliseconds))
}

fn snapshot(event: &Event, subject: &Subject, begin: Timestamp, now: Timestamp) -> Snapshot {
    let workload = &subject.workload;
    let there = event.replicas.clone().unwrap_or_else(|| {
        let one = |number: u32| EventReplica {
            id: format!("r{number:03}"),
            phase: running(),
            health: healthy(),
            started: long_ago(),
            cpu_cores: None,
            memory_bytes: None,
            network_receive_rate: None,
            network_transmit_rate: None,
            metrics: BTreeMap::new(),
        };
        (1..=subject.target()).map(one).collect()
    });
    let health = there.iter().map(|replica| (ContainerId(replica.id.clone()), replica.health)).collect();
    let replicas = there.iter().zip(1..).map(|(replica, slot)| {
        let started = after(begin, replica.started);
        Replica {
            name: replica.id.clone(),
            phase: replica.phase.into(),
            exit_code: (replica.phase == Phase::Exited).then_some(1),
            usage: replica.cpu_cores.zip(replica.memory_bytes).map(|(cpu_cores, memory_bytes)| Usage {
                at: now,
                cpu_cores,
                memory_bytes,
                network_receive_rate: replica.network_receive_rate.unwrap_or_default(),
                network_transmit_rate: replica.network_transmit_rate.unwrap_or_default(),
                network_is_unknown: false,
            }),
            ..simulated(workload, ContainerId(replica.id.clone()), Slot(slot), started)
        }
    });
    Snapshot { at: now, replicas: replicas.collect(), health, ..Snapshot::default() }
}

//! A scenario: observations or proposals with their times, one JSON object a line, and the decision each leads to.
//!
//! An empty line and one that begins with `#` say nothing. The first object is the [`Beginning`], each other an
//! [`Event`], which is one pass. What comes out is one [`Told`] an event: for tables of cases, exact.

use crate::{BEGINNING, Subject};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use windlass_core::contract::{HealthStatus, MetricRequest, Phase, Sample, ScalingDecision, ScalingObservation, Usage};
use windlass_core::metric::accept;
use windlass_core::policy::ScalingPolicy;
use windlass_core::{
    ContainerId, FailureKind, HeldBy, MetricFailure, Plan, PolicyFailure, PolicyIdentity, Replica, Slot, Snapshot,
    Stages, Step, Timestamp, Workload,
};

/// How it begins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// As in the body of `POST /start/container`; `image` and `resources` may be left out.
    #[serde(default)]
    pub workload: serde_json::Map<String, Value>,
    /// The count at the beginning; none: the fewest, at least one.
    pub replicas: Option<u32>,
    /// When it begins, RFC 3339; none: 2026-01-01T00:00:00Z.
    pub begin: Option<jiff::Timestamp>,
}

/// What is so at a time, and is decided about.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Seconds since the beginning.
    pub at: f64,
    /// The count the policy proposes; none: the policy is asked.
    pub proposal: Option<u32>,
    /// Why the policy gives no answer.
    pub unavailable: Option<String>,
    /// Metrics of the workload: a number, null for a question without an answer, or why there is none. What is left
    /// out has no new value.
    #[serde(default)]
    pub metrics: BTreeMap<String, Value>,
    /// The replicas there are; none: as many as were wanted, ready for an hour.
    pub replicas: Option<Vec<EventReplica>>,
}

/// A replica of an event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventReplica {
    /// Its name.
    pub id: String,
    /// Whether its process runs.
    #[serde(default = "running")]
    pub phase: Phase,
    /// What was said of its health.
    #[serde(default = "healthy")]
    pub health: HealthStatus,
    /// When it was created and started, in seconds since the beginning.
    #[serde(default = "long_ago")]
    pub started: f64,
    /// Cores it uses; none: no sample of what it uses.
    pub cpu_cores: Option<f64>,
    /// Bytes of memory it uses: with the cores, or neither.
    pub memory_bytes: Option<u64>,
    /// Bytes a second it receives; of a sample without them 0.
    pub network_receive_rate: Option<f64>,
    /// Bytes a second it sends; of a sample without them 0.
    pub network_transmit_rate: Option<f64>,
    /// Metrics measured at it, as in the event.
    #[serde(default)]
    pub metrics: BTreeMap<String, Value>,
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

/// What an event led to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// Seconds since the beginning.
    pub at: f64,
    /// The count before.
    pub from: u32,
    /// The count steered to.
    pub target: u32,
    /// What became of the proposal; null: there was none.
    pub stages: Option<Stages>,
    /// What keeps the count from what was proposed; null: nothing does.
    pub held_by: Option<HeldBy>,
    /// One sentence.
    pub reason: String,
    /// What is done.
    pub steps: Vec<Step>,
}

/// A scenario that was read.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// How it begins.
    pub beginning: Beginning,
    /// By time.
    pub events: Vec<Event>,
}

impl Scenario {
    /// Reads the lines.
    ///
    /// # Errors
    /// One sentence that names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter_map(|(index, line)| {
            let line = line.trim();
            (!line.is_empty() && !line.starts_with('#')).then_some((index + 1, line))
        });
        fn read<'a, T: Deserialize<'a>>((number, line): (usize, &'a str)) -> Result<T, String> {
            serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))
        }
        let beginning: Beginning = read(lines.next().ok_or("the scenario is empty")?)?;
        let mut events: Vec<Event> = Vec::new();
        for line in lines {
            let event: Event = read(line)?;
            if !(0.0..1e10).contains(&event.at) || events.last().is_some_and(|last| last.at >= event.at) {
                return Err(format!(
                    "line {}: `at` is {}; expected seconds that grow from line to line",
                    line.0, event.at
                ));
            }
            for (name, value) in
                event.metrics.iter().chain(event.replicas.iter().flatten().flat_map(|one| &one.metrics))
            {
                if !(value.is_number() || value.is_null() || value.is_string()) {
                    return Err(format!("line {}: `{name}` is {value}; expected a number, null or a sentence", line.0));
                }
            }
            for replica in event.replicas.iter().flatten() {
                let rates = replica.network_receive_rate.or(replica.network_transmit_rate);
                let is_whole = replica.cpu_cores.is_some() == replica.memory_bytes.is_some();
                if !is_whole || (rates.is_some() && replica.cpu_cores.is_none()) {
                    return Err(format!(
                        "line {}: `cpu_cores` and `memory_bytes` of replica `{}` are one sample; expected both, or nothing \
                         of what it uses",
                        line.0, replica.id
                    ));
                }
            }
            events.push(event);
        }
        Ok(Self { beginning, events })
    }

    /// The metrics it tells of.
    pub fn metrics(&self) -> BTreeSet<&str> {
        let of_events = self.events.iter().flat_map(|event| event.metrics.keys());
        let replicas = self.events.iter().flat_map(|event| event.replicas.iter().flatten());
        of_events.chain(replicas.flat_map(|replica| replica.metrics.keys())).map(String::as_str).collect()
    }

    /// Whether a policy is asked at all.
    pub fn asks(&self) -> bool {
        self.events.iter().any(|event| event.proposal.is_none() && event.unavailable.is_none())
    }

    /// Makes a pass for each event, of a workload and the policy that is asked where an event proposes nothing.
    ///
    /// # Errors
    /// When the policy does not say what it needs.
    pub async fn run(
        &self,
        workload: Workload,
        policy: Arc<dyn ScalingPolicy>,
        config: String,
    ) -> Result<Vec<Told>, PolicyFailure> {
        let begin = self.beginning.begin.and_then(|begin| u64::try_from(begin.as_millisecond()).ok());
        let begin = begin.map_or(BEGINNING, Timestamp);
        let prompted = Arc::new(Prompted { policy, said: Mutex::default() });
        let mut subject = Subject::new(workload, Arc::<Prompted>::clone(&prompted), config);
        subject = subject.beginning_at(self.beginning.replicas);
        let mut all = Vec::new();
        for event in &self.events {
            let now = after(begin, event.at);
            let from = subject.target();
            let snapshot = snapshot(event, &subject, begin, now);
            for (name, value) in &event.metrics {
                subject
                    .metrics
                    .note(name, answer(value, now).and_then(|sample| accepted(&subject.workload, name, sample)));
            }
            for replica in event.replicas.iter().flatten() {
                let id = ContainerId(replica.id.clone());
                for (name, value) in &replica.metrics {
                    let sample = answer(value, now).and_then(|sample| accepted(&subject.workload, name, sample));
                    subject.metrics.note_replica(name, &id, sample);
                }
            }
            let uses = |id: &_| snapshot.replica(id).and_then(|replica| replica.usage);
            subject.metrics.note_usage(&subject.workload, &snapshot, uses, now);
            subject.metrics.keep_only(&subject.workload, &snapshot);
            *prompted.said.lock() = event.unavailable.clone().map(Err).or(event.proposal.map(Ok));
            let series = subject.series(now).await?;
            let plan = subject.pass(snapshot, series, now).await.plan;
            let Plan { target, stages, held_by, reason, steps, .. } = plan;
            all.push(Told { at: event.at, from, target, stages, held_by, reason, steps });
        }
        Ok(all)
    }
}

/// Answers what an event says, else what the policy says.
struct Prompted {
    policy: Arc<dyn ScalingPolicy>,
    said: Mutex<Option<Result<u32, String>>>,
}

#[async_trait]
impl ScalingPolicy for Prompted {
    fn identity(&self) -> &PolicyIdentity {
        self.policy.identity()
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        self.policy.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        let said = self.said.lock().clone();
        match said {
            None => self.policy.decide(config, observation).await,
            Some(Err(why)) => Err(PolicyFailure::new(FailureKind::Refused, why)),
            Some(Ok(replicas)) => Ok(ScalingDecision {
                replicas,
                reason: "so says the scenario".to_owned(),
                memory: observation.memory.clone(),
                evaluate_after: None,
                parts: Vec::new(),
            }),
        }
    }
}

/// A value, if the host would take it.
pub(crate) fn accepted(workload: &Workload, name: &str, sample: Sample) -> Result<Sample, MetricFailure> {
    let allow_negative = workload.metrics.get(name).is_some_and(|metric| metric.allow_negative);
    accept(sample.value, allow_negative).map(|value| Sample { value, ..sample })
}

fn answer(value: &Value, now: Timestamp) -> Result<Sample, MetricFailure> {
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
            id: ContainerId(replica.id.clone()),
            name: replica.id.clone(),
            workload: workload.key.clone(),
            image: workload.image.to_string(),
            slot: Slot(slot),
            phase: replica.phase,
            status: String::new(),
            created_at: started,
            started_at: Some(started),
            finished_at: None,
            exit_code: (replica.phase == Phase::Exited).then_some(1),
            out_of_memory: false,
            error: String::new(),
            ports: BTreeMap::new(),
            address: None,
            is_protected: false,
            usage: replica.cpu_cores.zip(replica.memory_bytes).map(|(cpu_cores, memory_bytes)| Usage {
                at: now,
                cpu_cores,
                memory_bytes,
                network_receive_rate: replica.network_receive_rate.unwrap_or_default(),
                network_transmit_rate: replica.network_transmit_rate.unwrap_or_default(),
            }),
            health_check: None,
        }
    });
    Snapshot { at: now, replicas: replicas.collect(), health, ..Snapshot::default() }
}

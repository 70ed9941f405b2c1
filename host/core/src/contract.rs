//! The contract with policies as Rust types: the types of `wit/`, field for field.
//!
//! The JSON form (`windlass policy run`, the decision record) uses the WIT names in kebab-case. An absent option is
//! null, an enum its name, a variant `{"case": payload}`.

use crate::policy_failure::{PolicyFailure, recorded};
use crate::policy_identity::PolicyIdentity;
use crate::{DurationMs, Timestamp};
use serde::{Deserialize, Serialize};

/// The phase of a replica's life (`types.phase`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is created, and its process does not run yet.
    Starting,
    /// Its process runs.
    Running,
    /// It was requested to stop, and its process still runs.
    Stopping,
    /// Its process has ended.
    Exited,
    /// An operator stopped it; it is neither counted nor restarted.
    Held,
}

/// A replica's latest status from the health policy (`types.health-status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthStatus {
    /// The health policy has not assessed it yet.
    #[default]
    Unknown,
    /// Within its grace period.
    Starting,
    /// Healthy.
    Healthy,
    /// Serving, but badly.
    Degraded,
    /// Not serving.
    Unhealthy,
}

impl HealthStatus {
    /// Whether a replica with this status may receive requests; it may unless the status is starting or unhealthy.
    pub fn is_ready(self) -> bool {
        !matches!(self, Self::Starting | Self::Unhealthy)
    }
}

/// Resource use, averaged over the last sampling interval (`types.usage`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Usage {
    /// Time of measurement.
    pub at: Timestamp,
    /// CPU in cores: 0.5 is half of one core.
    pub cpu_cores: f64,
    /// Working set in bytes, without page cache.
    pub memory_bytes: u64,
    /// Bytes received per second.
    pub network_receive_rate: f64,
    /// Bytes sent per second.
    pub network_transmit_rate: f64,
    /// The network was not measured: both rates are 0, and no metric is made from them. Only the host knows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub network_is_unknown: bool,
}

/// Resource limits of a replica (`types.limits`). `None` means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// CPU in cores.
    pub cpu_cores: Option<f64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
}

/// One container in a policy's input (`types.replica`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReplicaFacts {
    /// The host's identifier of the container; it never changes.
    pub id: String,
    /// The phase of its life.
    pub phase: Phase,
    /// The latest status from the health policy.
    pub health: HealthStatus,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Latest start of the process. `None` if it never started.
    pub started_at: Option<Timestamp>,
    /// Number of restarts of the process.
    pub restarts: u32,
    /// Exit code of the last process to end, if any ended.
    pub exit_code: Option<i32>,
    /// The kernel killed the last process for lack of memory.
    pub out_of_memory: bool,
    /// Resource use. `None` if there is no sample yet, or the engine did not respond.
    pub usage: Option<Usage>,
    /// When its current process was first ready (`readiness.first-ready-at`). `None` if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ready_at: Option<Timestamp>,
}

/// One measured value (`types.sample`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sample {
    /// Time of measurement.
    pub at: Timestamp,
    /// The value.
    pub value: f64,
}

/// The samples of one metric (`types.series`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Series {
    /// The metric's name in the policy's requirements.
    pub name: String,
    /// The replica it was measured at. `None` for a metric of the whole workload.
    pub replica: Option<String>,
    /// Oldest first.
    pub samples: Vec<Sample>,
    /// Why the newest samples are missing, if they are.
    pub failure: Option<String>,
}

/// The user's request in a policy's input (`types.workload`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WorkloadFacts {
    /// The workload's key.
    pub name: String,
    /// The workload's image reference.
    pub image: String,
    /// The minimum number of replicas.
    pub min_replicas: u32,
    /// The maximum number of replicas.
    pub max_replicas: u32,
    /// Resource limits of each replica.
    pub limits: Limits,
    /// The user's labels.
    pub labels: Vec<(String, String)>,
}

/// The input of a scaling policy (`scaling.observation`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScalingObservation {
    /// The time of the decision.
    pub now: Timestamp,
    /// The user's request.
    pub workload: WorkloadFacts,
    /// The count that the host currently aims for.
    pub current_replicas: u32,
    /// The workload's replicas, oldest first.
    pub replicas: Vec<ReplicaFacts>,
    /// The metrics that the policy's requirements named.
    pub metrics: Vec<Series>,
    /// The bytes that this policy returned last time; empty at first.
    pub memory: Vec<u8>,
}

/// The result of a scaling policy (`scaling.decision`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScalingDecision {
    /// The proposed count.
    pub replicas: u32,
    /// One sentence for people.
    pub reason: String,
    /// Bytes to pass to the next call.
    pub memory: Vec<u8>,
    /// Requested time until the next evaluation in milliseconds, instead of the usual interval.
    pub evaluate_after: Option<DurationMs>,
    /// The result of each policy, if several were combined. Not part of the contract.
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// The result of one of several combined scaling policies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// The policy.
    pub policy: PolicyIdentity,
    /// Its configuration, JSON text.
    pub config: String,
    /// The memory in its input. The memory of all combined policies is recorded instead.
    #[serde(skip)]
    pub handed: Vec<u8>,
    /// Its result, recorded as `{"unavailable": …}` if there is none.
    #[serde(serialize_with = "recorded")]
    pub answer: Result<ScalingDecision, PolicyFailure>,
}

/// The outcome of one probe (`health.probe-outcome`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// The probe succeeded after this time in milliseconds.
    Success(DurationMs),
    /// The probe failed for this reason.
    Failure(String),
    /// There was no response within the probe's timeout.
    Timeout,
}

/// The result of one probe (`health.probe-result`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbeResult {
    /// Time of the probe.
    pub at: Timestamp,
    /// Its outcome.
    pub outcome: ProbeOutcome,
}

/// A replica with its probe results (`health.probed-replica`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbedReplica {
    /// The replica.
    pub replica: ReplicaFacts,
    /// Oldest first.
    pub probes: Vec<ProbeResult>,
}

/// The input of a health policy (`health.observation`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HealthObservation {
    /// The time of the evaluation.
    pub now: Timestamp,
    /// The user's request.
    pub workload: WorkloadFacts,
    /// The workload's replicas, oldest first.
    pub replicas: Vec<ProbedReplica>,
    /// The bytes that this policy returned last time; empty at first.
    pub memory: Vec<u8>,
}

/// The action for a replica (`health.remedy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// No action.
    None,
    /// Restart the replica's process.
    Restart,
    /// Remove the replica and create another.
    Replace,
}

/// A health policy's assessment of one replica (`health.assessment`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Assessment {
    /// The replica.
    pub replica_id: String,
    /// Its status.
    pub status: HealthStatus,
    /// The action to take.
    pub remedy: Remedy,
    /// One sentence for people.
    pub reason: String,
}

/// The result of a health policy (`health.report`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HealthReport {
    /// One for each replica; a replica that is left out keeps its status.
    pub assessments: Vec<Assessment>,
    /// Bytes to pass to the next call.
    pub memory: Vec<u8>,
}

/// A policy's description of itself (`manifest.description`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema (2020-12) of the configuration, as JSON text.
    pub config_schema: String,
}

/// A metric that a policy needs (`manifest.metric-request`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MetricRequest {
    /// Its name.
    pub name: String,
    /// How far back the samples must reach, in milliseconds.
    pub window: DurationMs,
}

impl MetricRequest {
    /// The most metrics that one policy may request.
    pub const MOST: usize = 64;
}

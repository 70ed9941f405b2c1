//! The contract with policies as Rust types: what `wit/` says, field for field.
//!
//! The JSON form (`windlass policy run`, the decision record) uses the WIT's own names in kebab-case;
//! an absent option is null, an enum its name, a variant `{"case": payload}`.

use crate::verdict::Part;
use crate::{DurationMs, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a replica is in its life (`types.phase`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Created, its process not yet running.
    Starting,
    /// Its process runs.
    Running,
    /// Asked to stop, its process still running.
    Stopping,
    /// Its process has ended.
    Exited,
    /// Stopped by an operator; neither counted nor restarted.
    Held,
}

/// What the health policy last said of a replica (`types.health-status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthStatus {
    /// Nothing was said yet.
    #[default]
    Unknown,
    /// Within its grace period.
    Starting,
    /// Well.
    Healthy,
    /// Serving, but badly.
    Degraded,
    /// Not serving.
    Unhealthy,
}

impl HealthStatus {
    /// Whether a replica that is so may be sent requests: nothing was said against it.
    pub fn is_ready(self) -> bool {
        !matches!(self, Self::Starting | Self::Unhealthy)
    }
}

/// Resource use, averaged over the last sampling interval (`types.usage`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Usage {
    /// When it was measured.
    pub at: Timestamp,
    /// CPU in cores: 0.5 is half of one core.
    pub cpu_cores: f64,
    /// Working set in bytes (page cache excluded).
    pub memory_bytes: u64,
    /// Bytes per second received.
    pub network_receive_rate: f64,
    /// Bytes per second sent.
    pub network_transmit_rate: f64,
}

/// Resource limits (`types.limits`). None: unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Cores.
    pub cpu_cores: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
}

/// One container as a policy sees it (`types.replica`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReplicaFacts {
    /// The host's name for it, the same for all its life.
    pub id: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// What the health policy last said of it.
    pub health: HealthStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the process last started; none: it never did.
    pub started_at: Option<Timestamp>,
    /// How many times the process was started again.
    pub restarts: u32,
    /// Exit code of the last process to end, if any ended.
    pub exit_code: Option<i32>,
    /// The kernel killed the last process for memory.
    pub out_of_memory: bool,
    /// None: no sample yet, or the engine did not answer.
    pub usage: Option<Usage>,
}

/// One measured value (`types.sample`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sample {
    /// When it was measured.
    pub at: Timestamp,
    /// The value.
    pub value: f64,
}

/// A metric, oldest sample first (`types.series`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Series {
    /// The name given to it in the policy's requirements.
    pub name: String,
    /// The replica it was measured at; none: it is of the whole workload.
    pub replica: Option<String>,
    /// Oldest first.
    pub samples: Vec<Sample>,
    /// Why the newest samples are missing, where they are.
    pub failure: Option<String>,
}

/// What the user asked for, as a policy sees it (`types.workload`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WorkloadFacts {
    /// Its key.
    pub name: String,
    /// Its image reference.
    pub image: String,
    /// The fewest replicas.
    pub min_replicas: u32,
    /// The most replicas.
    pub max_replicas: u32,
    /// Limits of each replica.
    pub limits: Limits,
    /// The user's labels.
    pub labels: Vec<(String, String)>,
}

/// What a scaling policy is shown (`scaling.observation`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScalingObservation {
    /// The time of the decision.
    pub now: Timestamp,
    /// What the user asked for.
    pub workload: WorkloadFacts,
    /// The count the host now steers to.
    pub current_replicas: u32,
    /// Its replicas, oldest first.
    pub replicas: Vec<ReplicaFacts>,
    /// Those that the policy's requirements named.
    pub metrics: Vec<Series>,
    /// The bytes this policy returned last time; empty at first.
    pub memory: Vec<u8>,
}

/// What a scaling policy answers (`scaling.decision`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScalingDecision {
    /// The count wanted; a proposal.
    pub replicas: u32,
    /// One sentence for people.
    pub reason: String,
    /// Bytes to be handed back next time.
    pub memory: Vec<u8>,
    /// Ask to be evaluated again after this time, in milliseconds, instead of the usual interval.
    pub evaluate_after: Option<DurationMs>,
    /// Not of the contract: what each said, where several policies were asked as one.
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// How one probe ended (`health.probe-outcome`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// It answered; the time it took, in milliseconds.
    Success(DurationMs),
    /// It answered badly; why.
    Failure(String),
    /// No answer within the probe's time limit.
    Timeout,
}

/// One probe (`health.probe-result`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbeResult {
    /// When it was asked.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: ProbeOutcome,
}

/// A replica with its probes (`health.probed-replica`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbedReplica {
    /// The replica.
    pub replica: ReplicaFacts,
    /// Oldest first.
    pub probes: Vec<ProbeResult>,
}

/// What a health policy is shown (`health.observation`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HealthObservation {
    /// The time of the evaluation.
    pub now: Timestamp,
    /// What the user asked for.
    pub workload: WorkloadFacts,
    /// Its replicas, oldest first.
    pub replicas: Vec<ProbedReplica>,
    /// The bytes this policy returned last time; empty at first.
    pub memory: Vec<u8>,
}

/// What is to be done about a replica (`health.remedy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Nothing.
    None,
    /// Start the process of the same replica again.
    Restart,
    /// Remove the replica and create another.
    Replace,
}

/// A health policy's word on one replica (`health.assessment`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Assessment {
    /// Which replica.
    pub replica_id: String,
    /// How it is.
    pub status: HealthStatus,
    /// What to do about it.
    pub remedy: Remedy,
    /// One sentence for people.
    pub reason: String,
}

/// What a health policy answers (`health.report`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HealthReport {
    /// One for each replica; the host keeps the old status of any left out.
    pub assessments: Vec<Assessment>,
    /// Bytes to be handed back next time.
    pub memory: Vec<u8>,
}

/// What a policy says of itself (`manifest.description`).
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

/// A metric the host must gather for a policy (`manifest.metric-request`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MetricRequest {
    /// Its name.
    pub name: String,
    /// How far back the samples must reach, in milliseconds.
    pub window: DurationMs,
}

//! What the bodies of requests look like, for the description alone: they are read field by field, strictly, elsewhere.

mod probe;

pub use crate::openapi::requests::probe::ProbeRequest;

use crate::error::FieldProblem;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Body of `POST /start/container`, for the description; [`crate::start::workload`] is what reads it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartContainerRequest {
    /// Image reference: `nginx:alpine`, `ghcr.io/org/app:1`.
    pub image: String,
    /// The fewest replicas; at most `max_replicas`.
    #[schema(default = 1, minimum = 0, maximum = 1000, nullable = false)]
    pub min_replicas: Option<u32>,
    /// The most replicas; 1 by default where `ports` fixes a port of the host.
    #[schema(default = 5, minimum = 1, maximum = 1000, nullable = false)]
    pub max_replicas: Option<u32>,
    /// Environment of each replica.
    pub env: Option<BTreeMap<String, String>>,
    /// `80/tcp` → port on the host, 0 for any free one. A fixed one needs `max_replicas` 1.
    pub ports: Option<BTreeMap<String, u16>>,
    /// What each replica may use.
    pub resources: ResourcesRequest,
    /// What the workload is addressed by instead of its image, so that one image can serve twice: lower-case
    /// letters, digits and hyphens.
    pub name: Option<String>,
    /// Labels of each replica; `windlass.` and `orchestrator.` are reserved, but for `windlass.scale-in-protection`:
    /// `true` protects what is created from now on from a policy that wants fewer.
    pub labels: Option<BTreeMap<String, String>>,
    /// Networks each replica joins; they exist already.
    pub networks: Option<Vec<String>>,
    /// How it is asked whether a replica answers; null or absent: by the image's own HEALTHCHECK, if it has one.
    pub probe: Option<ProbeRequest>,
    /// Says how many, or say, the highest count wanted; null or absent: who does already, at first the default.
    pub scaling_policy: Option<ChoicesRequest>,
    /// Says who is well; null or absent: who does already, at first the default.
    pub health_policy: Option<ChoiceRequest>,
    /// Asked beside them, and only written down; null or absent: those that are already.
    #[schema(max_items = 4)]
    pub shadow_policies: Option<Vec<ChoiceRequest>>,
    /// `act`, or `recommend`: what would be done is recorded, and nothing is done; null or absent: as it is already, at
    /// first `act`.
    pub mode: Option<String>,
    /// What is measured of it by name, besides what every workload has; null or absent: what is already.
    pub metrics: Option<BTreeMap<String, MetricDefinition>>,
    /// How fast the count may follow what is proposed; null or absent: as it is already, at first the defaults.
    pub guardrails: Option<GuardrailsRequest>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// What a replica is told before it is stopped.
    pub stop_hook: Option<StopHookRequest>,
    /// Workloads, by image or name, that must be up for this one: while one is down nothing of this one is created, healed or
    /// scaled, and when it is back what ran without it is restarted. They are there already.
    #[schema(max_items = 16)]
    pub depends_on: Option<Vec<String>>,
}

/// What each replica may use.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourcesRequest {
    /// Cores (`0.5`) or thousandths (`500m`).
    pub cpu: String,
    /// Bytes with `k`, `m` or `g`, powers of 1024: `512m`, `1g`.
    pub memory: String,
    /// `running` or `stopped`: stopped keeps one replica, created and not started.
    #[schema(default = "running", nullable = false)]
    pub status: Option<String>,
}

/// Body of `POST /images/{image}/scale`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleRequest {
    /// The fewest replicas; at most `max_replicas`.
    #[schema(minimum = 0, maximum = 1000)]
    pub min_replicas: u32,
    /// The most replicas.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_replicas: u32,
}

/// Body of `PUT /images/{image}/policy`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRequest {
    /// Says how many, or say, the highest count wanted; null or absent: the default.
    pub scaling_policy: Option<ChoicesRequest>,
    /// Says who is well; null or absent: the default.
    pub health_policy: Option<ChoiceRequest>,
    /// Asked beside them, and only written down; null or absent: none.
    #[schema(max_items = 4)]
    pub shadow_policies: Option<Vec<ChoiceRequest>>,
    /// `act`, or `recommend`: what would be done is recorded, and nothing is done; null or absent: `act`, whatever it
    /// was.
    pub mode: Option<String>,
}

/// One policy, or 1 to 8 different ones.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ChoicesRequest {
    /// One.
    One(ChoiceRequest),
    /// Several.
    Several(Vec<ChoiceRequest>),
}

/// A policy and what it is told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoiceRequest {
    /// Name it is registered under.
    pub name: String,
    /// Its configuration, as its schema says.
    #[schema(value_type = Option<Object>)]
    pub config: Option<Value>,
}

/// Body of `PUT /images/{image}/guardrails`; what is absent is as the defaults are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardrailsRequest {
    /// Of a count that rises; by default at once, by 4 or 100 % in 15 s, whichever is more.
    #[schema(nullable = false)]
    pub scale_up: Option<DirectionRequest>,
    /// Of a count that falls; by default to the highest proposal of 5 min, by 100 % in 15 s.
    #[schema(nullable = false)]
    pub scale_down: Option<DirectionRequest>,
    /// Time from when Windlass first looks after the workload in which no policy shrinks it: a number of seconds, or text
    /// such as `5m`; 0 s to 1 h, 5 min if absent.
    #[schema(value_type = Option<Value>)]
    pub grace: Option<Value>,
    /// What is proposed where no metric has a value any more; null or absent: the count stays.
    pub fallback: Option<FallbackRequest>,
}

/// A count for the time in which nothing is known. Windows, rates and bounds hold over it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FallbackRequest {
    /// How many.
    #[schema(minimum = 0, maximum = 1000)]
    pub replicas: u32,
    /// Looks in a row at which no metric had a value, before it is.
    #[schema(default = 3, minimum = 1, maximum = 1000, nullable = false)]
    pub after: Option<u32>,
}

/// What a replica is told before it is stopped: `http` or `exec`, one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopHookRequest {
    /// `POST path` on a port of the replica; the body is `{"image", "container_id", "name", "reason"}`.
    pub http: Option<StopHookHttpRequest>,
    /// A command in the replica.
    pub exec: Option<StopHookExecRequest>,
    /// How long it is waited for: a number of seconds, or text such as `30s`; 10 ms to 1 min, 10 s if absent.
    #[schema(value_type = Option<Value>)]
    pub timeout: Option<Value>,
}

/// A request to a replica before it is stopped.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopHookHttpRequest {
    /// Port inside the replica.
    #[schema(minimum = 1)]
    pub port: u16,
    /// Begins with `/`; `/` if absent.
    #[schema(nullable = false)]
    pub path: Option<String>,
}

/// A command in a replica before it is stopped.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopHookExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// Guardrails of one direction. Durations are a number of seconds, or text such as `5m`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectionRequest {
    /// The count moves no further than every proposal of this time agrees; 0 s to 1 h.
    #[schema(value_type = Option<Value>)]
    pub window: Option<Value>,
    /// Time after a step in this direction before the next; 0 s to 1 h.
    #[schema(value_type = Option<Value>)]
    pub cooldown: Option<Value>,
    /// Which of the rates holds: `max` (the one that allows most), `min`, or `disabled`: no step in this direction.
    #[schema(default = "max", nullable = false)]
    pub select: Option<String>,
    /// How much in what time; empty: as much as is proposed.
    #[schema(max_items = 8, nullable = false)]
    pub rates: Option<Vec<RateRequest>>,
}

/// How much the count may change in a time: `count` or `percent`, one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRequest {
    /// Replicas.
    #[schema(minimum = 1, maximum = 1000, nullable = false)]
    pub count: Option<u32>,
    /// Percent of the replicas there were when the time began.
    #[schema(minimum = 1, maximum = 1000, nullable = false)]
    pub percent: Option<u32>,
    /// The time: 1 s to 1 h.
    #[schema(value_type = Value)]
    pub per: Value,
}

/// Body of `PATCH /images/{image}/overrides`; what is absent is left as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverridesRequest {
    /// The count stays where it is.
    #[schema(nullable = false)]
    pub paused: Option<bool>,
    /// The count does not rise.
    #[schema(nullable = false)]
    pub freeze_scale_up: Option<bool>,
    /// The count does not fall.
    #[schema(nullable = false)]
    pub freeze_scale_down: Option<bool>,
    /// The count is this one for a time, within the bounds; null: none is forced any more.
    pub force: Option<ForceRequest>,
}

/// A count for a time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForceRequest {
    /// How many.
    #[schema(minimum = 0, maximum = 1000)]
    pub replicas: u32,
    /// How long: a number of seconds, or text such as `1h`; 1 s to 30 days.
    #[schema(value_type = Value)]
    pub r#for: Value,
}

/// Body of `PUT /images/{image}/metrics`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsRequest {
    /// By name: 1 to 63 lower-case letters, digits, `-` and `_`; at most 32.
    pub metrics: BTreeMap<String, MetricDefinition>,
}

/// Where a metric's values come from (one source), how often, and what counts as one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricDefinition {
    /// An instant query that comes to one number.
    pub prometheus: Option<PrometheusSource>,
    /// A number in a JSON document.
    pub json: Option<JsonSource>,
    /// A command in each running replica that prints a number; the metric is their mean.
    pub exec: Option<ExecSource>,
    /// `{}`: samples are sent to `POST /images/{image}/metrics`.
    #[schema(value_type = Option<Object>)]
    pub push: Option<Value>,
    /// From one question to the next: a number of seconds, or text such as `15s`; 1 s to 1 h, 15 s if absent.
    #[schema(value_type = Option<Value>)]
    pub interval: Option<Value>,
    /// What an answer may take; 10 ms up to `interval`, 5 s if absent.
    #[schema(value_type = Option<Value>)]
    pub timeout: Option<Value>,
    /// How old the newest value may be; `interval` up to a day, two intervals and at least 60 s if absent.
    #[schema(value_type = Option<Value>)]
    pub max_age: Option<Value>,
    /// Whether a value below zero is one, or a failure.
    #[schema(default = false, nullable = false)]
    pub allow_negative: Option<bool>,
}

/// An instant query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrometheusSource {
    /// Address of the Prometheus: `http://127.0.0.1:9090`.
    pub url: String,
    /// The query.
    pub query: String,
}

/// A number in a document.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonSource {
    /// Address of the document.
    pub url: String,
    /// Where the number is (RFC 6901): `/queues/0/depth`.
    pub pointer: String,
}

/// A command.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecSource {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// Body of `POST /images/{image}/metrics`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplesRequest {
    /// At most 1 000; all are taken or none.
    #[schema(max_items = 1000)]
    pub samples: Vec<SampleRequest>,
}

/// A value of a metric that is pushed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRequest {
    /// Name of the metric.
    pub name: String,
    /// How much.
    pub value: f64,
    /// When, in milliseconds since the Unix epoch: at most 28 days ago; now if absent.
    #[schema(nullable = false)]
    pub at: Option<u64>,
}

/// Body of `PATCH /containers/{name_or_id}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// `running` or `stopped`; absent: it is left as it is.
    #[schema(nullable = false)]
    pub status: Option<String>,
    /// Whether it is protected from a policy that wants fewer; absent: it is left as it is.
    #[schema(nullable = false)]
    pub scale_in_protection: Option<bool>,
}

/// Every error (RFC 9457).
#[derive(Debug, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// Always `about:blank`: the status says it all.
    pub r#type: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What is wrong, for people.
    pub detail: String,
    /// On 422: each place that is wrong.
    #[schema(value_type = Option<Vec<FieldProblem>>)]
    pub errors: Option<Vec<Value>>,
}

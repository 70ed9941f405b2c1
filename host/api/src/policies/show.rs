//! `GET /policies/{name}`, and the answer of every change to a policy.

use crate::ApiState;
use crate::access::Caller;
use crate::detached;
use crate::error::Problem;
use crate::json::time::Time;
use crate::operation::Operation;
use crate::path::PolicyName;
use crate::policies::list::PolicyView;
use crate::query::NoQuery;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_core::WorkloadKey;
use windlass_core::policy::{CatalogueError, FailingPolicy, PolicyEvent, PolicyInfo, RevisionInfo};
use windlass_core::settings::HttpGrant;
use windlass_core::time::millis;

/// Answer of `GET /policies/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PolicyDetail {
    /// As in `GET /policies`.
    #[serde(flatten)]
    policy: PolicyView,
    /// The outgoing HTTP that `[policies.NAME.http]` grants; null if none. `imports` says whether the policy uses it.
    http: Option<HttpGrantView>,
    /// The stored revisions, newest first; empty for a built-in policy.
    revisions: Vec<RevisionView>,
    /// Changes of the active revision and of the candidate, newest first; the last 100.
    events: Vec<EventView>,
    /// The workloads in which it failed so often in a row that another policy takes its place; at most 20 of them.
    failing: Vec<FailingView>,
    /// Why the newest state of its source in `windlass.toml` could not be loaded; null if it was, or there is none. If the
    /// source never delivered a component, the other fields are empty.
    source_problem: Option<String>,
}

/// The outgoing HTTP that a policy was granted. The limits apply to one decision or evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct HttpGrantView {
    /// Allowed servers: `scheme://host:port`.
    hosts: Vec<String>,
    /// Milliseconds from its first request to its last response.
    time_ms: u64,
    /// Number of requests.
    requests: u32,
    /// Bytes of the body of a request.
    request_bytes: u64,
    /// Bytes of the body of a response.
    response_bytes: u64,
}

impl From<&HttpGrant> for HttpGrantView {
    fn from(grant: &HttpGrant) -> Self {
        Self {
            hosts: grant.hosts.iter().map(ToString::to_string).collect(),
            time_ms: millis(grant.time),
            requests: grant.requests,
            request_bytes: grant.request_bytes,
            response_bytes: grant.response_bytes,
        }
    }
}

/// An event in the life of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its time.
    at: Time,
    /// `at` in milliseconds since the Unix epoch; deprecated.
    at_ms: u64,
    /// Number of the revision.
    revision: u32,
    /// The event, in words.
    what: String,
}

impl From<PolicyEvent> for EventView {
    fn from(PolicyEvent { at, revision, what }: PolicyEvent) -> Self {
        Self { at: Time(at), at_ms: at.0, revision, what }
    }
}

/// Number of workloads listed in `failing`.
const FAILING_LISTED: usize = 20;

/// A workload in which another policy takes the policy's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FailingView {
    /// Key of the workload.
    workload: String,
    /// Number of the revision that fails; 0 for a built-in policy.
    revision: u32,
    /// Failures in a row.
    failures: u32,
    /// Time of the first one.
    since: Time,
    /// The last one, in words.
    last: String,
    /// Time of the next attempt.
    retry_at: Time,
}

impl From<FailingPolicy> for FailingView {
    fn from(FailingPolicy { workload, revision, failures, since, last, retry_at }: FailingPolicy) -> Self {
        Self { workload, revision, failures, since: Time(since), last: last.to_string(), retry_at: Time(retry_at) }
    }
}

/// One revision of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RevisionView {
    /// Its number, which counts from 1 for each name.
    number: u32,
    /// Whether it is active.
    acting: bool,
    /// `sha256:` and the digest of the component.
    digest: String,
    /// Size of the component in bytes.
    size_bytes: u64,
    /// The name in its own description.
    described_name: String,
    /// The version in its own description.
    version: String,
    /// When it was pushed.
    loaded_at: Time,
    /// `loaded_at` in milliseconds since the Unix epoch; deprecated.
    loaded_at_ms: u64,
    /// The author of the push: its header `From`.
    loaded_by: String,
    /// The last revision, up to this one, that began with empty memory; 0 if none did.
    memory_since: u32,
    /// Whether it passed its probation.
    proved: bool,
    /// Why it must not become active again; null if it may.
    quarantined: Option<String>,
}

impl RevisionView {
    fn of(revision: RevisionInfo, acting: Option<u32>) -> Self {
        Self {
            acting: Some(revision.number) == acting,
            number: revision.number,
            digest: revision.digest,
            size_bytes: revision.size_bytes,
            described_name: revision.described_name,
            version: revision.version,
            loaded_at: Time(revision.loaded_at),
            loaded_at_ms: revision.loaded_at.0,
            loaded_by: revision.loaded_by,
            memory_since: revision.memory_since,
            proved: revision.proved,
            quarantined: revision.quarantined,
        }
    }
}

impl From<PolicyInfo> for PolicyDetail {
    fn from(info: PolicyInfo) -> Self {
        let policy = PolicyView::from(&info);
        let acting = info.acting;
        Self {
            policy,
            http: info.http.as_ref().map(HttpGrantView::from),
            revisions: info.revisions.into_iter().map(|revision| RevisionView::of(revision, acting)).collect(),
            events: info.events.into_iter().map(EventView::from).collect(),
            failing: info.failing.into_iter().take(FAILING_LISTED).map(FailingView::from).collect(),
            source_problem: info.source_problem,
        }
    }
}

impl PolicyDetail {
    /// A policy whose source never delivered a component.
    fn without_component(name: String, problem: String) -> Self {
        let policy = PolicyView::without_component(name);
        let source_problem = Some(problem);
        Self { policy, http: None, revisions: Vec::new(), events: Vec::new(), failing: Vec::new(), source_problem }
    }
}

/// Makes a change even if the caller hangs up. Returns the policy after it.
pub(crate) async fn changed(
    change: impl Future<Output = Result<PolicyInfo, CatalogueError>> + Send + 'static,
) -> Result<Json<PolicyDetail>, Problem> {
    let info = detached::run_to_problem(async move { change.await.map_err(Problem::from) }).await?;
    Ok(Json(PolicyDetail::from(info)))
}

pub(crate) fn operation() -> Operation {
    Operation::new("Show one policy with its revisions", show).answer::<PolicyDetail>().errors(&[404])
}

async fn show(
    State(state): State<ApiState>,
    Extension(Caller { scope, .. }): Extension<Caller>,
    PolicyName(name): PolicyName,
    _: NoQuery,
) -> Result<Json<PolicyDetail>, Problem> {
    if let Some(mut found) = state.policies.find(&name) {
        found.failing.retain(|failing| scope.includes(&WorkloadKey::stored(failing.workload.as_str())));
        return Ok(Json(PolicyDetail::from(found)));
    }
    match state.policies.source_problems().remove(&name) {
        Some(problem) => Ok(Json(PolicyDetail::without_component(name, problem))),
        None => Err(CatalogueError::Unknown(name).into()),
    }
}

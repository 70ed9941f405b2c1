//! How policies are shown.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_core::policy::{PolicyEvent, PolicyInfo, RevisionInfo};
use windlass_core::settings::HttpGrant;
use windlass_core::time::millis;

/// One policy in `GET /policies`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyView {
    /// Name it is registered under.
    pub name: String,
    /// `scaling` or `health`.
    pub kind: String,
    /// Version it describes itself with.
    pub version: String,
    /// One line about it.
    pub summary: String,
    /// `sha256:` and the digest of the component.
    pub digest: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// JSON Schema of its configuration.
    pub config_schema: Value,
    /// What it imports.
    pub imports: Vec<String>,
    /// Whether it answers the same question in the same way, so that a decision can be replayed: false of one that may
    /// ask the network.
    pub replayable: bool,
    /// Where what acts came from: `built-in`, `file`, `registry` or `upload`.
    pub source: String,
    /// Number of the acting revision, 0 of a built-in one; null: each failed, and the built-in policy of this kind
    /// stands in.
    pub acting: Option<u32>,
    /// Number of the candidate, which is asked beside the acting revision and does not act; null: there is none.
    pub candidate: Option<u32>,
    /// Failed calls by kind: `trap`, `time`, `memory`, `output`, `link`, `refused`, `insufficient-data`, `busy`.
    pub failures: BTreeMap<String, u64>,
}

impl From<&PolicyInfo> for PolicyView {
    fn from(info: &PolicyInfo) -> Self {
        Self {
            name: info.name.clone(),
            kind: info.kind.to_string(),
            version: info.version.clone(),
            summary: info.summary.clone(),
            digest: info.digest.clone(),
            size_bytes: info.size_bytes,
            config_schema: info.config_schema.clone(),
            imports: info.imports.clone(),
            replayable: info.replayable,
            source: info.source.map_or_else(|| "built-in".to_owned(), |source| source.to_string()),
            acting: info.acting,
            candidate: info.candidate,
            failures: info.failures.clone(),
        }
    }
}

/// Answer of `GET /policies/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyDetail {
    /// As in `GET /policies`.
    #[serde(flatten)]
    pub policy: PolicyView,
    /// Outgoing HTTP it was granted by `[policies.NAME.http]`; null: none. Whether it asks for that is in `imports`.
    pub http: Option<HttpGrantView>,
    /// Every revision that is kept, newest first; none of a built-in policy.
    pub revisions: Vec<RevisionView>,
    /// What changed who acts, or would, newest first; the last 100.
    pub events: Vec<EventView>,
    /// Why the newest state of its source in `windlass.toml` could not be taken; null: it was, or there is none.
    pub source_problem: Option<String>,
}

/// Outgoing HTTP a policy was granted; the bounds are of one decision or evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HttpGrantView {
    /// Whom it may ask: `scheme://host:port`.
    pub hosts: Vec<String>,
    /// Milliseconds from its first request to its last answer.
    pub time_ms: u64,
    /// Requests.
    pub requests: u32,
    /// Bytes of one request's body.
    pub request_bytes: u64,
    /// Bytes of one answer's body.
    pub response_bytes: u64,
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

/// Something that happened to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventView {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Number of the revision.
    pub revision: u32,
    /// What happened to it.
    pub what: String,
}

impl From<PolicyInfo> for PolicyDetail {
    fn from(info: PolicyInfo) -> Self {
        let policy = PolicyView::from(&info);
        let revision = |revision: RevisionInfo| RevisionView {
            acting: Some(revision.number) == info.acting,
            number: revision.number,
            digest: revision.digest,
            size_bytes: revision.size_bytes,
            described_name: revision.described_name,
            version: revision.version,
            loaded_at: revision.loaded_at.0,
            loaded_by: revision.loaded_by,
            memory_since: revision.memory_since,
            proved: revision.proved,
            quarantined: revision.quarantined,
        };
        let event = |PolicyEvent { at, revision, what }| EventView { at: at.0, revision, what };
        Self {
            policy,
            http: info.http.as_ref().map(HttpGrantView::from),
            revisions: info.revisions.into_iter().map(revision).collect(),
            events: info.events.into_iter().map(event).collect(),
            source_problem: info.source_problem,
        }
    }
}

/// One revision of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RevisionView {
    /// Counts from 1 for each name.
    pub number: u32,
    /// Whether it is the one that is asked.
    pub acting: bool,
    /// `sha256:` and the digest of the component.
    pub digest: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// Name it gives itself.
    pub described_name: String,
    /// Version it gives itself.
    pub version: String,
    /// When it was pushed.
    pub loaded_at: u64,
    /// Who pushed it: the header `From` of the push.
    pub loaded_by: String,
    /// The revision that last began with empty memory, up to this one; 0: none did.
    pub memory_since: u32,
    /// It answered its first calls well enough to be trusted.
    pub proved: bool,
    /// Why it may not act any more; null: it may.
    pub quarantined: Option<String>,
}

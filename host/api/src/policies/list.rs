//! `GET /policies`.

use crate::ApiState;
use crate::operation::Operation;
use crate::query::NoQuery;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_core::policy::PolicyInfo;

/// Answer of `GET /policies`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyList {
    /// Every policy, ordered by name.
    policies: Vec<PolicyView>,
    /// Why a source in `windlass.toml` could not be loaded, by the name of its policy. Sources without a problem are
    /// absent.
    source_problems: BTreeMap<String, String>,
}

/// One policy in `GET /policies`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PolicyView {
    /// The name under which it is registered.
    name: String,
    /// `scaling` or `health`; null if its source never delivered a component.
    kind: Option<String>,
    /// The version in its own description.
    version: String,
    /// One line about it.
    summary: String,
    /// `sha256:` and the digest of the component.
    digest: String,
    /// Size of the component in bytes.
    size_bytes: u64,
    /// JSON Schema of its configuration.
    config_schema: Value,
    /// The interfaces that it imports.
    imports: Vec<String>,
    /// Whether it gives the same answer to the same input, so that a decision can be replayed. False if it may send
    /// requests to the network.
    replayable: bool,
    /// The source of the active revision: `built-in`, `file`, `registry` or `upload`; null if it never had one.
    source: Option<String>,
    /// Number of the active revision, 0 for a built-in policy; null if each failed, and the built-in policy of this kind
    /// replaces them.
    acting: Option<u32>,
    /// Number of the candidate, which is called in parallel to the active revision without effect; null if there is none.
    candidate: Option<u32>,
    /// Failed calls by kind: `trap`, `time`, `memory`, `output`, `link`, `refused`, `insufficient-data`, `busy`.
    failures: BTreeMap<String, u64>,
}

impl From<&PolicyInfo> for PolicyView {
    fn from(info: &PolicyInfo) -> Self {
        Self {
            name: info.name.clone(),
            kind: Some(info.kind.to_string()),
            version: info.version.clone(),
            summary: info.summary.clone(),
            digest: info.digest.clone(),
            size_bytes: info.size_bytes,
            config_schema: info.config_schema.clone(),
            imports: info.imports.clone(),
            replayable: info.replayable,
            source: Some(info.source.map_or_else(|| "built-in".to_owned(), |source| source.to_string())),
            acting: info.acting,
            candidate: info.candidate,
            failures: info.failures.clone(),
        }
    }
}

impl PolicyView {
    /// A policy whose source never delivered a component.
    pub(crate) fn without_component(name: String) -> Self {
        Self {
            name,
            kind: None,
            version: String::new(),
            summary: String::new(),
            digest: String::new(),
            size_bytes: 0,
            config_schema: serde_json::json!({}),
            imports: Vec::new(),
            replayable: true,
            source: None,
            acting: None,
            candidate: None,
            failures: BTreeMap::new(),
        }
    }
}

pub(crate) fn operation() -> Operation {
    Operation::new("List the policies: names, versions, digests, schemas", list).answer::<PolicyList>()
}

async fn list(State(state): State<ApiState>, _: NoQuery) -> Json<PolicyList> {
    Json(PolicyList {
        policies: state.policies.list().iter().map(PolicyView::from).collect(),
        source_problems: state.policies.source_problems(),
    })
}

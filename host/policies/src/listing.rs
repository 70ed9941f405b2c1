//! Describes policies for listings, from their components, manifests and revisions.

use crate::breaker::{Breaker, Failing};
use crate::built_in::{BuiltInPolicy, Described};
use crate::revisions::policy::PushedPolicy;
use crate::revisions::state::State;
use std::collections::BTreeMap;
use windlass_builtin::Manifest;
use windlass_core::policy::catalogue::{FailingPolicy, PolicyInfo};
use windlass_core::{FailureKind, PolicyKind};
use windlass_sandbox::component::PolicyComponent;

pub(crate) fn built_in_info(policy: &BuiltInPolicy) -> PolicyInfo {
    let info = match (policy.component(), policy.description()) {
        (Some(component), _) => component_info(component),
        (None, Described::ByManifest(manifest)) => manifest_info(policy, manifest),
        (None, Described::ByComponent) => unreachable!("the component was loaded before the policy was listed"),
    };
    PolicyInfo { acting: Some(0), failing: failing(policy.breaker(), 0), ..info }
}

fn failing(breaker: &Breaker, revision: u32) -> Vec<FailingPolicy> {
    let open = breaker.open().into_iter();
    open.filter_map(|(workload, Failing { failures, since, last, retry_at, .. })| {
        Some(FailingPolicy { workload, revision, failures, since, last, retry_at: retry_at? })
    })
    .collect()
}

pub(crate) fn pushed_info(policy: &PushedPolicy) -> PolicyInfo {
    let (state, acting) = policy.snapshot();
    let info = acting.map_or_else(|| inactive_info(policy, &state), |acting| component_info(&acting.component));
    // The acting revision, or the newest.
    let listed = state.acting.and_then(|number| state.revision(number)).or(state.revisions.last());
    PolicyInfo {
        acting: state.acting,
        source: Some(listed.map(|revision| revision.source).unwrap_or_default()),
        taken: state.delivered,
        candidate: state.candidate,
        revisions: state.revisions.into_iter().rev().collect(),
        events: state.events.into_iter().rev().collect(),
        failing: policy
            .published()
            .acting
            .as_ref()
            .map(|acting| failing(&acting.breaker, acting.number()))
            .unwrap_or_default(),
        ..info
    }
}

fn component_info(policy: &PolicyComponent) -> PolicyInfo {
    let description = policy.description();
    PolicyInfo {
        name: policy.identity().name.clone(),
        kind: policy.kind(),
        version: description.version.clone(),
        summary: description.summary.clone(),
        config_schema: serde_json::from_str(&description.config_schema).expect("checked when it was loaded"),
        digest: policy.identity().digest.clone(),
        size_bytes: policy.size_bytes() as u64,
        imports: policy.imports().to_vec(),
        replayable: policy.identity().replayable,
        http: policy.limits().http.clone(),
        failures: FailureKind::ALL.into_iter().map(|kind| (kind.to_string(), policy.failures().get(kind))).collect(),
        ..empty_info()
    }
}

/// A built-in policy that is not loaded.
fn manifest_info(policy: &BuiltInPolicy, manifest: &Manifest) -> PolicyInfo {
    PolicyInfo {
        name: policy.identity().name.clone(),
        kind: policy.kind(),
        version: manifest.version.to_owned(),
        summary: manifest.summary.to_owned(),
        config_schema: serde_json::from_str(manifest.config_schema).expect("a test compares it with the component's"),
        digest: policy.identity().digest.clone(),
        size_bytes: policy.size_bytes() as u64,
        imports: manifest.imports.iter().map(|&import| import.to_owned()).collect(),
        replayable: true,
        http: policy.http(),
        failures: FailureKind::ALL.into_iter().map(|kind| (kind.to_string(), 0)).collect(),
        ..empty_info()
    }
}

/// A pushed policy without an acting revision: the description of the newest.
fn inactive_info(policy: &PushedPolicy, state: &State) -> PolicyInfo {
    let newest = state.revisions.last();
    PolicyInfo {
        name: policy.name.clone(),
        kind: policy.kind,
        version: newest.map(|revision| revision.version.clone()).unwrap_or_default(),
        digest: newest.map(|revision| revision.digest.clone()).unwrap_or_default(),
        size_bytes: newest.map_or(0, |revision| revision.size_bytes),
        http: policy.limits.http.clone(),
        ..empty_info()
    }
}

/// A listing without content.
fn empty_info() -> PolicyInfo {
    PolicyInfo {
        name: String::new(),
        kind: PolicyKind::Scaling,
        version: String::new(),
        summary: String::new(),
        config_schema: serde_json::json!({}),
        digest: String::new(),
        size_bytes: 0,
        source: None,
        taken: None,
        imports: Vec::new(),
        replayable: true,
        http: None,
        failures: BTreeMap::new(),
        acting: None,
        candidate: None,
        revisions: Vec::new(),
        events: Vec::new(),
        failing: Vec::new(),
        source_problem: None,
    }
}

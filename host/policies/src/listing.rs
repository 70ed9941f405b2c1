//! What is told of a policy, from its component and its revisions.

use crate::revisions::set::{Pushed, State};
use std::collections::BTreeMap;
use windlass_core::FailureKind;
use windlass_core::policy::catalogue::PolicyInfo;
use windlass_sandbox::component::PolicyComponent;

pub(crate) fn built_in_info(policy: &PolicyComponent) -> PolicyInfo {
    PolicyInfo { acting: Some(0), ..component_info(policy) }
}

pub(crate) fn pushed_info(pushed: &Pushed) -> PolicyInfo {
    let state = pushed.state();
    let acting = state.acting.as_ref();
    let info = acting.map_or_else(|| gone_info(pushed, &state), |watched| component_info(&watched.component));
    let number = acting.map(|watched| watched.number());
    let shown = state.revisions.iter().rev().find(|revision| number.is_none_or(|number| revision.number == number));
    PolicyInfo {
        acting: number,
        source: Some(shown.map(|revision| revision.source).unwrap_or_default()),
        taken: state.taken,
        candidate: state.candidate.as_ref().map(|watched| watched.number()),
        revisions: state.revisions.into_iter().rev().collect(),
        events: state.events.into_iter().rev().collect(),
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
        source: None,
        taken: None,
        imports: policy.imports().to_vec(),
        replayable: policy.identity().replayable,
        http: policy.limits().http.clone(),
        failures: FailureKind::ALL.into_iter().map(|kind| (kind.to_string(), policy.failures().get(kind))).collect(),
        acting: None,
        candidate: None,
        revisions: Vec::new(),
        events: Vec::new(),
        source_problem: None,
    }
}

/// Of a name none of whose revisions acts: what is stored of the newest.
fn gone_info(pushed: &Pushed, state: &State) -> PolicyInfo {
    let newest = state.revisions.last();
    PolicyInfo {
        name: pushed.name.clone(),
        kind: pushed.kind,
        version: newest.map(|revision| revision.version.clone()).unwrap_or_default(),
        summary: String::new(),
        config_schema: serde_json::json!({}),
        digest: newest.map(|revision| revision.digest.clone()).unwrap_or_default(),
        size_bytes: newest.map_or(0, |revision| revision.size_bytes),
        source: None,
        taken: None,
        imports: Vec::new(),
        replayable: true,
        http: pushed.limits().http.clone(),
        failures: BTreeMap::new(),
        acting: None,
        candidate: None,
        revisions: Vec::new(),
        events: Vec::new(),
        source_problem: None,
    }
}

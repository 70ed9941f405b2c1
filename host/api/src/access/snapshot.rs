//! The state of an object before and after a change, without its secrets, and the fields that differ.

use crate::ApiState;
use crate::containers::lookup::find;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use windlass_control::WorkloadView;
use windlass_core::{ContainerId, PolicyChoice, Workload, WorkloadKey};

/// The fields of a workload whose values are shown. Of the others, which may contain a secret, only the name is.
const SHOWN: [&str; 13] = [
    "image",
    "image_id",
    "bounds",
    "ports",
    "resources",
    "networks",
    "guardrails",
    "overrides",
    "depends_on",
    "rollout",
    "target",
    "pulls",
    "declaration",
];

/// The fields that are no part of the desired state.
const IGNORED: [&str; 3] = ["key", "previous", "unlabelled"];

/// The text in place of a value that may be secret.
const HIDDEN: &str = "not shown";

/// The object that a request changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// None, or one that the handler describes.
    None,
    Workload(WorkloadKey),
    /// By its name or identifier.
    Container(String),
    Policy(String),
}

/// An object at one moment. Values that may be secret are here for the comparison only.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    shown: Map<String, Value>,
    hidden: BTreeMap<String, Value>,
}

impl Snapshot {
    /// The current state of a subject. `None` if it does not exist.
    pub(crate) fn of(state: &ApiState, subject: &Subject) -> Option<Self> {
        match subject {
            Subject::None => None,
            Subject::Workload(key) => {
                let view = state.controller.view(key)?;
                Some(Self::of_workload(&view.workload, view.target))
            }
            Subject::Container(name) => {
                let replica = find(state, name)?;
                let view = state.controller.view(&replica.workload);
                let is_in = |set: fn(&WorkloadView) -> &BTreeSet<ContainerId>| {
                    view.as_ref().is_some_and(|view| set(view).contains(&replica.id))
                };
                Some(Self::shown(json!({
                    "name": replica.name,
                    "workload": replica.workload,
                    "status": replica.status,
                    "held": is_in(|view| &view.held),
                    "scale_in_protection": replica.is_protected || is_in(|view| &view.protected),
                })))
            }
            Subject::Policy(name) => {
                let policy = state.policies.find(name)?;
                Some(Self::shown(json!({
                    "acting": policy.acting,
                    "candidate": policy.candidate,
                    "digest": policy.digest,
                    "version": policy.version,
                    "newest": policy.revisions.first().map(|revision| revision.number),
                })))
            }
        }
    }

    /// An object without secrets.
    pub(crate) fn shown(value: Value) -> Self {
        let shown = match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self { shown, hidden: BTreeMap::new() }
    }

    fn of_workload(workload: &Workload, target: u32) -> Self {
        let Ok(Value::Object(fields)) = serde_json::to_value(workload) else { return Self::default() };
        let mut snapshot = Self::default();
        for (name, value) in fields {
            if SHOWN.contains(&name.as_str()) {
                snapshot.shown.insert(name, value);
            } else if !IGNORED.contains(&name.as_str()) {
                snapshot.hidden.insert(name, value);
            }
        }
        let policies = &workload.policies;
        let names = |choices: &[PolicyChoice]| choices.iter().map(|choice| choice.name.clone()).collect::<Vec<_>>();
        snapshot.shown.insert("target".to_owned(), json!(target));
        snapshot.shown.insert("mode".to_owned(), json!(policies.mode.unwrap_or_default()));
        snapshot.shown.insert("scaling_policy".to_owned(), json!(names(&policies.scaling)));
        snapshot.shown.insert("health_policy".to_owned(), json!(policies.health.as_ref().map(|choice| &choice.name)));
        snapshot
    }
}

/// The fields that differ, before and after. Null for an object that did not exist, and if no field differs.
pub(crate) fn difference(before: Option<&Snapshot>, after: Option<&Snapshot>) -> (Value, Value) {
    let nothing = Snapshot::default();
    let of = |one: Option<&Snapshot>, other: Option<&Snapshot>| {
        let (one, other) = (one?, other.unwrap_or(&nothing));
        let shown = one.shown.iter().filter(|(name, value)| other.shown.get(*name) != Some(*value));
        let mut fields: Map<String, Value> = shown.map(|(name, value)| (name.clone(), value.clone())).collect();
        let hidden = one.hidden.iter().filter(|(name, value)| other.hidden.get(*name) != Some(*value));
        fields.extend(hidden.map(|(name, _)| (name.clone(), json!(HIDDEN))));
        (!fields.is_empty()).then_some(Value::Object(fields))
    };
    (of(before, after).unwrap_or(Value::Null), of(after, before).unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::Bounds;
    use windlass_core::fixtures::workload;

    #[test]
    fn only_fields_that_differ_are_there_and_no_secret() {
        let before = workload("web:1", 1, 3);
        let mut after = Workload { bounds: Bounds::new(1, 5).expect("bounds"), ..before.clone() };
        after.env.insert("PASSWORD".to_owned(), "hunter2".to_owned());
        let [before, after] = [before, after].map(|workload| Snapshot::of_workload(&workload, 1));
        let (old, new) = difference(Some(&before), Some(&after));
        insta::assert_json_snapshot!(json!([old, new]), @r#"
        [
          {
            "bounds": {
              "max": 3,
              "min": 1
            },
            "env": "not shown"
          },
          {
            "bounds": {
              "max": 5,
              "min": 1
            },
            "env": "not shown"
          }
        ]
        "#);
        let (old, new) = difference(Some(&before), Some(&before));
        assert_eq!((old, new), (Value::Null, Value::Null));
        let (old, new) = difference(None, Some(&after));
        assert!(old.is_null() && new["image"] == "web:1" && new["env"] == HIDDEN, "{new}");
        assert!(!new.to_string().contains("hunter2"), "{new}");
        let (old, new) = difference(Some(&after), None);
        assert!(new.is_null() && old["image"] == "web:1" && !old.to_string().contains("hunter2"), "{old}");
    }

    /// A new field of a workload must be sorted into one of the lists, or it is hidden.
    #[test]
    fn every_field_that_is_shown_exists() {
        let Ok(Value::Object(fields)) = serde_json::to_value(workload("web:1", 1, 3)) else { panic!("an object") };
        let unknown: Vec<&str> =
            SHOWN.into_iter().chain(IGNORED).filter(|name| *name != "target" && !fields.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

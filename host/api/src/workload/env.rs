//! `env`, `labels`, `networks` and `depends_on`: plain maps and lists.

use crate::json::pattern::WITHOUT_NUL;
use crate::json::problems::quote;
use crate::json::shape::{Shape, list_of, map_of, parsed_by, text};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::{Invalid, Workload, WorkloadKey};

/// Prefixes of labels that Windlass sets itself.
const RESERVED_LABELS: [&str; 2] = ["windlass.", "orchestrator."];

/// Most characters of the name of a network.
const LONGEST_NETWORK: usize = 255;

/// Environment variables.
pub(crate) fn variables() -> Shape<BTreeMap<String, String>> {
    let variables = map_of(text().keyword("pattern", json!(WITHOUT_NUL)), |name, value, pointer, problems| {
        if name.is_empty() || name.contains(['=', '\0']) {
            problems.add(pointer, "the name of a variable is not empty and has no `=` and no NUL");
        }
        if value.as_ref().is_some_and(|value| value.contains('\0')) {
            problems.add(pointer, "the value of a variable has no NUL");
        }
        Some((name.to_owned(), value?))
    });
    variables.keyword("propertyNames", json!({"pattern": r"^[^=\u0000]+$"}))
}

/// Labels.
pub(crate) fn labels() -> Shape<BTreeMap<String, String>> {
    let labels = map_of(text().keyword("pattern", json!(WITHOUT_NUL)), |name, value, pointer, problems| {
        if name.is_empty() || name.contains('\0') {
            problems.add(pointer, "the name of a label is not empty and has no NUL");
        }
        let value = value?;
        if name == Workload::PROTECTION {
            if !matches!(value.as_str(), "true" | "false") {
                problems.add(pointer, format!("expected `true` or `false`, found {}", quote(&json!(value))));
            }
        } else if let Some(prefix) = RESERVED_LABELS.iter().find(|prefix| name.starts_with(**prefix)) {
            problems.add(pointer, format!("labels that begin with `{prefix}` are reserved for windlass"));
        }
        if value.contains('\0') {
            problems.add(pointer, "the value of a label has no NUL");
        }
        Some((name.to_owned(), value))
    });
    let others = json!({"pattern": r"^[^\u0000]+$", "not": {"pattern": r"^(?:windlass|orchestrator)\."}});
    let protection = json!({"type": "string", "enum": ["true", "false"]});
    labels
        .keyword("propertyNames", json!({"anyOf": [{"enum": [Workload::PROTECTION]}, others]}))
        .keyword("properties", json!({Workload::PROTECTION: protection}))
}

/// Names of networks.
pub(crate) fn networks() -> Shape<Vec<String>> {
    let name = parsed_by(|name| {
        let valid = name.len() <= LONGEST_NETWORK
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if valid {
            Ok(name.to_owned())
        } else {
            Err(Invalid::new("expected the name of a network: letters, digits, `_`, `.` and `-`"))
        }
    });
    let name = name.pattern("^[A-Za-z0-9][A-Za-z0-9_.-]*$", LONGEST_NETWORK);
    let networks = list_of(name).then(|networks, pointer, problems| {
        for (index, network) in networks.iter().enumerate() {
            if networks[..index].contains(network) {
                problems.add(format!("{pointer}/{index}"), format!("network `{network}` is given more than once"));
            }
        }
        Some(networks)
    });
    networks.keyword("uniqueItems", json!(true))
}

/// Images or names of other workloads.
pub(crate) fn dependencies() -> Shape<BTreeSet<WorkloadKey>> {
    let names = list_of(text()).at_most(Workload::MOST_DEPENDENCIES, |_| {
        format!("a workload depends on at most {} others", Workload::MOST_DEPENDENCIES)
    });
    names.then(|names, _, _| Some(names.into_iter().map(WorkloadKey::stored).collect()))
}

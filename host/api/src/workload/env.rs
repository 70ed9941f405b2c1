//! `env`, `labels`, `ports`, `networks` and `depends_on`: plain maps and lists.

use crate::json::problems::{join, quote};
use crate::json::shape::{Shape, list_of, map_of, parsed_by, text, whole};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::workload::ContainerPort;
use windlass_core::{Invalid, Workload, WorkloadKey};

/// Prefixes of labels that Windlass sets itself.
const RESERVED_LABELS: [&str; 2] = ["windlass.", "orchestrator."];

/// Environment variables.
pub(crate) fn variables() -> Shape<BTreeMap<String, String>> {
    map_of(text(), |name, value, pointer, problems| {
        if name.is_empty() || name.contains(['=', '\0']) {
            problems.add(pointer, "the name of a variable is not empty and has no `=` and no NUL");
        }
        if value.as_ref().is_some_and(|value| value.contains('\0')) {
            problems.add(pointer, "the value of a variable has no NUL");
        }
        Some((name.to_owned(), value?))
    })
}

/// Labels.
pub(crate) fn labels() -> Shape<BTreeMap<String, String>> {
    map_of(text(), |name, value, pointer, problems| {
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
    })
}

/// Ports inside a replica, each with its port on the host.
pub(crate) fn ports() -> Shape<BTreeMap<ContainerPort, u16>> {
    let entries =
        map_of(whole::<u16>(0..=65_535), |name, host_port, pointer, problems| match name.parse::<ContainerPort>() {
            Ok(port) => Some((name.to_owned(), (port, host_port?))),
            Err(invalid) => {
                problems.add(pointer, invalid.0);
                None
            }
        });
    entries.then(|entries, pointer, problems| {
        let mut ports = BTreeMap::new();
        let mut used = BTreeSet::new();
        for (name, (port, host_port)) in entries {
            if ports.insert(port, host_port).is_some() {
                problems.add(join(pointer, &name), format!("`{port}` is given more than once"));
            }
            if host_port != 0 && !used.insert((host_port, port.protocol)) {
                problems.add(join(pointer, &name), format!("host port {host_port} is given more than once"));
            }
        }
        Some(ports)
    })
}

/// Names of networks.
pub(crate) fn networks() -> Shape<Vec<String>> {
    let name = parsed_by(|name| {
        let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if valid {
            Ok(name.to_owned())
        } else {
            Err(Invalid::new("expected the name of a network: letters, digits, `_`, `.` and `-`"))
        }
    });
    list_of(name).then(|networks, pointer, problems| {
        for (index, network) in networks.iter().enumerate() {
            if networks[..index].contains(network) {
                problems.add(format!("{pointer}/{index}"), format!("network `{network}` is given more than once"));
            }
        }
        Some(networks)
    })
}

/// Images or names of other workloads.
pub(crate) fn dependencies() -> Shape<BTreeSet<WorkloadKey>> {
    let names = list_of(text()).at_most(Workload::MOST_DEPENDENCIES, |_| {
        format!("a workload depends on at most {} others", Workload::MOST_DEPENDENCIES)
    });
    names.then(|names, _, _| Some(names.into_iter().map(WorkloadKey::stored).collect()))
}

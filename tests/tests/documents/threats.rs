//! Checks the threat model of ARCHITECTURE.md: each line names tests that exist, and no party is missing.

use super::sources::root;
use std::fs;
use std::path::Path;

/// The parties that the model must mention, by a word of their line.
const PARTIES: [&str; 19] = [
    "administrator",
    "operator",
    "viewer",
    "limited to workloads",
    "expired or revoked",
    "browser",
    "web page",
    "guesses tokens",
    "listener on the network",
    "caller without a token on the loopback",
    "policy author",
    "while it is compiled",
    "reader of the store",
    "replica",
    "engine",
    "source of metrics",
    "registry",
    "agent of a node",
    "another user of the machine",
];

/// The lines of the table: party, trust, limits, tests.
fn lines() -> Vec<[String; 4]> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it is there");
    let section = text.split("\n## Threat model\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = section.expect("the section").lines().filter(|line| line.starts_with("| "));
    // The first line is the head.
    rows.skip(1)
        .map(|row| {
            let cells: Vec<String> = row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
            cells.try_into().unwrap_or_else(|cells| panic!("not four cells: {cells:?}"))
        })
        .collect()
}

/// Whether a file has a test, or a file of a folder.
fn has_test(path: &Path) -> bool {
    if path.is_dir() {
        let mut entries = fs::read_dir(path).expect("a folder").filter_map(Result::ok);
        return entries.any(|entry| has_test(&entry.path()));
    }
    let has = |path: &Path| {
        fs::read_to_string(path).is_ok_and(|text| text.contains("#[test]") || text.contains("#[tokio::test"))
    };
    // A module may have its tests in a file of their own.
    has(path) || has(&path.with_extension("").join("tests.rs"))
}

#[test]
fn each_line_of_the_threat_model_is_held_by_tests() {
    let lines = lines();
    for party in PARTIES {
        assert!(lines.iter().any(|[who, ..]| who.contains(party)), "no line about: {party}");
    }
    for [who, trust, limits, held_by] in &lines {
        assert!(!trust.is_empty() && !limits.is_empty(), "{who}");
        let paths: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!paths.is_empty(), "no test holds the line about: {who}");
        for path in paths {
            assert!(has_test(&root().join(path)), "{who}: `{path}` has no test");
        }
    }
}

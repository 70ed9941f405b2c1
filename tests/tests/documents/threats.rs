//! Checks the threat model of ARCHITECTURE.md: each line names test functions that exist, and no party is missing.

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

/// The sources of a path in the table: a file with its tests, or the files of a folder.
fn sources(path: &Path) -> Vec<String> {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder").filter_map(Result::ok);
        return entries.flat_map(|entry| sources(&entry.path())).collect();
    }
    // A module may have its tests in a file of their own.
    let files = [path.to_owned(), path.with_extension("").join("tests.rs")];
    files.into_iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
}

/// Whether a source has a test function of this name.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_function = |line: &str| {
        let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    };
    let is_test = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
    // Other attributes may stand between the two.
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| is_function(line))
        .any(|(at, _)| lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(|line| is_test(line)))
}

/// The paths of a cell with the functions after each of them.
fn held_by(cell: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for name in cell.split('`').skip(1).step_by(2) {
        if name.contains('/') {
            found.push((name, Vec::new()));
        } else {
            found.last_mut().expect("a path before its functions").1.push(name);
        }
    }
    found
}

#[test]
fn each_line_of_the_threat_model_is_held_by_tests() {
    let lines = lines();
    for party in PARTIES {
        assert!(lines.iter().any(|[who, ..]| who.contains(party)), "no line about: {party}");
    }
    for [who, trust, limits, held] in &lines {
        assert!(!trust.is_empty() && !limits.is_empty(), "{who}");
        let files = held_by(held);
        assert!(!files.is_empty(), "no test holds the line about: {who}");
        for (path, functions) in files {
            let sources = sources(&root().join(path));
            assert!(!functions.is_empty(), "{who}: no function of `{path}` is named");
            for name in functions {
                assert!(sources.iter().any(|source| has_test(source, name)), "{who}: `{path}` has no test `{name}`");
            }
        }
    }
}

#[test]
fn a_function_is_a_test_by_its_attribute_and_its_whole_name() {
    let source = "#[test]\nfn one() {}\n\n    #[tokio::test(start_paused = true)]\n    #[cfg(unix)]\n    async fn two_more() {}\nfn three() {}";
    assert!(has_test(source, "one") && has_test(source, "two_more"));
    assert!(!has_test(source, "two") && !has_test(source, "three") && !has_test(source, "four"));
    assert_eq!(held_by("`a/b.rs`: `one`, `two`; `c/`"), [("a/b.rs", vec!["one", "two"]), ("c/", vec![])]);
}

//! Checks the rules of ARCHITECTURE.md that Cargo cannot enforce.
//!
//! Cargo enforces the direction between crates. These tests check where adapters and foreign libraries are named, the
//! length of files, and that tests build the dependencies with the program's features.

use super::sources::{host_code, root, rust, without_tests};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// The most lines a file may have without a reason. Tests do not count.
const LONG: usize = 400;

/// Longer files, and the reason for each.
const LONG_FILES: [(&str, &str); 1] = [("tests/src/hostile.rs", "a catalogue of hostile components")];

/// The block `imports` of ARCHITECTURE.md: each crate or library, and the path prefixes of the files that may name it.
fn homes() -> Vec<(String, Vec<String>)> {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let block = document.split("```imports\n").nth(1).and_then(|rest| rest.split("```").next());
    let list = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    let rules = block.expect("ARCHITECTURE.md has the block").lines().flat_map(|line| {
        let rule = line.split('#').next().unwrap_or_default();
        let (names, homes) = rule.split_once(':').unwrap_or_else(|| panic!("not `NAMES: PATHS`: {line}"));
        list(names).into_iter().map(|name| (name, list(homes))).collect::<Vec<_>>()
    });
    rules.collect()
}

/// The rules of the host's adapters: crates that implement a trait of `core`.
fn adapters() -> Vec<(String, Vec<String>)> {
    homes().into_iter().filter(|(name, _)| name.starts_with("windlass_")).collect()
}

/// The rules of foreign libraries.
fn libraries() -> Vec<(String, Vec<String>)> {
    homes().into_iter().filter(|(name, _)| !name.starts_with("windlass_")).collect()
}

#[test]
fn only_the_composition_root_names_adapters() {
    let adapters = adapters();
    assert_eq!(adapters.len(), 5, "{adapters:?}");
    let mut wrong = Vec::new();
    for (path, code) in host_code() {
        for (adapter, allowed) in &adapters {
            let own = format!("host/{}/", adapter.trim_start_matches("windlass_"));
            let is_allowed = path.starts_with(&own) || allowed.iter().any(|allowed| path.starts_with(allowed));
            if code.contains(&format!("{adapter}::")) && !is_allowed {
                wrong.push(format!("{path}: names the adapter `{adapter}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_foreign_library_is_named_in_one_module() {
    let libraries = libraries();
    assert_eq!(libraries.len(), 42, "{libraries:?}");
    let mut wrong = Vec::new();
    for (path, code) in host_code() {
        let words: BTreeSet<&str> = code
            .match_indices("::")
            .filter_map(|(at, _)| {
                let before = &code[..at];
                let begin = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
                // Only the first segment of a path can be a library: `crate::policy::wasmtime` is ours.
                (!before[..begin].ends_with("::")).then_some(&before[begin..])
            })
            .chain(code.lines().filter_map(|line| line.trim().strip_prefix("use ")?.strip_suffix(';')))
            .collect();
        for (library, homes) in &libraries {
            if words.contains(library.as_str()) && !homes.iter().any(|home| path.starts_with(home)) {
                wrong.push(format!("{path}: names `{library}`, which belongs to {homes:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_its_job() {
    let silent: Vec<String> = rust(&["host", "plugins", "tests", "examples"])
        .into_iter()
        .filter(|(_, text)| !text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 15))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "the first line must be `//!` and describe the file's job: {silent:#?}");
}

/// The lines that open a block of code in documentation which rustdoc would run as a test.
fn documentation_tests(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim_start).filter(|line| line.starts_with("///") || line.starts_with("//!"));
    let fences = lines.filter(|line| line[3..].trim_start().starts_with("```"));
    // Every second fence closes a block.
    fences.step_by(2).filter(|line| line.ends_with("```") || line.ends_with("```rust")).collect()
}

#[test]
fn documentation_has_no_tests_that_the_recipes_do_not_run() {
    let sources = rust(&["host", "plugins", "tests/src", "tests/harness"]);
    let found: Vec<&String> =
        sources.iter().filter(|(_, text)| !documentation_tests(text).is_empty()).map(|(path, _)| path).collect();
    assert!(found.is_empty(), "name the block's language, or let `make test` run documentation tests: {found:#?}");
    assert_eq!(documentation_tests("/// ```\n/// f();\n/// ```\n/// ```text\n/// a\n/// ```"), ["/// ```"]);
}

#[test]
fn a_long_file_has_a_reason() {
    let long: Vec<String> = rust(&["host", "plugins", "tests/src", "tests/harness"])
        .into_iter()
        .filter(|(path, _)| !path.ends_with("tests.rs") && !path.contains("/src/tests/"))
        .map(|(path, text)| (path, without_tests(&text).lines().count()))
        .filter(|(path, lines)| *lines > LONG && !LONG_FILES.iter().any(|(known, _)| known == path))
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "split the file, or add it to LONG_FILES with the reason: {long:#?}");
}

/// The standard output of a cargo command.
fn cargo(arguments: &[&str]) -> String {
    let arguments = arguments.iter().chain(&["--locked", "--offline"]);
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes text")
}

/// Each package in the workspace's dependency tree, with its features.
fn features(edges: &str) -> BTreeSet<String> {
    // With a target named, cargo keeps the packages of build scripts apart from those of the program.
    let tree =
        cargo(&["tree", "--workspace", "--target=host-tuple", "--prefix=none", "--format={p} {f}", "--edges", edges]);
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// A package with other features, and everything that depends on it, would be compiled a second time.
#[test]
fn tests_take_the_features_that_the_program_has() {
    let (program, tests) = (features("normal,build"), features("normal,build,dev"));
    assert!(program.len() > 100, "{program:?}");
    let differing: Vec<&String> = program.difference(&tests).collect();
    assert!(differing.is_empty(), "add the missing features to the dependencies of `windlass-tests`: {differing:#?}");
}

/// The names of a package's dependencies, those of its tests aside.
fn dependencies(package: &str) -> BTreeSet<String> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version=1"])).expect("JSON");
    let mut packages = metadata["packages"].as_array().expect("a list").iter();
    let package = packages.find(|known| known["name"] == package).unwrap_or_else(|| panic!("no package `{package}`"));
    let dependencies = package["dependencies"].as_array().expect("a list").iter();
    let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
    normal.filter_map(|dependency| dependency["name"].as_str()).map(str::to_owned).collect()
}

#[test]
fn decisions_depend_on_the_vocabulary_alone() {
    assert_eq!(dependencies("windlass-decide"), BTreeSet::from(["windlass-core".to_owned()]));
    let core = dependencies("windlass-core");
    let allowed =
        |name: &&String| !name.starts_with("windlass") && !["tokio", "hyper", "tracing"].contains(&name.as_str());
    let wrong: Vec<&String> = core.iter().filter(|name| !allowed(name)).collect();
    assert!(wrong.is_empty(), "windlass-core has no I/O and needs no other crate of the host: {wrong:?}");
}

#[test]
fn the_main_function_only_hands_over() {
    let main = fs::read_to_string(root().join("host/src/main.rs")).expect("main.rs is there");
    assert!(main.lines().count() < 40, "main.rs has {} lines", main.lines().count());
}

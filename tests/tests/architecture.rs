//! Holds the sources to what ARCHITECTURE.md says of them: who imports whom, where foreign libraries are named; and
//! their building to one set of features.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that stand behind a trait: only these files name them. `cli` runs policies without a server, so it names the
/// sandbox too.
const ADAPTERS: [(&str, &[&str]); 5] = [
    ("windlass_docker", &["host/src/app.rs"]),
    ("windlass_storage", &["host/src/app.rs"]),
    ("windlass_network", &["host/src/app.rs", "host/src/cli/"]),
    ("windlass_policies", &["host/src/app.rs", "host/src/cli/"]),
    ("windlass_sandbox", &["host/src/app.rs", "host/src/cli/", "host/policies/"]),
];

/// Foreign libraries and the one place that names each; its path begins with it.
const FOREIGN: [(&str, &[&str]); 25] = [
    ("axum", &["host/api/"]),
    ("bollard", &["host/docker/"]),
    ("clap", &["host/src/cli", "host/src/config"]),
    ("csv", &["host/simulate/src/trace.rs"]),
    ("epaint_default_fonts", &["host/simulate/src/chart.rs"]),
    ("hyper", &["host/api/"]),
    ("hyper_util", &["host/api/"]),
    ("minijinja", &["host/discovery/src/template.rs"]),
    ("oci_client", &["host/policies/src/sources/oci.rs"]),
    ("plotters", &["host/simulate/src/chart.rs"]),
    ("prometheus_client", &["host/api/src/openmetrics.rs"]),
    ("reqwest", &["host/network/"]),
    ("rusqlite", &["host/storage/"]),
    ("toml", &["host/src/config"]),
    ("tower", &["host/api/"]),
    ("tower_http", &["host/api/"]),
    ("utoipa", &["host/api/"]),
    ("utoipa_swagger_ui", &["host/api/"]),
    ("wasi_preview1_component_adapter_provider", &["host/sandbox/"]),
    ("wasmparser", &["host/sandbox/"]),
    ("wasmtime", &["host/sandbox/"]),
    ("wasmtime_wasi", &["host/sandbox/"]),
    ("wasmtime_wasi_http", &["host/sandbox/src/call_store/http.rs"]),
    ("wit_component", &["host/sandbox/"]),
    ("wit_parser", &["host/sandbox/"]),
];

/// Lines a file may have without a reason, tests aside.
const LONG: usize = 400;

/// Longer files, and why each is one file.
const LONG_FILES: [(&str, &str); 1] = [("tests/src/hostile.rs", "a catalogue: one hostile component after the other")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below these folders, with its path from the root.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    fn gather(folder: &Path, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.is_dir() {
                gather(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    folders.iter().for_each(|folder| gather(&root().join(folder), &mut found));
    assert!(!found.is_empty(), "no sources below {folders:?}");
    found.sort();
    let named = found.into_iter().map(|path| {
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        (name, fs::read_to_string(&path).expect("a source is text"))
    });
    named.collect()
}

/// The host's sources: path from the root, and the code without comments, texts and tests.
fn host_sources() -> Vec<(String, String)> {
    // A file of tests may name what it tests with.
    let of_tests = |path: &str| {
        path.ends_with("tests.rs")
            || path.ends_with("fixtures.rs")
            || path.contains("/tests/")
            || path.contains("/benches/")
    };
    let sources = sources(&["host"]).into_iter().filter(|(path, _)| !of_tests(path));
    sources.map(|(path, text)| (path, code(&text))).collect()
}

/// A source without comments, the content of texts, and the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut kept = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '/' if characters.peek() == Some(&'/') => {
                characters.by_ref().find(|character| *character == '\n');
                kept.push('\n');
            }
            '"' => {
                while let Some(inside) = characters.next() {
                    match inside {
                        '\\' => drop(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                kept.push_str("\"\"");
            }
            // A quote as a character, which would open a text.
            '\'' if characters.clone().take(2).eq(['"', '\'']) => {
                characters.nth(1);
            }
            other => kept.push(other),
        }
    }
    kept
}

#[test]
fn only_the_composition_root_names_adapters() {
    let mut wrong = Vec::new();
    for (path, code) in host_sources() {
        for (adapter, allowed) in ADAPTERS {
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
    let mut wrong = Vec::new();
    for (path, code) in host_sources() {
        let words: BTreeSet<&str> = code
            .match_indices("::")
            .filter_map(|(at, _)| {
                let before = &code[..at];
                let begin = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
                // A path's first segment only: `crate::policy::wasmtime` would be ours.
                (!before[..begin].ends_with("::")).then_some(&before[begin..])
            })
            .chain(code.lines().filter_map(|line| line.trim().strip_prefix("use ")?.strip_suffix(';')))
            .collect();
        for (library, homes) in FOREIGN {
            if words.contains(library) && !homes.iter().any(|home| path.starts_with(home)) {
                wrong.push(format!("{path}: names `{library}`, which belongs to {homes:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_its_job() {
    let silent: Vec<String> = sources(&["host", "plugins", "tests", "examples"])
        .into_iter()
        .filter(|(_, text)| !text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 15))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "the first line does not say the file's job: {silent:?}");
}

#[test]
fn a_long_file_has_a_reason() {
    let long: Vec<String> = sources(&["host", "plugins", "tests/src"])
        .into_iter()
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .map(|(path, text)| (path, text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().lines().count()))
        .filter(|(path, lines)| *lines > LONG && !LONG_FILES.iter().any(|(known, _)| known == path))
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "split it, or say in LONG_FILES why not: {long:?}");
}

/// Each package that a selection of dependencies takes, with its features.
fn taken(edges: &str) -> BTreeSet<String> {
    let arguments = ["tree", "--workspace", "--locked", "--offline", "--prefix=none", "--format={p} {f}", "--edges"];
    let output =
        Command::new(env!("CARGO")).args(arguments).arg(edges).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("cargo writes text");
    lines.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// Else what has other features is compiled once for the program and once more for the tests, and whatever needs it.
#[test]
fn tests_take_the_features_that_the_program_has() {
    let (program, tests) = (taken("normal,build"), taken("normal,build,dev"));
    assert!(program.len() > 100, "{program:?}");
    let otherwise: Vec<&String> = program.difference(&tests).collect();
    assert!(otherwise.is_empty(), "name the missing features among the dependencies of `tests`: {otherwise:?}");
}

#[test]
fn the_main_function_only_hands_over() {
    let main = fs::read_to_string(root().join("host/src/main.rs")).expect("main.rs is there");
    assert!(main.lines().count() < 40, "main.rs has {} lines", main.lines().count());
}

#[test]
fn the_scanner_skips_comments_texts_and_tests() {
    let source = r#"
// use crate::api::X;
fn f() -> crate::runtime::RuntimeError { g("crate::config::X", '"', crate::control::Y) }

#[cfg(test)]
mod tests { use crate::app::run; }
"#;
    let found = code(source);
    assert!(found.contains("crate::runtime") && found.contains("crate::control::Y"), "{found}");
    assert!(!["crate::api", "crate::config", "crate::app"].iter().any(|skipped| found.contains(skipped)), "{found}");
}

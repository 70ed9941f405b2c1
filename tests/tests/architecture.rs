//! Holds the sources to what ARCHITECTURE.md says of them: who imports whom, where foreign libraries are named; and
//! their building to one set of features.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules that stand behind a trait: only `app` names them, beside their own folder. `cli` runs policies
/// without a server, so it names the policy engine too.
const ADAPTERS: [(&str, &[&str]); 5] = [
    ("runtime::docker", &["app"]),
    ("runtime::sim", &["app"]),
    ("store::sqlite", &["app"]),
    ("net::client", &["app", "cli"]),
    ("policy::", &["app", "cli"]),
];

/// Foreign libraries and the one place that names each; a path below `host/src` begins with it.
const FOREIGN: [(&str, &[&str]); 25] = [
    ("axum", &["api"]),
    ("bollard", &["runtime/docker"]),
    ("clap", &["cli", "config"]),
    ("csv", &["simulate/trace"]),
    ("epaint_default_fonts", &["simulate/chart"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api"]),
    ("minijinja", &["discovery/template"]),
    ("oci_client", &["policy/oci"]),
    ("plotters", &["simulate/chart"]),
    ("prometheus_client", &["api/exposition"]),
    ("reqwest", &["net/client"]),
    ("rusqlite", &["store/sqlite"]),
    ("toml", &["config"]),
    ("tower", &["api"]),
    ("tower_http", &["api"]),
    ("utoipa", &["api"]),
    ("utoipa_swagger_ui", &["api"]),
    ("wasi_preview1_component_adapter_provider", &["policy/"]),
    ("wasmparser", &["policy/"]),
    ("wasmtime", &["policy/"]),
    ("wasmtime_wasi", &["policy/"]),
    ("wasmtime_wasi_http", &["policy/store/http"]),
    ("wit_component", &["policy/"]),
    ("wit_parser", &["policy/"]),
];

/// Lines a file may have without a reason, tests aside.
const LONG: usize = 400;

/// Longer files, and why each is one file.
const LONG_FILES: [(&str, &str); 2] = [
    (
        "host/src/policy/component.rs",
        "both kinds of policy are loaded and called alike; apart, each would repeat the other",
    ),
    ("tests/src/hostile.rs", "a catalogue: one hostile component after the other"),
];

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

/// The host's modules: path below `host/src`, first module, and the code without comments, texts and tests.
fn host_modules() -> Vec<(String, String, String)> {
    let modules = sources(&["host/src"]).into_iter().map(|(path, text)| {
        let path = path.trim_start_matches("host/src/").to_owned();
        let module = path.split(['/', '.']).next().unwrap_or_default().to_owned();
        (path, module, code(&text))
    });
    // A file of tests may name what it tests with, the simulated engine above all.
    let of_tests = ["tests.rs", "fixtures.rs"];
    modules
        .filter(|(path, ..)| !of_tests.iter().any(|name| path.ends_with(name)) && !path.contains("/tests/"))
        .collect()
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

/// Every path that follows `crate::`, groups in braces taken apart: `policy::registry::PolicyRegistry`.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let whole_word = !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        if whole_word {
            take_path("", &mut code[at + "crate::".len()..].chars().peekable(), &mut paths);
        }
    }
    paths
}

/// Reads one path, or a group of them, and notes where each leads.
fn take_path(prefix: &str, characters: &mut std::iter::Peekable<std::str::Chars<'_>>, paths: &mut BTreeSet<String>) {
    let mut path = prefix.to_owned();
    while let Some(character) = characters.peek().copied() {
        match character {
            '{' => {
                characters.next();
                loop {
                    while characters.next_if(|next| next.is_whitespace() || *next == ',').is_some() {}
                    if characters.next_if_eq(&'}').is_some() || characters.peek().is_none() {
                        return;
                    }
                    take_path(&path, characters, paths);
                    // What an `as` renames it to leads nowhere else.
                    while characters.next_if(|next| !matches!(next, ',' | '}')).is_some() {}
                }
            }
            character if character.is_alphanumeric() || matches!(character, '_' | ':') => {
                path.push(character);
                characters.next();
            }
            _ => break,
        }
    }
    paths.insert(path.trim_end_matches(':').to_owned());
}

/// The block ` ```imports ` of ARCHITECTURE.md: `control: model, runtime` and so on.
fn stated_arrows() -> BTreeMap<String, BTreeSet<String>> {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let block = document.split("```imports\n").nth(1).and_then(|rest| rest.split("```").next());
    let lines = block.expect("ARCHITECTURE.md states the imports").lines();
    let arrows = lines.filter_map(|line| line.split_once(':')).map(|(from, to)| {
        let to = to.split('#').next().unwrap_or_default().split(',');
        (from.trim().to_owned(), to.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
    });
    arrows.collect()
}

#[test]
fn imports_run_only_where_the_architecture_says() {
    let stated = stated_arrows();
    let mut wrong = Vec::new();
    for (path, module, code) in host_modules() {
        if path == "lib.rs" || path == "main.rs" {
            continue;
        }
        let Some(allowed) = stated.get(&module) else {
            wrong.push(format!("{path}: ARCHITECTURE.md does not know the module `{module}`"));
            continue;
        };
        for target in crate_paths(&code) {
            let to = target.split("::").next().unwrap_or_default();
            if to != module && !allowed.contains(to) {
                wrong.push(format!("{path}: `{module}` may not import `{to}` (crate::{target})"));
            }
        }
        if !path.contains('/') && code.contains("super::") {
            wrong.push(format!("{path}: write `crate::`, so that the arrow can be seen"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_composition_root_names_adapters() {
    let mut wrong = Vec::new();
    for (path, module, code) in host_modules() {
        for target in crate_paths(&code) {
            for (adapter, allowed) in ADAPTERS {
                let own = adapter.split("::").next() == Some(&module);
                // Below `policy`, modules are in lower case; the traits are not.
                let names = match adapter.strip_suffix("::") {
                    Some(parent) => target
                        .strip_prefix(parent)
                        .and_then(|rest| rest.strip_prefix("::"))
                        .is_some_and(|rest| rest.starts_with(|first: char| first.is_lowercase())),
                    None => target == adapter || target.starts_with(&format!("{adapter}::")),
                };
                if names && !own && !allowed.contains(&module.as_str()) {
                    wrong.push(format!("{path}: names the adapter crate::{target}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_foreign_library_is_named_in_one_module() {
    let mut wrong = Vec::new();
    for (path, _, code) in host_modules() {
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
    let long: Vec<String> = sources(&["host/src", "plugins", "tests/src"])
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
fn the_scanner_sees_groups_and_skips_comments_texts_and_tests() {
    let source = r#"
use crate::{model::{Replica, settings::Api as Settings}, store::Store};
// use crate::api::X;
fn f() -> crate::runtime::RuntimeError { g("crate::config::X", '"', crate::control::Y) }

#[cfg(test)]
mod tests { use crate::app::run; }
"#;
    let found = crate_paths(&code(source));
    let expected = ["control::Y", "model::Replica", "model::settings::Api", "runtime::RuntimeError", "store::Store"];
    assert_eq!(found, expected.map(str::to_owned).into());
}

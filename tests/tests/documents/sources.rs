//! Reads the repository's files for the tests of this program.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below these folders with one of these extensions: its path from the root, and its text.
///
/// Hidden folders and build output are left out.
pub(crate) fn files(folders: &[&str], extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    folders.iter().for_each(|folder| gather(&root().join(folder), extensions, &mut found));
    assert!(!found.is_empty(), "no {extensions:?} files below {folders:?}");
    found.sort();
    let named = found.into_iter().map(|path| {
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        (name, fs::read_to_string(&path).expect("a source is text"))
    });
    named.collect()
}

/// Every Rust file below these folders.
pub(crate) fn rust(folders: &[&str]) -> Vec<(String, String)> {
    files(folders, &["rs"])
}

fn gather(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
                gather(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)) {
            found.push(path);
        }
    }
}

/// The host's sources without comments, string contents and tests: path from the root, and the code.
pub(crate) fn host_code() -> Vec<(String, String)> {
    // A test file may name the libraries it needs.
    let is_test = |path: &str| {
        path.ends_with("tests.rs")
            || path.ends_with("fixtures.rs")
            || path.contains("/tests/")
            || path.contains("/benches/")
    };
    let sources = rust(&["host"]).into_iter().filter(|(path, _)| !is_test(path));
    sources.map(|(path, text)| (path, code(&text))).collect()
}

/// A source without its unit tests, which stand at its end.
pub(crate) fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
}

/// A source without comments, string contents and the tests at its end.
pub(crate) fn code(text: &str) -> String {
    let mut kept = String::new();
    let mut characters = without_tests(text).chars().peekable();
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
            // A character literal: a quotation mark opens no string there, and a brace no block.
            '\'' if characters.clone().nth(1) == Some('\'') => {
                characters.nth(1);
            }
            other => kept.push(other),
        }
    }
    kept
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

//! Checks that each public function and constant of a crate has a user outside of the crate.
//!
//! Types are left out: a type without a user by name may still be part of a public signature.

use super::sources::{code, rust};
use std::collections::BTreeSet;

/// The words of a source.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect()
}

/// The names of the public functions and constants that a source declares.
fn declared(code: &str) -> Vec<&str> {
    let declarations = code.lines().filter_map(|line| line.trim().strip_prefix("pub "));
    let names = declarations.filter_map(|declaration| {
        let mut words = declaration.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        let mut word = words.next()?;
        while matches!(word, "async" | "const" | "unsafe") {
            let next = words.next()?;
            if word == "const" && !matches!(next, "fn" | "async" | "unsafe") {
                return Some(next);
            }
            word = next;
        }
        if word == "fn" { words.next() } else { None }
    });
    names.collect()
}

/// The folder of the crate that a file of the host belongs to, such as `host/core/`.
fn crate_of(path: &str) -> Option<&str> {
    let (folder, rest) = path.strip_prefix("host/")?.split_once('/')?;
    (rest.starts_with("src/")).then(|| &path[.."host/".len() + folder.len() + 1])
}

#[test]
fn a_public_function_or_constant_has_a_user_outside_of_its_crate() {
    let sources = rust(&["host", "tests", "examples"]);
    let mut unused = Vec::new();
    let crates: BTreeSet<&str> = sources.iter().filter_map(|(path, _)| crate_of(path)).collect();
    let used: Vec<(&str, BTreeSet<&str>)> = sources.iter().map(|(path, text)| (path.as_str(), words(text))).collect();
    for own in crates {
        let outside: BTreeSet<&str> = used
            .iter()
            .filter(|(path, _)| !path.starts_with(own))
            .flat_map(|(_, words)| words.iter().copied())
            .collect();
        for (path, text) in sources.iter().filter(|(path, _)| path.starts_with(own) && !path.ends_with("tests.rs")) {
            let code = code(text);
            unused.extend(
                declared(&code)
                    .into_iter()
                    .filter(|name| !outside.contains(name))
                    .map(|name| format!("{path}: {name}")),
            );
        }
    }
    assert!(
        unused.is_empty(),
        "no other crate uses these; make them `pub(crate)`, or remove them:\n{}",
        unused.join("\n")
    );
}

#[test]
fn the_reader_finds_functions_and_constants() {
    let code = "pub fn a() {}\n    pub async fn b() {}\npub const fn c() {}\npub const D: u8 = 1;\npub struct E;\n\
                pub(crate) fn f() {}\nfn g() {}\npub use h;\npub const unsafe fn i() {}";
    assert_eq!(declared(code), ["a", "b", "c", "D", "i"]);
}

//! The language that a component was written in, and the likely mistake when it fails.

use crate::component::LoadProblem;
use crate::contract_check::LinkProblem;
use wasmparser::{KnownCustom, Parser, Payload};
use windlass_core::{FailureKind, PolicyFailure};

/// A language with an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Compiled by rustc, bindings by wit-bindgen.
    Rust,
    /// Compiled by clang, bindings by wit-bindgen.
    C,
    /// Compiled by Go.
    Go,
    /// An interpreter inside the component.
    JavaScript,
    /// CPython inside the component.
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rust, Self::JavaScript, Self::Python, Self::Go, Self::C];

    /// Folder of its example, and its name on the command line.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Go => "go",
            Self::JavaScript => "javascript",
            Self::Python => "python",
        }
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Go => "Go",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        })
    }
}

/// The language of a component or core module. `None` if nothing in it names one.
pub fn of(bytes: &[u8]) -> Option<Language> {
    // Interpreters are not named in the `producers` sections, but their code is in the component.
    let holds = |text: &str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    if holds("libpython3.") {
        return Some(Language::Python);
    }
    if holds("QuickJS") || holds("StarlingMonkey") {
        return Some(Language::JavaScript);
    }
    let producers = producers(bytes);
    let found = |field: &str, name: &str| producers.iter().any(|(of, is)| of == field && is == name);
    // A component may contain an adapter written in Rust, so the bindings are checked, not the language.
    if found("language", "Go") {
        Some(Language::Go)
    } else if found("processed-by", "wit-bindgen-c") {
        Some(Language::C)
    } else if found("processed-by", "wit-bindgen-rust") {
        Some(Language::Rust)
    } else {
        None
    }
}

/// The entries of the `producers` sections: (field, name). Entries that cannot be parsed are left out.
fn producers(bytes: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().flatten() {
            let values = field.values.into_iter().flatten();
            found.extend(values.map(|value| (field.name.to_owned(), value.name.to_owned())));
        }
    }
    found
}

/// The likely mistake behind a component that does not load.
pub fn hint_for_loading(language: Option<Language>, problem: &LoadProblem) -> Option<&'static str> {
    match (language, problem) {
        (_, LoadProblem::Link(LinkProblem::Version { .. } | LinkProblem::FunctionType { .. })) => Some(
            "its bindings were generated from another version of the contract; generate them from the output of `windlass policy wit`",
        ),
        (
            Some(Language::JavaScript),
            LoadProblem::Link(LinkProblem::Import { .. } | LinkProblem::NotGranted { .. }),
        ) => Some(
            "jco on StarlingMonkey imports HTTP, which a policy may not use; build with `--backend qjs`, or with `--disable all`",
        ),
        (_, LoadProblem::Manifest(failure)) => hint_for_call(language, failure),
        _ => None,
    }
}

/// The likely mistake behind a call that failed.
pub fn hint_for_call(language: Option<Language>, failure: &PolicyFailure) -> Option<&'static str> {
    match (language?, failure.kind) {
        (Language::Rust, FailureKind::Trap) => {
            Some("a panic ends the call (`unwrap`, an index, an overflow); return a `policy-error` instead")
        }
        (Language::C, FailureKind::Trap) => Some(
            "the bindings free the returned value; each string and list must come from `malloc` (`scaling_policy_string_dup`), none may be a literal",
        ),
        (Language::Go, FailureKind::Trap) => Some("a panic ends the call: a nil map, an index, a type assertion"),
        (Language::JavaScript, FailureKind::Trap) => Some(
            "a thrown error ends the call, except `throw {tag, val}` with a case of `policy-error`; QuickJS represents 64-bit numbers as plain numbers, and `--backend-qjs-stub-wasi` removes the clock",
        ),
        (Language::Python, FailureKind::Trap) => Some(
            "an exception ends the call, except `Err` with a case of `policy-error`; modules cannot be imported during a call, and `--stub-wasi` removes the clock",
        ),
        (Language::Go | Language::JavaScript | Language::Python, FailureKind::Time | FailureKind::Memory) => Some(
            "each call starts a fresh runtime; do little at its start, or raise the limit in `[policies.NAME]`; a sleep never ends, because the clock stands still",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policies_are_written_in_rust_and_nothing_is_written_in_nothing() {
        assert_eq!(of(windlass_builtin::MIN_MAX), Some(Language::Rust));
        assert_eq!((of(b""), of(b"\0asm\x0d\0\x01\0"), of(b"\0asm\x01\0\0\0\xff")), (None, None, None));
    }

    #[test]
    fn each_hint_belongs_to_a_language_and_a_failure() {
        let trap = PolicyFailure::new(FailureKind::Trap, "it gave up".to_owned());
        assert!(hint_for_call(Some(Language::C), &trap).is_some_and(|hint| hint.contains("malloc")));
        assert_eq!(hint_for_call(None, &trap), None);
        let slow = PolicyFailure::new(FailureKind::Time, "it ran long".to_owned());
        assert_eq!(hint_for_call(Some(Language::Rust), &slow), None);
        let manifest = LoadProblem::Manifest(slow);
        assert!(hint_for_loading(Some(Language::Python), &manifest).is_some_and(|hint| hint.contains("fresh runtime")));
    }
}

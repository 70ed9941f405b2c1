//! `windlass policy new`: creates a policy project from an example.

use anyhow::{Context, bail, ensure};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use windlass_core::PolicyChoice;
use windlass_sandbox::language::Language;

/// Every file of the example policies: language, path in the language's folder, content.
const TEMPLATES: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// File with a sample observation. The examples share one in another folder; a project gets its own.
const OBSERVATION: &str = "observation.json";

/// Name of the example policies.
const EXAMPLE: &str = "queue-depth";

/// Address of the guide that the examples' pages link to.
const GUIDE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/examples/policies/README.md");

/// Parses the name of a language on the command line.
pub(crate) fn language_parser() -> impl TypedValueParser<Value = Language> {
    let names = Language::ALL.map(|language| PossibleValue::new(language.folder()).help(language.to_string()));
    PossibleValuesParser::new(names).map(|name| {
        let language = Language::ALL.into_iter().find(|language| language.folder() == name);
        language.expect("clap accepts only the listed names")
    })
}

/// Writes the project, whole or not at all, into a folder with its name. Returns a line about the next step.
///
/// # Errors
/// If the name is invalid, or the folder exists or cannot be written.
pub(super) fn write(language: Language, name: &str, parent: &Path) -> anyhow::Result<(Value, String)> {
    // Package names begin with a letter in most languages.
    ensure!(
        PolicyChoice::is_name(name) && name.starts_with(|first: char| first.is_ascii_lowercase()),
        "`{}` cannot be a policy's name; use a lower-case letter, then up to 62 lower-case letters, digits and hyphens",
        name.escape_debug()
    );
    let folder = parent.join(name);
    if folder.exists() {
        bail!("`{}` already exists; choose another name or remove it", folder.display());
    }
    let failed = || format!("cannot write `{}`", folder.display());
    let unfinished = tempfile::Builder::new().prefix(".windlass-").tempdir_in(parent).with_context(failed)?;
    for (_, path, content) in TEMPLATES.iter().filter(|(of, ..)| *of == language.folder()) {
        let file = unfinished.path().join(path);
        fs::create_dir_all(file.parent().unwrap_or(parent)).with_context(failed)?;
        fs::write(&file, renamed(path, content, name)).with_context(failed)?;
    }
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(unfinished.path(), fs::Permissions::from_mode(0o755)).with_context(failed)?;
    fs::rename(unfinished.path(), &folder).with_context(failed)?;
    // The folder was renamed, so nothing is left to remove.
    let _renamed = unfinished.keep();
    let document = json!({"name": name, "folder": folder, "language": language.folder()});
    let text = format!(
        "{}: created a policy in {}; its README.md explains how to build it\n",
        folder.display(),
        language.folder()
    );
    Ok((document, text))
}

/// A file of the example, changed for a policy with this name.
fn renamed(path: &str, content: &[u8], name: &str) -> Vec<u8> {
    // In the rule, the word is the name of the metric, not of the policy.
    let is_rule = path.rsplit('/').next().is_some_and(|file| file.starts_with("rule"));
    let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
    if is_rule || path == OBSERVATION {
        return content.to_vec();
    }
    let text = text
        .replace("(../README.md)", &format!("({GUIDE})"))
        .replace("../../observations/scaling.json", OBSERVATION)
        .replace(EXAMPLE, name)
        .replace(&EXAMPLE.replace('-', "_"), &name.replace('-', "_"));
    if path == "Cargo.lock" { in_order(&text) } else { text }.into_bytes()
}

/// A lock file with its packages sorted by name, as cargo requires.
fn in_order(lock: &str) -> String {
    const PACKAGE: &str = "\n[[package]]\n";
    let mut parts = lock.split(PACKAGE);
    let head = parts.next().unwrap_or_default();
    let mut packages: Vec<&str> = parts.map(|package| package.trim_end_matches('\n')).collect();
    packages.sort_unstable();
    let packages: Vec<String> = packages.iter().map(|package| format!("{PACKAGE}{package}\n")).collect();
    head.to_owned() + &packages.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_the_example_under_another_name() {
        let parent = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            let name = format!("my-{}", language.folder());
            write(language, &name, parent.path()).unwrap();
            let folder = parent.path().join(&name);
            assert!(fs::read_to_string(folder.join("README.md")).unwrap().starts_with(&format!("# {name} in ")));
            assert!(fs::read_to_string(folder.join(".gitignore")).unwrap().lines().count() > 0);
            let page = fs::read_to_string(folder.join("README.md")).unwrap();
            assert!(!page.contains("queue") && page.contains(&format!("]({GUIDE})")), "{page}");
            assert!(GUIDE.starts_with("https://") && !page.contains("../"), "{page}");
        }
        let lock = fs::read_to_string(parent.path().join("my-rust/Cargo.lock")).unwrap();
        let names: Vec<&str> = lock.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        assert!(names.is_sorted() && names.contains(&"\"my-rust\""), "{names:?}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 5, "no unfinished folder is left");
    }

    #[test]
    fn what_is_there_is_not_overwritten_and_a_name_is_a_name() {
        let parent = tempfile::tempdir().unwrap();
        write(Language::C, "mine", parent.path()).unwrap();
        let refused = write(Language::Go, "mine", parent.path()).unwrap_err().to_string();
        assert!(refused.ends_with("mine` already exists; choose another name or remove it"), "{refused}");
        for name in ["", "9lives", "-a", "Mine", "../mine", &"a".repeat(64)] {
            let refused = write(Language::C, name, parent.path()).unwrap_err().to_string();
            assert!(refused.contains("cannot be a policy's name"), "{refused}");
        }
    }
}

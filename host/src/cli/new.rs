//! `windlass policy new`: a project of one's own, begun from an example policy.

use anyhow::{Context, bail, ensure};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::fs;
use std::path::Path;
use windlass_core::PolicyChoice;
use windlass_sandbox::language::Language;

/// Every file of the example policies: language, path in its folder, content.
const TEMPLATES: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// What a policy is shown to try it, written beside it; in the examples it lies elsewhere, once for all.
const OBSERVATION: &str = "observation.json";

/// What the examples are called.
const EXAMPLE: &str = "queue-depth";

/// Where the page lies that the examples' own pages lead to.
const GUIDE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/examples/policies/README.md");

/// Parses the name of a language on the command line.
pub(crate) fn language_parser() -> impl TypedValueParser<Value = Language> {
    let names = Language::ALL.map(|language| PossibleValue::new(language.folder()).help(language.to_string()));
    PossibleValuesParser::new(names).map(|name| {
        let language = Language::ALL.into_iter().find(|language| language.folder() == name);
        language.expect("clap accepts only the listed names")
    })
}

/// Writes the project into a folder of its name, whole or not at all; gives what to do next.
///
/// # Errors
/// When the name is none, the folder is there already or cannot be written.
pub fn write(language: Language, name: &str, parent: &Path) -> anyhow::Result<String> {
    // In most languages a name begins with a letter.
    ensure!(
        PolicyChoice::is_name(name) && name.starts_with(|first: char| first.is_ascii_lowercase()),
        "`{}` cannot be a policy's name: expected a lower-case letter, then up to 62 lower-case letters, digits and hyphens",
        name.escape_debug()
    );
    let folder = parent.join(name);
    if folder.exists() {
        bail!("`{}` is there already", folder.display());
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
    // It has another name now, and nothing is left to be removed.
    let _gone = unfinished.keep();
    Ok(format!("{}: a policy in {}; its README.md says how it is built\n", folder.display(), language.folder()))
}

/// A file of the example as that of a policy called `name`.
fn renamed(path: &str, content: &[u8], name: &str) -> Vec<u8> {
    // There the word is not the policy's name but that of the metric it looks at.
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

/// A lock file with its packages in the order of their names, as cargo insists on.
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
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 5, "nothing unfinished is left");
    }

    #[test]
    fn what_is_there_is_not_overwritten_and_a_name_is_a_name() {
        let parent = tempfile::tempdir().unwrap();
        write(Language::C, "mine", parent.path()).unwrap();
        let refused = write(Language::Go, "mine", parent.path()).unwrap_err().to_string();
        assert!(refused.ends_with("mine` is there already"), "{refused}");
        for name in ["", "9lives", "-a", "Mine", "../mine", &"a".repeat(64)] {
            let refused = write(Language::C, name, parent.path()).unwrap_err().to_string();
            assert!(refused.contains("cannot be a policy's name"), "{refused}");
        }
    }
}

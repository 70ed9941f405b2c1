//! The contexts of a user: servers by name, in a private file of the user's configuration folder.

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use windlass_core::text::nearest;
use windlass_files::private::{PrivateError, read_secret};

/// The name that stands for no context: the server of this machine.
pub(super) const DEFAULT: &str = "default";

/// Longest name of a context in bytes.
const LONGEST_NAME: usize = 63;

/// A server, and the files that a client needs for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    /// Its address.
    pub(super) server: String,
    /// File with the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    /// File with the certificate of the authority that signed the server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
}

/// All contexts of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contexts {
    /// Name of the context that commands use. `None` for the server of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    /// Contexts by name.
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// The context of this name. `None` for [`DEFAULT`].
    pub(super) fn named(&self, name: &str) -> anyhow::Result<Option<&Context>> {
        if name == DEFAULT {
            return Ok(None);
        }
        let Some(context) = self.contexts.get(name) else {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).chain([DEFAULT]).collect();
            let hint = nearest(name, &known).map_or_else(
                || format!("known contexts: {}", quoted(&known)),
                |nearest| format!("did you mean `{nearest}`?"),
            );
            bail!("there is no context `{}`; {hint}", name.escape_debug());
        };
        Ok(Some(context))
    }

    /// The context that commands use.
    pub(super) fn current(&self) -> anyhow::Result<Option<&Context>> {
        self.current.as_deref().map_or(Ok(None), |name| self.named(name))
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The file with the contexts. `None` if the user has no configuration folder.
pub(super) fn file() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(folder.join("windlass/contexts.toml"))
}

/// The contexts in a file; a missing file has none.
pub(super) fn load(file: &Path) -> anyhow::Result<Contexts> {
    let unusable = || format!("cannot use the contexts in `{}`", file.display());
    let text = match read_secret(file) {
        Ok(text) => text,
        Err(PrivateError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
        Err(error) => return Err(error).with_context(unusable),
    };
    toml::from_str(&text).with_context(unusable)
}

/// Replaces the file with these contexts. No other user can access it.
pub(super) fn store(file: &Path, contexts: &Contexts) -> anyhow::Result<()> {
    let text = toml::to_string(contexts).context("cannot write the contexts as TOML")?;
    let folder = file.parent().context("the file of the contexts has no folder")?;
    let written = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let written = written.and_then(|()| windlass_files::replace(file, text.as_bytes(), 0o600));
    written.with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(())
}

/// Checks the name of a new context.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_right = name.len() <= LONGEST_NAME && name.chars().all(is_plain);
    ensure!(
        is_right && name.starts_with(|c: char| c.is_ascii_alphanumeric()),
        "`{}` is no name of a context; expected 1 to {LONGEST_NAME} letters, digits, `.`, `_` or `-`, the first a letter or \
         a digit",
        name.escape_debug()
    );
    ensure!(name != DEFAULT, "`{DEFAULT}` stands for the server of this machine; choose another name");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn context(server: &str) -> Context {
        Context { server: server.to_owned(), token_file: Some("/t".into()), ca_file: None }
    }

    #[test]
    fn the_file_is_private_and_returns_its_contexts() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("windlass/contexts.toml");
        assert_eq!(load(&file).expect("none"), Contexts::default());
        let contexts = Contexts {
            current: Some("prod".to_owned()),
            contexts: BTreeMap::from([
                ("prod".to_owned(), context("https://a")),
                ("lab".to_owned(), context("http://b")),
            ]),
        };
        store(&file, &contexts).expect("stored");
        assert_eq!(load(&file).expect("loaded"), contexts);
        let mode = |path: &Path| path.metadata().expect("it exists").permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&folder.path().join("windlass"))), (0o600, 0o700));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("changed");
        let error = format!("{:#}", load(&file).expect_err("others can read it"));
        assert!(error.contains("other users can access") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_context_is_found_by_its_name() {
        let contexts =
            Contexts { contexts: BTreeMap::from([("prod".to_owned(), context("https://a"))]), current: None };
        assert_eq!(contexts.named("prod").expect("it exists"), Some(&context("https://a")));
        assert_eq!(contexts.named(DEFAULT).expect("always there"), None);
        assert_eq!(contexts.current().expect("none is chosen"), None);
        let error = |name| contexts.named(name).expect_err("unknown").to_string();
        assert_eq!(error("prd"), "there is no context `prd`; did you mean `prod`?");
        assert_eq!(error("x"), "there is no context `x`; known contexts: `prod`, `default`");
    }

    #[test]
    fn names_are_plain() {
        for name in ["prod", "a", "eu-1.lab_2"] {
            check_name(name).expect(name);
        }
        for name in ["", "-a", "a b", "a/b", "é", &"a".repeat(64), DEFAULT] {
            check_name(name).expect_err(name);
        }
    }
}

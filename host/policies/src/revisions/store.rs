//! Pushed policies on disk: each component once, under its digest, and an index of names and revisions.
//!
//! The index is written beside and moved, after the components it names: a crash leaves the old one or the
//! new one, and at worst a component that nobody names, which the next write removes.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use windlass_core::PolicyKind;
use windlass_core::policy::catalogue::{PolicyEvent, RevisionInfo, Taken};

/// Version of the index's form.
const VERSION: u32 = 1;

/// What is stored of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shelved {
    pub(crate) kind: PolicyKind,
    pub(crate) acting: Option<u32>,
    #[serde(default)]
    pub(crate) candidate: Option<u32>,
    /// Oldest first.
    pub(crate) revisions: Vec<RevisionInfo>,
    #[serde(default)]
    pub(crate) taken: Option<Taken>,
    /// Oldest first.
    #[serde(default)]
    pub(crate) events: Vec<PolicyEvent>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    policies: BTreeMap<String, Shelved>,
}

/// The folder of pushed policies.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The folder `policies` in the data directory, made (mode 0700) if it is missing.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("policies");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// Every name.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<String, Shelved>> {
        let text = match fs::read(self.index()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let index: Index = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if index.version != VERSION {
            return Err(io::Error::other(format!(
                "the index of policies has version {}; this windlass knows version {VERSION}",
                index.version
            )));
        }
        Ok(index.policies)
    }

    /// A component as it was put, checked by its digest (`sha256:…`).
    pub(crate) fn component(&self, digest: &str) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(digest))?;
        if digest_of(&bytes) == digest {
            Ok(bytes)
        } else {
            let why = format!("what is stored as `{digest}` has another digest: it was altered or damaged");
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
    }

    /// Stores a component.
    pub(crate) fn put(&self, digest: &str, component: &[u8]) -> io::Result<()> {
        self.replace(&self.path(digest), component)
    }

    /// Stores the index and drops the components it does not name.
    pub(crate) fn save(&self, policies: BTreeMap<String, Shelved>) -> io::Result<()> {
        let index = Index { version: VERSION, policies };
        self.replace(&self.index(), &serde_json::to_vec_pretty(&index).map_err(io::Error::other)?)?;
        let named: BTreeSet<PathBuf> = index
            .policies
            .values()
            .flat_map(|shelved| &shelved.revisions)
            .map(|revision| self.path(&revision.digest))
            .collect();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") && !named.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn index(&self) -> PathBuf {
        self.folder.join("index.json")
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{}.wasm", digest.trim_start_matches("sha256:")))
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        fs::File::open(&self.folder)?.sync_all()
    }
}

/// `sha256:` and the digest in hexadecimal.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", windlass_sandbox::component::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::Timestamp;
    use windlass_core::policy::catalogue::Source;

    fn revision(number: u32, digest: &str) -> RevisionInfo {
        RevisionInfo {
            number,
            digest: digest.to_owned(),
            size_bytes: 1,
            described_name: "queue".to_owned(),
            version: "1.0.0".to_owned(),
            loaded_at: Timestamp(1),
            loaded_by: "ada".to_owned(),
            source: Source::File,
            memory_since: 0,
            acted: true,
            proved: true,
            quarantined: None,
        }
    }

    #[test]
    fn what_was_put_is_there_after_reopening_and_what_nobody_names_is_gone() {
        let data_dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(data_dir.path()).unwrap();
        assert!(shelf.load().unwrap().is_empty());
        let (first, second) = (digest_of(b"first"), digest_of(b"second"));
        shelf.put(&first, b"first").unwrap();
        shelf.put(&second, b"second").unwrap();
        let shelved = Shelved {
            kind: PolicyKind::Scaling,
            acting: Some(2),
            candidate: None,
            revisions: vec![revision(2, &second)],
            taken: Some(Taken { from: "the file queue.wasm".to_owned(), digest: first.clone() }),
            events: vec![PolicyEvent { at: Timestamp(1), revision: 2, what: "pushed".to_owned() }],
        };
        let policies = BTreeMap::from([("queue".to_owned(), shelved)]);
        shelf.save(policies.clone()).unwrap();
        let again = Shelf::open(data_dir.path()).unwrap();
        assert_eq!(again.load().unwrap(), policies);
        assert_eq!(again.component(&second).unwrap(), b"second");
        assert!(again.component(&first).is_err());
    }

    #[test]
    fn an_altered_component_and_a_foreign_index_are_refused() {
        let data_dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(data_dir.path()).unwrap();
        let digest = digest_of(b"first");
        shelf.put(&digest, b"first").unwrap();
        fs::write(shelf.path(&digest), b"other").unwrap();
        assert!(shelf.component(&digest).unwrap_err().to_string().contains("altered or damaged"));
        fs::write(shelf.index(), br#"{"version": 2, "policies": {}}"#).unwrap();
        assert!(shelf.load().unwrap_err().to_string().contains("has version 2"));
        fs::write(shelf.index(), b"{").unwrap();
        assert!(shelf.load().is_err());
    }
}

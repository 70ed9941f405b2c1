//! Pushed policies on disk: one file per component, named by its digest, and an index of policies and revisions.
//!
//! Files are replaced atomically, the index after the components that it names. After a crash, the index is the old one or
//! the new one; a component that it does not name is removed by the next write.

use crate::digest::sha256;
use crate::revisions::state::State;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use windlass_core::PolicyKind;
use windlass_core::policy::catalogue::{PolicyEvent, RevisionInfo, Taken};

/// Version of the index format.
const VERSION: u32 = 1;

/// One policy in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPolicy {
    pub(crate) kind: PolicyKind,
    acting: Option<u32>,
    #[serde(default)]
    pub(crate) candidate: Option<u32>,
    /// Oldest first.
    revisions: Vec<RevisionInfo>,
    #[serde(default, rename = "taken")]
    delivered: Option<Taken>,
    /// Oldest first.
    #[serde(default)]
    events: Vec<PolicyEvent>,
}

impl StoredPolicy {
    pub(crate) fn new(kind: PolicyKind, state: &State) -> Self {
        Self {
            kind,
            acting: state.deferred.or(state.acting),
            candidate: state.candidate,
            revisions: state.revisions.clone(),
            delivered: state.delivered.clone(),
            events: state.events.clone(),
        }
    }

    /// The state before any revision is loaded.
    pub(crate) fn into_state(self) -> State {
        let Self { acting, revisions, delivered, events, .. } = self;
        State { deferred: acting, revisions, delivered, events, ..State::default() }
    }
}

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    policies: BTreeMap<String, StoredPolicy>,
}

/// The folder of pushed policies.
#[derive(Debug)]
pub(crate) struct RevisionStore {
    folder: PathBuf,
}

impl RevisionStore {
    /// Opens the folder `policies` in the data directory. Creates it with mode 0700 if it is missing.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("policies");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// All policies, by name.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<String, StoredPolicy>> {
        let text = match fs::read(self.index()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let index: Index = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if index.version != VERSION {
            return Err(io::Error::other(format!(
                "the index of policies has version {}, and this windlass reads version {VERSION}; start the version of \
                 windlass that wrote it",
                index.version
            )));
        }
        Ok(index.policies)
    }

    /// A stored component, whose bytes are checked against its digest (`sha256:…`).
    pub(crate) fn component(&self, digest: &str) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(digest))?;
        if sha256(&bytes) == digest {
            Ok(bytes)
        } else {
            let why = format!("the component stored as `{digest}` has another digest: it was altered or damaged");
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
    }

    /// Stores a component.
    pub(crate) fn put(&self, digest: &str, component: &[u8]) -> io::Result<()> {
        windlass_files::replace(&self.path(digest), component, 0o600).map(drop)
    }

    /// Stores the index and removes the components that it does not name.
    pub(crate) fn save(&self, policies: BTreeMap<String, StoredPolicy>) -> io::Result<()> {
        let index = Index { version: VERSION, policies };
        windlass_files::replace(&self.index(), &serde_json::to_vec_pretty(&index).map_err(io::Error::other)?, 0o600)?;
        let named: BTreeSet<PathBuf> = index
            .policies
            .values()
            .flat_map(|policy| &policy.revisions)
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
        let store = RevisionStore::open(data_dir.path()).unwrap();
        assert!(store.load().unwrap().is_empty());
        let (first, second) = (sha256(b"first"), sha256(b"second"));
        store.put(&first, b"first").unwrap();
        store.put(&second, b"second").unwrap();
        let stored = StoredPolicy {
            kind: PolicyKind::Scaling,
            acting: Some(2),
            candidate: None,
            revisions: vec![revision(2, &second)],
            delivered: Some(Taken { from: "the file queue.wasm".to_owned(), digest: first.clone() }),
            events: vec![PolicyEvent { at: Timestamp(1), revision: 2, what: "pushed".to_owned() }],
        };
        let policies = BTreeMap::from([("queue".to_owned(), stored)]);
        store.save(policies.clone()).unwrap();
        let again = RevisionStore::open(data_dir.path()).unwrap();
        assert_eq!(again.load().unwrap(), policies);
        assert_eq!(again.component(&second).unwrap(), b"second");
        assert!(again.component(&first).is_err());
    }

    #[test]
    fn an_altered_component_and_a_foreign_index_are_refused() {
        let data_dir = tempfile::tempdir().unwrap();
        let store = RevisionStore::open(data_dir.path()).unwrap();
        let digest = sha256(b"first");
        store.put(&digest, b"first").unwrap();
        fs::write(store.path(&digest), b"other").unwrap();
        assert!(store.component(&digest).unwrap_err().to_string().contains("altered or damaged"));
        fs::write(store.index(), br#"{"version": 2, "policies": {}}"#).unwrap();
        assert!(store.load().unwrap_err().to_string().contains("has version 2"));
        fs::write(store.index(), b"{").unwrap();
        assert!(store.load().is_err());
    }
}

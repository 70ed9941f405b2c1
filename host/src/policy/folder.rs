//! A folder as a source of policies: each `NAME.wasm` in it is pushed as a revision of `NAME` when it is new or has
//! changed.

use super::catalogue::{CatalogueError, PolicyCatalogue, Push};
use super::shelf::digest_of;
use crate::model::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time between two looks; a file that changed within it may still be being written.
const LOOK: Duration = Duration::from_secs(2);

/// A folder that is looked at again and again.
pub struct Folder {
    path: PathBuf,
    /// Longest file that is read, in bytes.
    longest: u64,
    policies: Arc<dyn PolicyCatalogue>,
    seen: BTreeMap<PathBuf, Seen>,
}

/// A file as it was at the last look.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: u64,
    modified: SystemTime,
    /// It was pushed, or refused, as it is.
    done: bool,
}

impl Folder {
    /// The folder at `path`, whose files may have `longest` bytes.
    pub fn new(path: PathBuf, longest: u64, policies: Arc<dyn PolicyCatalogue>) -> Self {
        Self { path, longest, policies, seen: BTreeMap::new() }
    }

    /// Looks again and again, for ever.
    pub async fn watch(mut self, now: impl Fn() -> Timestamp) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(now()).await;
        }
    }

    /// Takes what is new. A file is taken when it has stood still since the last look or for the time between two;
    /// one that is the newest revision of its name already, acting or not, is left: a rollback holds until the
    /// file changes. What cannot be taken is told in the log once, and left until it changes.
    pub async fn look(&mut self, now: Timestamp) {
        let files = match list(&self.path) {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(folder = %self.path.display(), %error, "cannot look into the folder of policies");
                return;
            }
        };
        self.seen.retain(|path, _| files.contains_key(path));
        for (path, (size, modified)) in files {
            let before = self.seen.get(&path).filter(|seen| (seen.size, seen.modified) == (size, modified)).copied();
            let age = now.since(Timestamp::default().plus(modified.duration_since(UNIX_EPOCH).unwrap_or_default()));
            let is_still = before.is_some() || age >= LOOK;
            let done = before.is_some_and(|seen| seen.done);
            if is_still && !done {
                self.take(&path, now).await;
            }
            self.seen.insert(path, Seen { size, modified, done: done || is_still });
        }
    }

    async fn take(&self, path: &Path, now: Timestamp) {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let (file, longest) = (path.to_owned(), self.longest);
        let read = tokio::task::spawn_blocking(move || read(&file, longest)).await;
        let outcome = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((component, digest)) => {
                self.push(path, name, component, &digest, now).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = outcome {
            tracing::error!(file = %path.display(), error, "cannot take this policy; it is looked at again when it changes");
        }
    }

    async fn push(
        &self,
        path: &Path,
        name: String,
        component: Vec<u8>,
        digest: &str,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        let newest = self.policies.find(&name).and_then(|known| known.revisions.into_iter().next());
        if newest.is_some_and(|newest| newest.digest == digest) {
            return Ok(());
        }
        let by = format!("the file {}", path.display());
        let push = Push { name, component: component.into(), by, reset_memory: false, candidate: false, at: now };
        self.policies.push(push).await.map(drop)
    }
}

/// The files that end in `.wasm`, with their size and when they were last written.
fn list(folder: &Path) -> io::Result<BTreeMap<PathBuf, (u64, SystemTime)>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        // One that went away since the folder was read is looked for again.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            files.insert(path, (metadata.len(), metadata.modified()?));
        }
    }
    Ok(files)
}

/// A whole file with its digest; one byte more than allowed is enough for it to be refused.
fn read(path: &Path, longest: u64) -> io::Result<(Vec<u8>, String)> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    let digest = digest_of(&bytes);
    Ok((bytes, digest))
}

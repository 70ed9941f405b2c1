//! Files as a source of policies: named files, and each `NAME.wasm` in a folder. A file that is new or has changed is pushed as
//! a revision.

use crate::digest::sha256;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use windlass_core::Timestamp;
use windlass_core::policy::catalogue::{CatalogueError, PolicyCatalogue, Push, Source, Taken};

/// Time between two scans. A file that changed within this time may not be complete yet.
const SCAN_INTERVAL: Duration = Duration::from_secs(2);

/// Watched files.
pub struct Files {
    /// `None` if only named files are watched.
    folder: Option<PathBuf>,
    /// Named files, by policy name. A file of the same name in the folder is ignored.
    named: BTreeMap<String, PathBuf>,
    /// Size of the largest file that is read, in bytes.
    max_bytes: u64,
    policies: Arc<dyn PolicyCatalogue>,
    /// By the policy's name.
    seen: BTreeMap<String, Seen>,
}

/// A policy's file at the last scan.
struct Seen {
    /// `None` if it was missing.
    file: Option<File>,
    /// Whether this state of the file was pushed or rejected.
    is_done: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct File {
    path: PathBuf,
    size: u64,
    modified: SystemTime,
}

impl Files {
    /// Watches the files in `folder` and in `named`, of at most `max_bytes` each.
    pub fn new(
        folder: Option<PathBuf>,
        named: BTreeMap<String, PathBuf>,
        max_bytes: u64,
        policies: Arc<dyn PolicyCatalogue>,
    ) -> Self {
        Self { folder, named, max_bytes, policies, seen: BTreeMap::new() }
    }

    /// Scans every 2 seconds, without end.
    pub async fn watch(mut self, now: impl Fn() -> Timestamp) {
        loop {
            tokio::time::sleep(SCAN_INTERVAL).await;
            self.look(now()).await;
        }
    }

    /// Scans once. A file is pushed if it has not changed since the last scan, or for the time between two scans. A file that
    /// was pushed is not pushed again until it changes, so a later rollback or push stays. A file that is rejected is reported
    /// once, and tried again when it changes.
    pub async fn look(&mut self, now: Timestamp) {
        let mut files: BTreeMap<String, io::Result<File>> = BTreeMap::new();
        match self.folder.as_deref().map(list).transpose() {
            Ok(listed) => files.extend(listed.unwrap_or_default().into_iter().map(|(name, file)| (name, Ok(file)))),
            Err(error) => tracing::warn!(folder = ?self.folder, %error, "cannot read the folder of policies"),
        }
        files.extend(self.named.iter().map(|(name, path)| (name.clone(), File::at(path))));
        self.seen.retain(|name, _| files.contains_key(name));
        for (name, file) in files {
            let before = self.seen.remove(&name);
            let seen = match file {
                Ok(file) => self.scan(&name, file, before, now).await,
                Err(error) => {
                    if before.is_none_or(|before| before.file.is_some()) {
                        self.report(&name, format!("cannot read `{}`: {error}", self.named[&name].display()));
                    }
                    Seen { file: None, is_done: false }
                }
            };
            self.seen.insert(name, seen);
        }
    }

    async fn scan(&self, name: &str, file: File, before: Option<Seen>, now: Timestamp) -> Seen {
        let before = before.filter(|before| before.file.as_ref() == Some(&file));
        let age = now.since(file.modified.into());
        let is_still = before.is_some() || age >= SCAN_INTERVAL;
        let is_done = before.is_some_and(|before| before.is_done);
        if is_still && !is_done {
            self.load(name, &file.path, now).await;
        }
        Seen { file: Some(file), is_done: is_done || is_still }
    }

    fn report(&self, name: &str, why: String) {
        tracing::error!(policy = name, why, "cannot load the policy; it is tried again when the file changes");
        self.policies.tell_source(name, Some(why));
    }

    async fn load(&self, name: &str, path: &Path, now: Timestamp) {
        let (file, max_bytes) = (path.to_owned(), self.max_bytes);
        let read = tokio::task::spawn_blocking(move || read(&file, max_bytes)).await;
        let outcome = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((component, digest)) => {
                self.push(path, name, component, &digest, now).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(()) => self.policies.tell_source(name, None),
            Err(error) => self.report(name, format!("cannot load `{}`: {error}", path.display())),
        }
    }

    async fn push(
        &self,
        path: &Path,
        name: &str,
        component: Vec<u8>,
        digest: &str,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        let taken = Taken { from: format!("the file {}", path.display()), digest: digest.to_owned() };
        if self.policies.find(name).is_some_and(|known| known.taken.as_ref() == Some(&taken)) {
            return Ok(());
        }
        let push = Push {
            name: name.to_owned(),
            component: component.into(),
            by: taken.from,
            source: Source::File,
            reset_memory: false,
            candidate: false,
            at: now,
        };
        self.policies.push(push).await.map(drop)
    }
}

impl File {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        Ok(Self { path: path.to_owned(), size: metadata.len(), modified: metadata.modified()? })
    }
}

/// The `.wasm` files in a folder, by their names without the extension.
fn list(folder: &Path) -> io::Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        // Entries that are not files, or were removed since the folder was read, are skipped.
        let (Some(stem), Ok(file)) = (path.file_stem(), File::at(&path)) else { continue };
        files.insert(stem.to_string_lossy().into_owned(), file);
    }
    Ok(files)
}

/// A file with its digest. If it is too large, one byte more than allowed is read, so that the push rejects it.
fn read(path: &Path, max_bytes: u64) -> io::Result<(Vec<u8>, String)> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    let digest = sha256(&bytes);
    Ok((bytes, digest))
}

//! Files as a source of policies: those that are named one by one, and each `NAME.wasm` in a folder. A file is pushed
//! as a revision when it is new or has changed.

use crate::digest::sha256;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use windlass_core::Timestamp;
use windlass_core::policy::catalogue::{CatalogueError, PolicyCatalogue, Push, Source, Taken};

/// Time between two looks; a file that changed within it may still be being written.
const LOOK: Duration = Duration::from_secs(2);

/// Files that are looked at again and again.
pub struct Files {
    /// None: only those that are named.
    folder: Option<PathBuf>,
    /// Files of policies, by their names; one of the same name in the folder is not taken.
    named: BTreeMap<String, PathBuf>,
    /// Longest file that is read, in bytes.
    longest: u64,
    policies: Arc<dyn PolicyCatalogue>,
    /// By the policy's name.
    seen: BTreeMap<String, Seen>,
}

/// A policy's file as it was at the last look.
struct Seen {
    /// None: it was not there.
    file: Option<File>,
    /// It was pushed, or refused, as it is.
    done: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct File {
    path: PathBuf,
    size: u64,
    modified: SystemTime,
}

impl Files {
    /// The files in `folder` and those in `named`, which may have `longest` bytes.
    pub fn new(
        folder: Option<PathBuf>,
        named: BTreeMap<String, PathBuf>,
        longest: u64,
        policies: Arc<dyn PolicyCatalogue>,
    ) -> Self {
        Self { folder, named, longest, policies, seen: BTreeMap::new() }
    }

    /// Looks again and again, for ever.
    pub async fn watch(mut self, now: impl Fn() -> Timestamp) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(now()).await;
        }
    }

    /// Takes what is new. A file is taken when it has stood still since the last look or for the time between two; one
    /// that is as it was when it was taken last is left: a rollback, and a push since, hold until the file changes. What
    /// cannot be taken is told once, and left until it changes.
    pub async fn look(&mut self, now: Timestamp) {
        let mut files: BTreeMap<String, io::Result<File>> = BTreeMap::new();
        match self.folder.as_deref().map(list).transpose() {
            Ok(listed) => files.extend(listed.unwrap_or_default().into_iter().map(|(name, file)| (name, Ok(file)))),
            Err(error) => tracing::warn!(folder = ?self.folder, %error, "cannot look into the folder of policies"),
        }
        files.extend(self.named.iter().map(|(name, path)| (name.clone(), File::at(path))));
        self.seen.retain(|name, _| files.contains_key(name));
        for (name, file) in files {
            let before = self.seen.remove(&name);
            let seen = match file {
                Ok(file) => self.look_at(&name, file, before, now).await,
                Err(error) => {
                    if before.is_none_or(|before| before.file.is_some()) {
                        self.trouble(&name, format!("cannot read `{}`: {error}", self.named[&name].display()));
                    }
                    Seen { file: None, done: false }
                }
            };
            self.seen.insert(name, seen);
        }
    }

    async fn look_at(&self, name: &str, file: File, before: Option<Seen>, now: Timestamp) -> Seen {
        let before = before.filter(|before| before.file.as_ref() == Some(&file));
        let age = now.since(file.modified.into());
        let is_still = before.is_some() || age >= LOOK;
        let done = before.is_some_and(|before| before.done);
        if is_still && !done {
            self.take(name, &file.path, now).await;
        }
        Seen { file: Some(file), done: done || is_still }
    }

    fn trouble(&self, name: &str, why: String) {
        tracing::error!(policy = name, why, "cannot take this policy; it is looked at again when it changes");
        self.policies.tell_source(name, Some(why));
    }

    async fn take(&self, name: &str, path: &Path, now: Timestamp) {
        let (file, longest) = (path.to_owned(), self.longest);
        let read = tokio::task::spawn_blocking(move || read(&file, longest)).await;
        let outcome = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((component, digest)) => {
                self.push(path, name, component, &digest, now).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(()) => self.policies.tell_source(name, None),
            Err(error) => self.trouble(name, format!("cannot take `{}`: {error}", path.display())),
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

/// The files that end in `.wasm`, by their names without it.
fn list(folder: &Path) -> io::Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        // One that went away since the folder was read, and what is no file, are passed over.
        let (Some(stem), Ok(file)) = (path.file_stem(), File::at(&path)) else { continue };
        files.insert(stem.to_string_lossy().into_owned(), file);
    }
    Ok(files)
}

/// A whole file with its digest; one byte more than allowed is enough for it to be refused.
fn read(path: &Path, longest: u64) -> io::Result<(Vec<u8>, String)> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    let digest = sha256(&bytes);
    Ok((bytes, digest))
}

//! Compiled policies on disk, in a folder that only the host can write.
//!
//! The host runs machine code unchecked. So each entry has an authentication code (HMAC-SHA256), made with a key that lies
//! next to the folder and that only the host can read. An entry without a valid code is compiled again.

use hmac::{Hmac, KeyInit, Mac};
use rustix::process::geteuid;
use sha2::Sha256;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Length of a key and of an authentication code in bytes.
const CODE_BYTES: usize = 32;

/// The folder of compiled policies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A path cannot be read or created.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Other users could write machine code there, which the host would run.
    #[error("`{}` {problem}; the host runs the machine code there, so only its user may write it: `chown` and `chmod go-w` it, or remove it", path.display())]
    Unsafe {
        /// The path.
        path: PathBuf,
        /// The problem.
        problem: &'static str,
    },
}

/// Compiled policies on disk.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    key: [u8; CODE_BYTES],
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key must not be logged.
        f.debug_struct("Inner").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens the folder `compiled` in the data directory, and the key `compiled.key` next to it. Creates them with modes 0700
    /// and 0600 if they are missing. `data_dir` must exist.
    ///
    /// # Errors
    /// If they cannot be created, or another user owns them or can write them.
    pub fn open(data_dir: &Path) -> Result<Self, CacheError> {
        let folder = data_dir.join("compiled");
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&folder, error)),
            _ => {}
        }
        let metadata = fs::symlink_metadata(&folder).map_err(|error| failed(&folder, error))?;
        if !metadata.is_dir() {
            return Err(CacheError::Unsafe { path: folder, problem: "is not a folder" });
        }
        check_owner(&folder, &metadata, 0o022)?;
        let key = key(&data_dir.join("compiled.key"))?;
        Ok(Self { inner: Arc::new(Inner { folder, key }) })
    }

    /// An entry. `None` if it is missing or was altered.
    pub(crate) async fn load(&self, name: String) -> Option<Vec<u8>> {
        let inner = Arc::clone(&self.inner);
        let loaded = tokio::task::spawn_blocking(move || inner.load(&name)).await;
        loaded.ok().flatten()
    }

    /// Whether there is an entry. Only [`Cache::load`] checks its authenticity.
    pub(crate) async fn contains(&self, name: String) -> bool {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.path(&name).is_file()).await.unwrap_or(false)
    }

    /// Bytes of all entries.
    pub(crate) async fn bytes(&self) -> u64 {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.bytes()).await.unwrap_or_default()
    }

    /// Saves an entry. A failure only makes the next start slower.
    pub(crate) async fn save(&self, name: String, code: Vec<u8>) -> Vec<u8> {
        let inner = Arc::clone(&self.inner);
        let code = Arc::new(code);
        let saved = {
            let code = Arc::clone(&code);
            tokio::task::spawn_blocking(move || inner.save(&name, &code)).await
        };
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot save a compiled policy"),
            Err(error) => tracing::warn!(%error, "cannot save a compiled policy"),
        }
        Arc::unwrap_or_clone(code)
    }

    /// Removes every other entry. A failure only costs disk space.
    pub(crate) async fn keep_only(&self, names: BTreeSet<String>) {
        let inner = Arc::clone(&self.inner);
        let removed = tokio::task::spawn_blocking(move || inner.keep_only(&names)).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(%error, "cannot remove the machine code of policies that are gone");
        }
    }
}

impl Inner {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.cwasm"))
    }

    fn bytes(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
        sizes.sum()
    }

    fn authentication(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("an HMAC accepts a key of any length");
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(code);
        mac
    }

    fn load(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        let mut entry = match fs::read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read a compiled policy; compiling it again");
                return None;
            }
        };
        let (expected, code) = entry.split_at_checked(CODE_BYTES)?;
        if self.authentication(name, code).verify_slice(expected).is_err() {
            tracing::warn!(path = %path.display(), "a compiled policy was altered or damaged; compiling it again");
            return None;
        }
        entry.drain(..CODE_BYTES);
        Some(entry)
    }

    fn keep_only(&self, names: &BTreeSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_other = |stem: &OsStr| stem.to_str().is_none_or(|name| !names.contains(name));
            if path.extension().is_some_and(|it| it == "cwasm") && path.file_stem().is_some_and(is_other) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn save(&self, name: &str, code: &[u8]) -> io::Result<()> {
        // Replaced atomically, so that a crash leaves no partial entry.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&self.authentication(name, code).finalize().into_bytes())?;
        file.write_all(code)?;
        file.persist(self.path(name)).map_err(|error| error.error)?;
        Ok(())
    }
}

/// The key in this file. It is created if it is missing.
fn key(path: &Path) -> Result<[u8; CODE_BYTES], CacheError> {
    let io = |error| failed(path, error);
    let mut key = [0; CODE_BYTES];
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).map_err(io)?;
            file.write_all(&key).and_then(|()| file.sync_all()).map_err(io)?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(path).map_err(io)?;
            if !metadata.is_file() {
                return Err(CacheError::Unsafe { path: path.to_owned(), problem: "is not a file" });
            }
            check_owner(path, &metadata, 0o077)?;
            // A crash may have cut it short. The entries that were authenticated with it are then compiled again.
            if metadata.len() != CODE_BYTES as u64 {
                fs::remove_file(path).map_err(io)?;
                return crate::cache::key(path);
            }
            fs::File::open(path).and_then(|mut file| file.read_exact(&mut key)).map_err(io)?;
        }
        Err(error) => return Err(io(error)),
    }
    Ok(key)
}

fn check_owner(path: &Path, metadata: &fs::Metadata, forbidden: u32) -> Result<(), CacheError> {
    if metadata.uid() != geteuid().as_raw() {
        return Err(CacheError::Unsafe { path: path.to_owned(), problem: "belongs to another user" });
    }
    if metadata.mode() & forbidden != 0 {
        return Err(CacheError::Unsafe { path: path.to_owned(), problem: "is open to other users" });
    }
    Ok(())
}

fn failed(path: &Path, source: io::Error) -> CacheError {
    CacheError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_saved_is_loaded_by_the_next_start() {
        let data_dir = tempfile::tempdir().expect("a folder");
        let name = "entry";
        Cache::open(data_dir.path()).expect("a cache").inner.save(name, b"code").expect("saved");
        let again = Cache::open(data_dir.path()).expect("a cache");
        assert_eq!(again.inner.load(name), Some(b"code".to_vec()));
        assert_eq!(again.inner.load("other"), None);
        let mode = |path: &str| fs::metadata(data_dir.path().join(path)).expect("it exists").mode() & 0o777;
        assert_eq!((mode("compiled"), mode("compiled.key")), (0o700, 0o600));
        assert_eq!(fs::read_dir(data_dir.path().join("compiled")).expect("a folder").count(), 1);
    }

    #[test]
    fn an_altered_entry_is_not_loaded() {
        let data_dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(data_dir.path()).expect("a cache");
        cache.inner.save("entry", b"code").expect("saved");
        let path = cache.inner.path("entry");
        let entry = fs::read(&path).expect("it exists");
        for at in [0, CODE_BYTES, entry.len() - 1] {
            let mut altered = entry.clone();
            altered[at] ^= 1;
            fs::write(&path, altered).expect("written");
            assert_eq!(cache.inner.load("entry"), None, "byte {at}");
        }
        fs::write(&path, &entry[..7]).expect("written");
        assert_eq!(cache.inner.load("entry"), None);
        // Nor one entry in another's place, nor one made with another key.
        fs::write(cache.inner.path("other"), &entry).expect("written");
        assert_eq!(cache.inner.load("other"), None);
        fs::write(&path, &entry).expect("written");
        assert!(cache.inner.load("entry").is_some());
        fs::write(data_dir.path().join("compiled.key"), [7; CODE_BYTES]).expect("written");
        assert_eq!(Cache::open(data_dir.path()).expect("a cache").inner.load("entry"), None);
    }

    #[test]
    fn a_folder_or_key_open_to_others_is_refused() {
        for (path, mode) in [("compiled", 0o770), ("compiled", 0o702), ("compiled.key", 0o640)] {
            let data_dir = tempfile::tempdir().expect("a folder");
            Cache::open(data_dir.path()).expect("a cache");
            fs::set_permissions(data_dir.path().join(path), fs::Permissions::from_mode(mode)).expect("changed");
            let error = Cache::open(data_dir.path()).expect_err("refused").to_string();
            assert!(error.contains("is open to other users"), "{error}");
        }
        let data_dir = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/tmp", data_dir.path().join("compiled")).expect("linked");
        assert!(Cache::open(data_dir.path()).is_err());
    }

    #[test]
    fn a_key_cut_short_is_made_anew() {
        let data_dir = tempfile::tempdir().expect("a folder");
        Cache::open(data_dir.path()).expect("a cache");
        let key = data_dir.path().join("compiled.key");
        fs::write(&key, b"short").expect("written");
        Cache::open(data_dir.path()).expect("a cache");
        assert_eq!(fs::read(&key).expect("it exists").len(), CODE_BYTES);
    }
}

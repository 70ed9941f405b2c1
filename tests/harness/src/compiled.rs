//! Machine code of policies that all tests of a user share: without it, each test compiles the built-in policies again.

use anyhow::Context;
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The folder of machine code in a data directory, and the key that authenticates it.
const FOLDER: &str = "compiled";
const KEY: &str = "compiled.key";

/// Entries of old builds pile up. Beyond this number, all are dropped.
const MOST_ENTRIES: usize = 64;

/// The shared folder, which is laid out as a data directory.
pub struct SharedCode(PathBuf);

impl SharedCode {
    /// The folder of this user. `None` if another user owns the path.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn open() -> anyhow::Result<Option<Self>> {
        let user = geteuid();
        let path = std::env::temp_dir().join(format!("windlass-tests-code-{}", user.as_raw()));
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path.join(FOLDER)).with_context(|| path.display().to_string())?;
        Ok((fs::symlink_metadata(&path)?.uid() == user.as_raw()).then_some(Self(path)))
    }

    /// Copies the machine code into a new data directory.
    ///
    /// # Errors
    /// If a file cannot be copied.
    pub fn give(&self, data_dir: &Path) -> io::Result<()> {
        let key = match fs::read(self.0.join(KEY)) {
            Ok(key) if !data_dir.join(FOLDER).exists() => key,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir.join(FOLDER))?;
        fs::set_permissions(data_dir, Permissions::from_mode(0o700))?;
        write(&data_dir.join(KEY), &key)?;
        for (path, target) in missing(&self.0, data_dir)? {
            // Another test program may drop the entries meanwhile.
            match fs::read(path) {
                Ok(code) => write(&target, &code)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keeps the machine code that a data directory has in addition.
    ///
    /// # Errors
    /// If a file cannot be copied.
    pub fn take(&self, data_dir: &Path) -> io::Result<()> {
        let key = fs::read(data_dir.join(KEY))?;
        let shared = self.0.join(KEY);
        if !shared.exists() {
            write(&shared, &key)?;
        }
        // Code under another key is of no use. The first of several test programs decides which key it is.
        if fs::read(shared)? != key {
            return Ok(());
        }
        if fs::read_dir(self.0.join(FOLDER))?.count() > MOST_ENTRIES {
            for entry in fs::read_dir(self.0.join(FOLDER))? {
                let _gone_already = fs::remove_file(entry?.path());
            }
        }
        for (path, target) in missing(data_dir, &self.0)? {
            write(&target, &fs::read(path)?)?;
        }
        Ok(())
    }
}

/// The entries of `from` that `to` lacks, with their paths there.
fn missing(from: &Path, to: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut missing = Vec::new();
    for entry in fs::read_dir(from.join(FOLDER))? {
        let entry = entry?;
        let target = to.join(FOLDER).join(entry.file_name());
        if entry.path().extension().is_some_and(|extension| extension == "cwasm") && !target.exists() {
            missing.push((entry.path(), target));
        }
    }
    Ok(missing)
}

/// Writes a file as a whole, readable for its owner only, unless it is there already.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("a file in a folder");
    let mut file = NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, content)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

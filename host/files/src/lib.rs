//! Atomic replacement of a file; [`private`] has data that no other user may access.

pub mod private;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Beginning of the names of temporary files.
const TEMPORARY: &str = ".windlass-";

/// The most symbolic links that are followed, as in the kernel.
const MAX_LINKS: usize = 40;

/// How a file got its new content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// Replaced by the new file: a reader sees the old or the new file as a whole.
    Whole,
    /// Written in place, because the file is a mount of its own, which cannot be replaced. A reader may see a part.
    InPlace,
}

/// The new content of a file, on disk under a temporary name. Dropping it removes the temporary file.
#[derive(Debug)]
pub struct Replacement {
    /// The file itself, not a link to it.
    target: PathBuf,
    new: NamedTempFile,
    content: Vec<u8>,
}

impl Replacement {
    /// Writes the content next to the file, with these permission bits (`0o644`). If `path` is a symbolic link, the link
    /// stays and its target is replaced. It blocks until the content is on disk.
    ///
    /// # Errors
    /// If the folder does not exist or is not writable, or the disk fails.
    pub fn prepare(path: &Path, content: Vec<u8>, mode: u32) -> io::Result<Self> {
        let target = target(path)?;
        let create = |folder: &Path| tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder);
        let mut new = match create(folder(&target)) {
            // The folder around a mounted file is often read-only.
            Err(_) if is_mount(&target) => create(&std::env::temp_dir())?,
            created => created?,
        };
        new.write_all(&content)?;
        new.as_file().set_permissions(Permissions::from_mode(mode))?;
        new.as_file().sync_all()?;
        Ok(Self { target, new, content })
    }

    /// The temporary file with the new content, for a check before it is put in place.
    pub fn path(&self) -> &Path {
        self.new.path()
    }

    /// Puts the content in place. It blocks until the content and the new name are on disk.
    ///
    /// # Errors
    /// If the file cannot be replaced. The old file then stays as it is, except if only the folder could not be written to
    /// disk, or a mounted file could be written only in part.
    pub fn place(self) -> io::Result<Placed> {
        let Self { target, new, content } = self;
        if is_mount(&target) {
            return write_in_place(&target, &content);
        }
        match new.persist(&target) {
            Ok(_) => {}
            // A kernel before 5.8 does not report mounts.
            Err(error) if error.error.kind() == io::ErrorKind::ResourceBusy => {
                return write_in_place(&target, &content);
            }
            Err(error) => return Err(error.error),
        }
        File::open(folder(&target))?.sync_all()?;
        Ok(Placed::Whole)
    }
}

/// Replaces a file, or creates it, with this content and these permission bits (`0o644`). It blocks until the content
/// and the new name are on disk.
///
/// A reader sees either the old or the new file as a whole, also after a crash. A crash in between may leave a
/// temporary file, `.windlass-…`, in the same folder.
///
/// # Errors
/// As [`Replacement::prepare`] and [`Replacement::place`].
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<Placed> {
    Replacement::prepare(path, content.to_vec(), mode)?.place()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file that a path leads to through symbolic links. It need not exist.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&target) {
            Ok(link) => target = folder(&target).join(link),
            // The path is not a link, or does not exist yet.
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("it leads through too many symbolic links"))
}

/// Whether a file itself is mounted, as `docker run --volume FILE:FILE` does.
fn is_mount(path: &Path) -> bool {
    let status = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    status.is_ok_and(|status| status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn write_in_place(path: &Path, content: &[u8]) -> io::Result<Placed> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()?;
    Ok(Placed::InPlace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    #[test]
    fn a_file_is_replaced_whole_and_can_be_read_by_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("targets.json");
        std::fs::write(&path, "before").expect("a file");
        let before = File::open(&path).expect("the file");
        assert_eq!(replace(&path, b"after", 0o644).expect("replaced"), Placed::Whole);
        assert_eq!(io::read_to_string(before).expect("the old one"), "before");
        assert_eq!(std::fs::read_to_string(&path).expect("the new one"), "after");
        assert_eq!(path.metadata().expect("the file").permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
        assert!(replace(&folder.path().join("nowhere/x"), b"x", 0o644).is_err());
    }

    #[test]
    fn a_prepared_file_can_be_read_and_is_dropped_without_a_trace() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        std::fs::write(&path, "before").expect("a file");
        let new = Replacement::prepare(&path, b"after".to_vec(), 0o644).expect("prepared");
        assert_eq!(std::fs::read_to_string(new.path()).expect("the new one"), "after");
        assert_eq!(std::fs::read_to_string(&path).expect("the old one"), "before");
        drop(new);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn a_symbolic_link_stays_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("real")).expect("a folder");
        symlink("real/list", path("second")).expect("a link");
        symlink(path("second"), path("first")).expect("a link");
        // The target is created if it does not exist.
        for content in ["new", "newer"] {
            replace(&path("first"), content.as_bytes(), 0o644).expect("replaced");
            assert_eq!(std::fs::read_to_string(path("real/list")).expect("the target"), content);
            assert!(path("first").is_symlink() && path("second").is_symlink());
        }
        symlink("loop", path("loop")).expect("a link");
        let looped = replace(&path("loop"), b"x", 0o644).expect_err("no file");
        assert_eq!(looped.to_string(), "it leads through too many symbolic links");
    }

    /// The variable that holds the folder for a process with mounts of its own.
    const MOUNTS: &str = "WINDLASS_TESTS_MOUNTS";

    #[test]
    fn a_file_that_is_a_mount_is_written_in_place() {
        let Some(folder) = std::env::var_os(MOUNTS).map(PathBuf::from) else {
            // Mounts in a namespace of the child's own end with it.
            let folder = tempfile::tempdir().expect("a folder");
            let mut unshare = Command::new("unshare");
            if !rustix::process::getuid().is_root() {
                unshare.args(["--user", "--map-root-user"]);
            }
            let test = "tests::a_file_that_is_a_mount_is_written_in_place";
            unshare.arg("--mount").arg(std::env::current_exe().expect("this program")).args([test, "--exact"]);
            let output = unshare.env(MOUNTS, folder.path()).output().expect("unshare, of util-linux");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
            return;
        };
        let (path, source) = (folder.join("list"), folder.join("source"));
        std::fs::write(&path, "").expect("a file");
        std::fs::write(&source, "a long list before").expect("a file");
        let mounted =
            Command::new("mount").arg("--bind").args([&source, &path]).status().expect("mount, of util-linux");
        assert!(mounted.success());
        let reader = File::open(&source).expect("the file");
        assert_eq!(replace(&path, b"after", 0o644).expect("written"), Placed::InPlace);
        assert_eq!(io::read_to_string(reader).expect("the same file"), "after");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "after");
    }
}

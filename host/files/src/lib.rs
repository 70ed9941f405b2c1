//! Atomic replacement of a file.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces a file, or creates it, with this content and these permission bits (`0o644`). It blocks until the content
/// and the new name are on disk.
///
/// A reader sees either the old or the new file as a whole, also after a crash. A crash in between may leave a
/// temporary file, `.windlass-…`, in the same folder.
///
/// # Errors
/// If the folder does not exist or is not writable, or the disk fails. The old file then stays as it is, except if only
/// the folder could not be written to disk.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".windlass-").tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_can_be_read_by_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("targets.json");
        std::fs::write(&path, "before").expect("a file");
        let before = File::open(&path).expect("the file");
        replace(&path, b"after", 0o644).expect("replaced");
        assert_eq!(io::read_to_string(before).expect("the old one"), "before");
        assert_eq!(std::fs::read_to_string(&path).expect("the new one"), "after");
        assert_eq!(path.metadata().expect("the file").permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
        assert!(replace(&folder.path().join("nowhere/x"), b"x", 0o644).is_err());
    }
}

//! Writes a new file that only some users may read; an existing file is never replaced.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Creates a file with a mode and a text.
///
/// # Errors
/// If the file exists, or cannot be written.
pub(super) fn create(path: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_file_has_its_mode_and_replaces_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.key");
        create(&path, 0o600, "key").expect("written");
        assert_eq!(path.metadata().expect("it exists").permissions().mode() & 0o777, 0o600);
        create(&path, 0o600, "other").expect_err("it exists");
        assert_eq!(std::fs::read_to_string(&path).expect("it exists"), "key");
    }
}

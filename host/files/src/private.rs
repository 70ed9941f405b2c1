//! Data that only the user of this process may access: folders, files, and files with secrets.

use rustix::process::geteuid;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Permission bits of a private folder.
const FOLDER_MODE: u32 = 0o700;

/// Permission bits of a private file.
const FILE_MODE: u32 = 0o600;

/// Every permission of the group and of other users.
const OTHERS: u32 = 0o077;

/// The group's permission to read.
const GROUP_READ: u32 = 0o040;

/// The longest secret in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// A folder or a file that other users can access, and the command that mends it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; run `{command}`")]
pub struct Exposed {
    problem: String,
    command: String,
}

/// Private data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// Other users can access it.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// It cannot be created, read or changed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Checks a folder for private data. A missing folder is created with mode 0700, as are its missing parents.
///
/// # Errors
/// If the folder cannot be created, if it belongs to another user, or if its mode gives other users access.
pub fn folder(path: &Path) -> Result<(), PrivateError> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    let metadata = path.metadata()?;
    check_folder(path, metadata.uid(), metadata.mode(), geteuid().as_raw())?;
    Ok(())
}

/// Opens a private file for writing, and takes the access of other users from it. A missing file is created with mode 0600.
/// Its content stays.
///
/// # Errors
/// If the file cannot be opened or changed.
pub fn file(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)?;
    if file.metadata()?.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

/// As [`file()`], for a file that need not exist and is not opened.
///
/// # Errors
/// If the file exists and cannot be changed.
pub fn restrict(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.mode() & OTHERS != 0 => {
            std::fs::set_permissions(path, Permissions::from_mode(FILE_MODE))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a text that only this process's user and root may read or change, at most 64 KiB. If root owns the file and this
/// process has another user, the file's group may read it: the group is then this process's way to it.
///
/// # Errors
/// If the file cannot be read, is no text, is too long, or if other users can access it.
pub fn read_secret(path: &Path) -> Result<String, PrivateError> {
    let file = File::open(path)?;
    // The open file is checked, so that it cannot be exchanged in between.
    let metadata = file.metadata()?;
    check_secret(path, metadata.uid(), metadata.mode(), geteuid().as_raw())?;
    let mut text = String::new();
    file.take(MAX_SECRET + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SECRET {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 64 KiB").into());
    }
    Ok(text)
}

fn check_folder(path: &Path, owner: u32, mode: u32, user: u32) -> Result<(), Exposed> {
    let (shown, word) = (path.display(), shell_word(path));
    if owner != user {
        return Err(Exposed {
            problem: format!("`{shown}` belongs to user {owner}, and this process runs as user {user}"),
            command: format!("chown -R {user} {word} && chmod 700 {word}"),
        });
    }
    if mode & OTHERS != 0 {
        return Err(Exposed {
            problem: format!("other users can read or enter `{shown}` (mode {:04o})", mode & 0o7777),
            command: format!("chmod 700 {word}"),
        });
    }
    Ok(())
}

fn check_secret(path: &Path, owner: u32, mode: u32, user: u32) -> Result<(), Exposed> {
    const ROOT: u32 = 0;
    let (shown, word) = (path.display(), shell_word(path));
    if owner != user && owner != ROOT {
        return Err(Exposed {
            problem: format!("`{shown}` belongs to user {owner}, and this process runs as user {user}"),
            command: format!("chown {user} {word} && chmod 600 {word}"),
        });
    }
    let forbidden = if owner == user { OTHERS } else { OTHERS & !GROUP_READ };
    if mode & forbidden != 0 {
        let chown = if owner == user { String::new() } else { format!("chown {user} {word} && ") };
        return Err(Exposed {
            problem: format!("other users can access `{shown}` (mode {:04o})", mode & 0o7777),
            command: format!("{chown}chmod 600 {word}"),
        });
    }
    Ok(())
}

/// A path as one word of a shell command.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(is_plain) && !text.starts_with('-') {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another user, and the user of the process.
    const ANN: u32 = 1_000;
    const WINDLASS: u32 = 998;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("it exists").mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("changed");
    }

    #[test]
    fn a_folder_that_others_can_read_or_enter_is_refused_with_the_command_that_mends_it() {
        let base = tempfile::tempdir().expect("a folder");
        let path = base.path().join("a/b");
        folder(&path).expect("created");
        assert_eq!((mode(&path), mode(&base.path().join("a"))), (0o700, 0o700));
        for wrong in [0o755, 0o750, 0o701, 0o704, 0o720] {
            set_mode(&path, wrong);
            let shown = path.display();
            let expected =
                format!("other users can read or enter `{shown}` (mode 0{wrong:o}); run `chmod 700 {shown}`");
            assert_eq!(folder(&path).expect_err("refused").to_string(), expected);
            assert_eq!(mode(&path), wrong, "the folder stays as it is");
        }
        set_mode(&path, 0o700);
        folder(&path).expect("private again");
        let foreign = check_folder(Path::new("/var/lib/my data"), ANN, 0o40700, WINDLASS).expect_err("refused");
        assert_eq!(
            foreign.to_string(),
            "`/var/lib/my data` belongs to user 1000, and this process runs as user 998; run `chown -R 998 \
             '/var/lib/my data' && chmod 700 '/var/lib/my data'`"
        );
    }

    #[test]
    fn a_file_loses_the_access_of_others_and_keeps_its_content() {
        let base = tempfile::tempdir().expect("a folder");
        let (old, new) = (base.path().join("old"), base.path().join("new"));
        std::fs::write(&old, "content").expect("written");
        set_mode(&old, 0o644);
        file(&old).expect("opened");
        file(&new).expect("created");
        assert_eq!((mode(&old), mode(&new)), (0o600, 0o600));
        assert_eq!(std::fs::read_to_string(&old).expect("it exists"), "content");
        set_mode(&old, 0o660);
        restrict(&old).expect("changed");
        assert_eq!(mode(&old), 0o600);
        restrict(&base.path().join("none")).expect("nothing to do");
    }

    #[test]
    fn a_secret_that_others_can_access_is_refused() {
        let check = |owner, mode: u32, user| check_secret(Path::new("/t"), owner, 0o100000 | mode, user);
        for (owner, mode, user) in [
            (WINDLASS, 0o600, WINDLASS),
            (WINDLASS, 0o400, WINDLASS),
            (0, 0o600, 0),
            (0, 0o640, WINDLASS),
            (0, 0o440, WINDLASS),
        ] {
            assert_eq!(check(owner, mode, user), Ok(()), "{owner} {mode:o} {user}");
        }
        for (owner, mode, user, why) in [
            (WINDLASS, 0o644, WINDLASS, "other users can access `/t` (mode 0644); run `chmod 600 /t`"),
            (WINDLASS, 0o640, WINDLASS, "other users can access `/t` (mode 0640); run `chmod 600 /t`"),
            (WINDLASS, 0o620, WINDLASS, "other users can access `/t` (mode 0620); run `chmod 600 /t`"),
            (0, 0o640, 0, "other users can access `/t` (mode 0640); run `chmod 600 /t`"),
            (0, 0o644, WINDLASS, "other users can access `/t` (mode 0644); run `chown 998 /t && chmod 600 /t`"),
            (0, 0o660, WINDLASS, "other users can access `/t` (mode 0660); run `chown 998 /t && chmod 600 /t`"),
            (
                ANN,
                0o600,
                WINDLASS,
                "`/t` belongs to user 1000, and this process runs as user 998; run `chown 998 /t && chmod 600 /t`",
            ),
            (
                ANN,
                0o600,
                0,
                "`/t` belongs to user 1000, and this process runs as user 0; run `chown 0 /t && chmod 600 /t`",
            ),
        ] {
            assert_eq!(check(owner, mode, user).map_err(|error| error.to_string()), Err(why.to_owned()));
        }
    }

    #[test]
    fn a_secret_is_read_up_to_a_limit() {
        let base = tempfile::tempdir().expect("a folder");
        let path = base.path().join("token");
        std::fs::write(&path, "secret\n").expect("written");
        set_mode(&path, 0o600);
        assert_eq!(read_secret(&path).expect("read"), "secret\n");
        set_mode(&path, 0o644);
        assert!(matches!(read_secret(&path), Err(PrivateError::Exposed(_))));
        set_mode(&path, 0o600);
        std::fs::write(&path, vec![b'a'; MAX_SECRET as usize + 1]).expect("written");
        assert_eq!(read_secret(&path).expect_err("refused").to_string(), "it is longer than 64 KiB");
        assert!(matches!(read_secret(&base.path().join("none")), Err(PrivateError::Io(_))));
    }
}

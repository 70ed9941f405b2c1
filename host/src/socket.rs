//! The Unix socket of the API: its file, its permissions, and the file that a killed process left behind.

use anyhow::{Context, bail};
use nix::unistd::Group;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// The owner and the group may connect.
const MODE: u32 = 0o660;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1_024;

/// The file of a socket; it is removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have replaced the file.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_own = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_own && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the Unix socket");
        }
    }
}

/// Listens on a Unix socket that the owner and the group may use. `group` is a name or a number.
///
/// # Errors
/// If another process listens there, if the file is no socket, or if the group cannot be set.
pub(crate) async fn listen(path: &Path, group: Option<&str>) -> anyhow::Result<(UnixListener, SocketFile)> {
    let group = group.map(group_id).transpose()?;
    let folder = path.parent().context("the path of the socket has no folder")?;
    let folder = File::open(folder)
        .with_context(|| format!("cannot open the folder `{}`; create it first", folder.display()))?;
    // Until the end of this function: no two processes find the same file unused.
    flock(&folder, FlockOperation::NonBlockingLockExclusive)
        .context("another process prepares a socket in the same folder; try again")?;
    remove_unused(path).await?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let created = fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), identity: (created.dev(), created.ino()) };
    // Nobody can connect before `listen`.
    if let Some(group) = group {
        chown(path, None, Some(group))
            .with_context(|| format!("cannot give the socket to group {group}; run windlass as root or as a member"))?;
    }
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok((socket.listen(BACKLOG)?, file))
}

/// Removes the file of a socket on which no process listens.
async fn remove_unused(path: &Path) -> anyhow::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        bail!("the file exists and is no socket; remove it, or choose another path");
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(_) => bail!("another process listens there; stop it, or choose another path"),
        Err(error) => {
            return Err(error)
                .context("cannot tell whether another process listens there; remove the file if none does");
        }
    }
    tracing::info!(path = %path.display(), "removing the Unix socket of a process that has ended");
    Ok(fs::remove_file(path)?)
}

fn group_id(group: &str) -> anyhow::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let found =
        Group::from_name(group).with_context(|| format!("cannot look up the group `{}`", group.escape_debug()))?;
    let found = found.with_context(|| {
        format!(
            "there is no group `{0}`; create it with `groupadd --system {0}`, or correct `api.socket_group`",
            group.escape_debug()
        )
    })?;
    Ok(found.gid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    async fn refusal(path: &Path, group: Option<&str>) -> String {
        format!("{:#}", listen(path, group).await.expect_err("refused"))
    }

    #[tokio::test]
    async fn the_owner_and_the_group_may_use_the_socket_until_it_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("api.sock");
        let own = rustix::process::getgid().as_raw().to_string();
        let (listener, file) = listen(&path, Some(&own)).await.expect("a socket");
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o7777, 0o660);
        UnixStream::connect(&path).await.expect("a connection");
        assert!(refusal(&path, None).await.contains("another process listens there"));
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_killed_process_is_replaced_and_no_other_file_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("api.sock");
        let (listener, file) = listen(&path, None).await.expect("a socket");
        drop(listener);
        std::mem::forget(file);
        assert!(path.exists());
        let (_listener, file) = listen(&path, None).await.expect("a socket");
        // Another process replaced the file, which is no longer ours to remove.
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        drop(file);
        assert!(refusal(&path, None).await.contains("no socket"));
        assert_eq!(fs::read_to_string(&path).expect("kept"), "precious");
        let link = folder.path().join("link.sock");
        symlink(folder.path().join("elsewhere"), &link).expect("a link");
        assert!(refusal(&link, None).await.contains("no socket"));
        assert!(refusal(&folder.path().join("missing/api.sock"), None).await.contains("create it first"));
        assert!(refusal(&folder.path().join("b.sock"), Some("no-such-group")).await.contains("no-such-group"));
    }
}

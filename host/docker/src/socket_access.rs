//! Explains why this process may not open the engine's socket, and how to give it the socket's group.

use bollard::errors::Error;
use rustix::process::{getegid, geteuid, getgroups};
use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

/// The bit of a mode that lets the group write, which connecting needs.
const GROUP_MAY_WRITE: u32 = 0o020;

/// One sentence about the socket at `path`. `None` if the error has another cause than the socket's owner and mode.
pub(crate) fn denial(error: &Error, path: &str) -> Option<String> {
    if !is_denied(error) {
        return None;
    }
    let socket = std::fs::metadata(path).ok()?;
    let group = socket.gid();
    let is_member = getegid().as_raw() == group || getgroups().ok()?.iter().any(|known| known.as_raw() == group);
    sentence(geteuid().as_raw(), is_member, (socket.uid(), group, socket.mode() & 0o777))
}

fn is_denied(error: &Error) -> bool {
    // This variant takes its cause's place, so that its own source is the next one.
    if let Error::IOError { err } = error {
        return err.kind() == ErrorKind::PermissionDenied;
    }
    let mut causes = std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| (**error).source());
    causes.any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::PermissionDenied))
}

/// The sentence for a process of `user`, and a socket with this owner, group and mode.
fn sentence(user: u32, is_member: bool, (owner, group, mode): (u32, u32, u32)) -> Option<String> {
    if mode & GROUP_MAY_WRITE == 0 {
        return Some(format!(
            "user {user} may not open the socket, because its mode is {mode:04o}; run windlass as its owner (user {owner}), \
             or give the socket to a group (`dockerd --group`)"
        ));
    }
    // A folder above the socket or a security module refuses members of the group.
    (!is_member).then(|| {
        format!(
            "user {user} may not open the socket, which belongs to group {group}; run windlass with this group: \
             `--group-add {group}` of `docker run`, `group_add: [\"{group}\"]` in Compose, `SupplementaryGroups={group}` in \
             a systemd unit"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_the_socket_is_named_with_the_ways_to_give_it() {
        let text = sentence(65_532, false, (0, 999, 0o660)).expect("a sentence");
        for part in
            ["user 65532", "group 999", "`--group-add 999`", "`group_add: [\"999\"]`", "`SupplementaryGroups=999`"]
        {
            assert!(text.contains(part), "{text}");
        }
        let text = sentence(65_532, true, (7, 999, 0o600)).expect("a sentence");
        assert!(text.contains("mode is 0600") && text.contains("(user 7)"), "{text}");
        assert_eq!(sentence(65_532, true, (0, 999, 0o660)), None, "the group is not the reason");
    }

    #[test]
    fn another_error_is_no_denial() {
        let refused = Error::IOError { err: io::Error::from(ErrorKind::ConnectionRefused) };
        let denied = Error::IOError { err: io::Error::from(ErrorKind::PermissionDenied) };
        assert!(is_denied(&denied) && !is_denied(&refused));
        assert_eq!(denial(&denied, "/nonexistent/docker.sock"), None);
    }
}

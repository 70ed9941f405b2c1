//! The container in which this Windlass runs, so that it never scales its own service.

use std::fs;
use windlass_core::ContainerId;

/// The files that an engine mounts into each container from the container's own folder.
const MOUNTED: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// The identifier of this container, or its beginning. `None` if Windlass runs in no container, as far as it can tell.
pub(crate) fn own_container() -> Option<ContainerId> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    of_mounts(&mounts).or_else(|| of_host_name(&host_name)).map(ContainerId)
}

/// The identifier in the path of a mounted file: `…/containers/ID/hostname`.
fn of_mounts(mounts: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        // The fourth and the fifth field: the path in the file system of its source, and the mount point.
        let mut fields = line.split(' ').skip(3);
        let (source, point) = (fields.next()?, fields.next()?);
        let folder = source.rsplit('/').nth(1).filter(|_| MOUNTED.contains(&point))?;
        is_hexadecimal(folder, 64).then(|| folder.to_owned())
    })
}

/// The host name of a container is the beginning of its identifier, unless its owner chose another one.
fn of_host_name(host_name: &str) -> Option<String> {
    is_hexadecimal(host_name, 12).then(|| host_name.to_owned())
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_knows_itself_by_its_mounts_and_a_host_by_nothing() {
        let id = "0f".repeat(32);
        let inside = format!(
            "1 2 0:50 / / rw - overlay overlay rw\n\
             3 1 8:1 /var/lib/docker/containers/{id}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n\
             4 1 8:1 /docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
        );
        assert_eq!(of_mounts(&inside), Some(id.clone()));
        // The engine's own machine has the folders of containers as mount points.
        let outside = format!(
            "1 2 8:1 / / rw - ext4 /dev/sda1 rw\n\
             3 1 0:50 / /var/lib/docker/containers/{id}/mounts/shm rw - tmpfs shm rw\n\
             4 1 0:51 /resolv/x /etc/resolv.conf rw - tmpfs tmpfs rw\n"
        );
        assert_eq!(of_mounts(&outside), None);
        assert_eq!(of_host_name("0123456789ab").as_deref(), Some("0123456789ab"));
        assert_eq!(of_host_name("docker-host1"), None);
    }
}

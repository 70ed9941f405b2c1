//! CPU, memory and network use of a container, read from the kernel's files (cgroup v1 and v2).

mod group;
mod tree;

pub use crate::cgroup::tree::{Tree, TreeSample};

use crate::cgroup::group::{Group, read};
use std::io;
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// Where the kernel's files are; tests use other folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// The mounted cgroup hierarchies.
    hierarchies: Vec<Hierarchy>,
}

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    /// Its controllers; empty for v2.
    controllers: Vec<String>,
    /// The mounted part of the hierarchy: `/` except inside a container.
    root: String,
    mount_point: PathBuf,
}

/// The files with one container's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    container: String,
    group: Group,
    process_cgroup: PathBuf,
    network: Option<PathBuf>,
}

/// The counters of one container at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// CPU time since the container's start, in nanoseconds.
    pub cpu_nanoseconds: u64,
    /// Memory in use in bytes, without page cache that the kernel can drop at once.
    pub memory_bytes: u64,
    /// Bytes received since the container's start.
    pub received_bytes: u64,
    /// Bytes sent since the container's start.
    pub transmitted_bytes: u64,
}

impl Roots {
    /// Finds the hierarchies in `self/mountinfo` below `proc`.
    ///
    /// # Errors
    /// If `self/mountinfo` is not readable: this is not Linux, or `/proc` is hidden.
    pub fn at(proc: &Path) -> io::Result<Self> {
        let mounts = std::fs::read_to_string(proc.join("self/mountinfo"))?;
        Ok(Self { proc: proc.to_owned(), hierarchies: mounts.lines().filter_map(hierarchy).collect() })
    }

    /// The files of the container whose first process is `pid`. If `network` is false, its interfaces are not counted
    /// because they are the host's.
    ///
    /// `None` if the files are not here: the engine is on another machine, or `/proc` and `/sys/fs/cgroup` show other
    /// processes. The control group must name the container, so another process with the same number is never mistaken
    /// for it.
    pub fn locate(&self, container: &str, pid: u32, network: bool) -> Option<Files> {
        let process = self.proc.join(pid.to_string());
        let process_cgroup = process.join("cgroup");
        let groups = std::fs::read_to_string(&process_cgroup).ok()?;
        let folder = |controller: Option<&str>| {
            let path = group_path(&groups, controller)?;
            if !path.contains(container) {
                return None;
            }
            let mounted = self.hierarchies.iter().filter(|hierarchy| match controller {
                Some(controller) => hierarchy.controllers.iter().any(|name| name == controller),
                None => hierarchy.controllers.is_empty(),
            });
            mounted.filter_map(|hierarchy| hierarchy.folder(path)).find(|folder| folder.is_dir())
        };
        let group = match (folder(Some("cpuacct")), folder(Some("memory"))) {
            (Some(cpu), Some(memory)) => Group::v1(&cpu, &memory),
            _ => Group::v2(&folder(None)?),
        };
        Some(Files {
            container: container.to_owned(),
            group,
            process_cgroup,
            network: network.then(|| process.join("net/dev")),
        })
    }
}

impl Hierarchy {
    /// The folder of a group. `None` if the group is outside the mounted part.
    fn folder(&self, group: &str) -> Option<PathBuf> {
        let inside = if self.root == "/" { group } else { group.strip_prefix(&self.root)? };
        // A group outside our namespace appears as `/../..`, which is not below the mount point.
        let leads_out = inside.split('/').any(|part| part == "..");
        if leads_out { None } else { Some(self.mount_point.join(inside.trim_start_matches('/'))) }
    }
}

/// Parses a line of `mountinfo`: `id parent device root mount-point options [tags…] - type source super-options`.
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, mount_point) = (mount.next()?, mount.next()?);
    let mut kind = kind.split(' ');
    let controllers = match kind.next()? {
        "cgroup" => kind.nth(1)?.split(',').map(str::to_owned).collect(),
        "cgroup2" => Vec::new(),
        _ => return None,
    };
    Some(Hierarchy { controllers, root: root.to_owned(), mount_point: PathBuf::from(mount_point) })
}

/// The path of a process's group in the hierarchy of `controller`, or in v2 if `None`. Lines are `id:controllers:path`.
fn group_path<'a>(groups: &'a str, controller: Option<&str>) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let matches = match controller {
            Some(wanted) => controllers.split(',').any(|name| name == wanted),
            None => controllers.is_empty(),
        };
        matches.then_some(path)
    })
}

/// Reads the counters of many containers one after the other, each with its reading time. An entry is an error if its
/// container is gone. Blocks on the kernel's files for about 0.1 ms per container.
pub fn sample<'a>(containers: impl IntoIterator<Item = &'a Files>) -> Vec<(Instant, io::Result<Counters>)> {
    let mut buffer = Vec::with_capacity(4096);
    containers.into_iter().map(|files| (Instant::now(), files.read(&mut buffer))).collect()
}

impl Files {
    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<Counters> {
        // After a restart of the container, another process may have this number.
        if !read(&self.process_cgroup, buffer)?.contains(&self.container) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let cpu_nanoseconds = self.group.cpu_nanoseconds(buffer)?;
        let memory_bytes = self.group.memory_bytes(buffer)?;
        let (received_bytes, transmitted_bytes) = match &self.network {
            Some(path) => traffic(read(path, buffer)?),
            None => (0, 0),
        };
        Ok(Counters { cpu_nanoseconds, memory_bytes, received_bytes, transmitted_bytes })
    }
}

/// Bytes received and sent over all interfaces except the loopback. Lines are `name: received 7-others sent …`.
fn traffic(text: &str) -> (u64, u64) {
    let interfaces = text.lines().filter_map(|line| line.split_once(':'));
    interfaces.filter(|(name, _)| name.trim() != "lo").fold((0, 0), |(received, sent), (_, counters)| {
        let mut counters = counters.split_ascii_whitespace().map(|counter| counter.parse::<u64>().unwrap_or_default());
        let (more_received, more_sent) = (counters.next().unwrap_or_default(), counters.nth(7).unwrap_or_default());
        (received.saturating_add(more_received), sent.saturating_add(more_sent))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const ID: &str = "0a1b2c3d4e5f";
    const NETWORK: &str = "Inter-|   Receive                    |  Transmit\n \
        face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed\n    \
        lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n  \
        eth0: 1000 10 0 0 0 0 0 0 200 5 0 0 0 0 0 0\n  eth1:5 1 0 0 0 0 0 0 7 5 0 0 0 0 0 0\n";

    /// A tree of files as the kernel presents it.
    struct Tree(TempDir);

    impl Tree {
        fn new(mounts: &[(&str, &str, &str)]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            let mounts: String = mounts
                .iter()
                .map(|(root, folder, kind)| {
                    let folder = tree.0.path().join(folder);
                    format!("31 23 0:28 {root} {} rw,relatime shared:9 - {kind}\n", folder.display())
                })
                .collect();
            tree.write("proc/self/mountinfo", &format!("22 1 8:1 / / rw - ext4 /dev/a rw\n{mounts}"));
            tree
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn roots(&self) -> Roots {
            Roots::at(&self.0.path().join("proc")).unwrap()
        }
    }

    fn v1() -> Tree {
        let tree = Tree::new(&[
            ("/", "cg/cpu,cpuacct", "cgroup cgroup rw,cpu,cpuacct"),
            ("/", "cg/memory", "cgroup cgroup rw,memory"),
            ("/", "cg/unified", "cgroup2 cgroup2 rw"),
        ]);
        tree.write("proc/7/cgroup", &format!("5:memory:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n0::/\n"));
        tree.write("proc/7/net/dev", NETWORK);
        tree.write(&format!("cg/cpu,cpuacct/docker/{ID}/cpuacct.usage"), "1500000000\n");
        tree.write(&format!("cg/memory/docker/{ID}/memory.usage_in_bytes"), "5000\n");
        let stat = "cache 10\ninactive_file 1\ntotal_cache 10\ntotal_inactive_file 2000\n";
        tree.write(&format!("cg/memory/docker/{ID}/memory.stat"), stat);
        tree
    }

    fn v2(root: &str, group: &str) -> Tree {
        let tree = Tree::new(&[(root, "cg", "cgroup2 cgroup2 rw,nsdelegate")]);
        tree.write("proc/7/cgroup", &format!("0::{group}\n"));
        tree.write("proc/7/net/dev", NETWORK);
        let folder = group.strip_prefix(root.trim_end_matches('/')).unwrap_or(group).trim_start_matches('/');
        tree.write(&format!("cg/{folder}/cpu.stat"), "usage_usec 2500\nuser_usec 1\nsystem_usec 2\n");
        tree.write(&format!("cg/{folder}/memory.current"), "9000\n");
        tree.write(&format!("cg/{folder}/memory.stat"), "anon 5\nfile 4000\ninactive_file 1000\n");
        tree
    }

    fn sample_one(files: &Files) -> io::Result<Counters> {
        sample([files]).remove(0).1
    }

    #[test]
    fn v1_files_are_found_and_read() {
        let tree = v1();
        let files = tree.roots().locate(ID, 7, true).unwrap();
        let expected = Counters {
            cpu_nanoseconds: 1_500_000_000,
            memory_bytes: 3000,
            received_bytes: 1005,
            transmitted_bytes: 207,
        };
        assert_eq!(sample_one(&files).unwrap(), expected);
    }

    #[test]
    fn v2_files_are_found_and_read_under_either_driver() {
        for group in [format!("/docker/{ID}"), format!("/system.slice/docker-{ID}.scope")] {
            let tree = v2("/", &group);
            let counters = sample_one(&tree.roots().locate(ID, 7, true).unwrap()).unwrap();
            assert_eq!((counters.cpu_nanoseconds, counters.memory_bytes), (2_500_000, 8000), "{group}");
        }
    }

    #[test]
    fn a_part_of_a_hierarchy_may_be_mounted() {
        let tree = v2("/outer", &format!("/outer/docker/{ID}"));
        assert!(tree.roots().locate(ID, 7, true).is_some());
        let elsewhere = Tree::new(&[("/outer", "cg", "cgroup2 cgroup2 rw")]);
        elsewhere.write("proc/7/cgroup", &format!("0::/../other/docker/{ID}\n"));
        assert_eq!(elsewhere.roots().locate(ID, 7, true), None);
    }

    #[test]
    fn another_process_with_the_same_number_is_not_taken_for_it() {
        let tree = v1();
        assert_eq!(tree.roots().locate("ffff", 7, true), None, "it belongs to another container");
        assert_eq!(tree.roots().locate(ID, 8, true), None, "there is none");
        let files = tree.roots().locate(ID, 7, true).unwrap();
        tree.write("proc/7/cgroup", "5:memory:/user\n3:cpu,cpuacct:/user\n");
        assert!(sample_one(&files).is_err());
    }

    #[test]
    fn the_hosts_interfaces_are_not_the_containers() {
        let files = v1().roots().locate(ID, 7, false);
        assert_eq!(files.unwrap().network, None);
    }

    #[test]
    fn a_container_that_is_gone_or_unreadable_is_an_error_of_its_own() {
        let (gone, there) = (v1(), v2("/", &format!("/docker/{ID}")));
        let files = [gone.roots().locate(ID, 7, true).unwrap(), there.roots().locate(ID, 7, true).unwrap()];
        drop(gone);
        let results = sample(&files);
        assert!(results[0].1.is_err() && results[1].1.is_ok());
        there.write(&format!("cg/docker/{ID}/memory.current"), "max\n");
        assert!(sample_one(&files[1]).is_err());
    }
}

//! The containers of a machine, found by the names of their control groups: no engine and no `/proc` is read.

use crate::cgroup::group::Group;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use windlass_core::ContainerId;
use windlass_core::node_usage::ContainerUsage;

/// Deepest group of a container. Slices of systemd and groups of an engine in a container take a few levels.
const DEEPEST: usize = 12;

/// The control groups of a machine.
///
/// They are found by their folder and not by the list of mounts: a container to which the folder is bound sees in that
/// list paths of its own namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(Hierarchies);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hierarchies {
    V1 { cpu: PathBuf, memory: PathBuf },
    V2(PathBuf),
}

/// The containers that run at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeSample {
    /// Their counters.
    pub containers: BTreeMap<ContainerId, ContainerUsage>,
    /// Why the counters of a container are missing although it runs. `None` if none are missing.
    pub problem: Option<String>,
}

impl Tree {
    /// The tree in a folder, usually `/sys/fs/cgroup`.
    ///
    /// # Errors
    /// If the folder has neither the files of version 2 nor the hierarchies `cpuacct` and `memory` of version 1.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let cpu = ["cpuacct", "cpu,cpuacct"].map(|name| folder.join(name));
        let cpu = cpu.into_iter().find(|cpu| cpu.join("cpuacct.usage").is_file());
        let memory = Some(folder.join("memory")).filter(|memory| memory.join("memory.stat").is_file());
        match (cpu, memory) {
            (Some(cpu), Some(memory)) => Ok(Self(Hierarchies::V1 { cpu, memory })),
            _ if folder.join("cgroup.controllers").is_file() => Ok(Self(Hierarchies::V2(folder.to_owned()))),
            _ => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it has neither `cgroup.controllers` nor the folders `cpuacct` and `memory`",
            )),
        }
    }

    /// Reads the counters of every container, each with its time by `clock`. A container that ends meanwhile is left out.
    /// Blocks on the kernel's files, for about 0.1 ms per container.
    pub fn sample(&self, clock: impl Fn() -> jiff::Timestamp) -> TreeSample {
        let (Hierarchies::V1 { memory: root, .. } | Hierarchies::V2(root)) = &self.0;
        let mut sample = TreeSample::default();
        let mut buffer = Vec::with_capacity(4_096);
        let mut found = Vec::new();
        walk(root, 1, &mut found);
        for (id, folder) in found {
            let group = match &self.0 {
                Hierarchies::V2(_) => Group::v2(&folder),
                Hierarchies::V1 { cpu, memory } => match folder.strip_prefix(memory) {
                    Ok(path) => Group::v1(&cpu.join(path), &folder),
                    Err(_) => continue,
                },
            };
            match counters(&group, clock(), &mut buffer) {
                Ok(counters) => {
                    sample.containers.insert(ContainerId(id), counters);
                }
                // The container has not ended, so a controller is switched off or a file is not readable.
                Err(error) if folder.is_dir() => sample.problem = Some(format!("{}: {error}", folder.display())),
                Err(_) => {}
            }
        }
        sample
    }
}

fn counters(group: &Group, at: jiff::Timestamp, buffer: &mut Vec<u8>) -> io::Result<ContainerUsage> {
    Ok(ContainerUsage {
        at,
        cpu_nanoseconds: group.cpu_nanoseconds(buffer)?,
        memory_bytes: group.memory_bytes(buffer)?,
        memory_limit_bytes: group.memory_limit(buffer)?,
    })
}

/// Adds the groups of containers below a folder. The groups inside of a container are its own.
fn walk(folder: &Path, depth: usize, found: &mut Vec<(String, PathBuf)>) {
    // A group may end while the tree is read.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let name = entry.file_name();
        match name.to_str().and_then(container) {
            Some(id) => found.push((id.to_owned(), entry.path())),
            None if depth < DEEPEST => walk(&entry.path(), depth + 1, found),
            None => {}
        }
    }
}

/// The container of a group: `docker-ID.scope` of systemd, or `ID` in a folder of the engine.
fn container(group: &str) -> Option<&str> {
    let of_systemd = group.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope"));
    let id = of_systemd.unwrap_or(group);
    let is_id = id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn id(digit: char) -> String {
        String::from(digit).repeat(64)
    }

    fn write(root: &TempDir, path: &str, text: &str) {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn v1_group(root: &TempDir, group: &str, cpu: u64, limit: u64) {
        write(root, &format!("cpu,cpuacct/{group}cpuacct.usage"), &format!("{cpu}\n"));
        write(root, &format!("memory/{group}memory.usage_in_bytes"), "5000\n");
        write(root, &format!("memory/{group}memory.limit_in_bytes"), &format!("{limit}\n"));
        write(root, &format!("memory/{group}memory.stat"), "inactive_file 1\ntotal_inactive_file 2000\n");
    }

    fn v2_group(root: &TempDir, group: &str, limit: &str) {
        write(root, &format!("{group}cpu.stat"), "usage_usec 2500\nuser_usec 1\n");
        write(root, &format!("{group}memory.current"), "9000\n");
        write(root, &format!("{group}memory.max"), limit);
        write(root, &format!("{group}memory.stat"), "anon 5\ninactive_file 1000\n");
    }

    fn at() -> jiff::Timestamp {
        "2026-01-01T00:00:00.000000007Z".parse().unwrap()
    }

    fn usage(cpu_nanoseconds: u64, memory_bytes: u64, memory_limit_bytes: Option<u64>) -> ContainerUsage {
        ContainerUsage { at: at(), cpu_nanoseconds, memory_bytes, memory_limit_bytes }
    }

    fn sample(root: &TempDir) -> TreeSample {
        Tree::open(root.path()).unwrap().sample(at)
    }

    #[test]
    fn containers_are_found_in_the_hierarchies_of_version_1() {
        let root = tempfile::tempdir().unwrap();
        v1_group(&root, "", 1, 1);
        // The kernel's number for "no limit".
        v1_group(&root, &format!("docker/{}/", id('a')), 70, 9_223_372_036_854_771_712);
        v1_group(&root, &format!("system.slice/docker-{}.scope/", id('b')), 80, 64 << 20);
        // A group in a container, a group of systemd, a shorter name, and one with other letters.
        v1_group(&root, &format!("docker/{}/docker/{}/", id('a'), id('c')), 90, 1);
        v1_group(&root, "system.slice/ssh.service/", 100, 1);
        v1_group(&root, &format!("docker/{}/", &id('d')[1..]), 110, 1);
        v1_group(&root, &format!("docker/{}/", id('G')), 120, 1);
        // Version 2 is mounted next to version 1 on some machines, without controllers.
        write(&root, &format!("unified/docker/{}/cgroup.procs", id('a')), "");
        let found = sample(&root);
        let expected = [(id('a'), usage(70, 3_000, None)), (id('b'), usage(80, 3_000, Some(64 << 20)))];
        let expected = expected.map(|(id, usage)| (ContainerId(id), usage)).into_iter().collect();
        assert_eq!(found, TreeSample { containers: expected, problem: None });
    }

    #[test]
    fn containers_are_found_in_the_hierarchy_of_version_2_under_either_driver() {
        let root = tempfile::tempdir().unwrap();
        write(&root, "cgroup.controllers", "cpu memory\n");
        v2_group(&root, &format!("docker/{}/", id('a')), "max\n");
        v2_group(&root, &format!("machine.slice/inner.slice/docker-{}.scope/", id('b')), "1048576\n");
        v2_group(&root, "user.slice/", "max\n");
        let found = sample(&root);
        let expected = [(id('a'), usage(2_500_000, 8_000, None)), (id('b'), usage(2_500_000, 8_000, Some(1 << 20)))];
        let expected = expected.map(|(id, usage)| (ContainerId(id), usage)).into_iter().collect();
        assert_eq!(found, TreeSample { containers: expected, problem: None });
    }

    #[test]
    fn a_container_without_counters_is_left_out_and_the_reason_is_kept() {
        let root = tempfile::tempdir().unwrap();
        write(&root, "cgroup.controllers", "cpu\n");
        v2_group(&root, &format!("docker/{}/", id('a')), "max\n");
        write(&root, &format!("docker/{}/cpu.stat", id('b')), "usage_usec 2500\n");
        let found = sample(&root);
        assert_eq!(found.containers.keys().map(ContainerId::as_str).collect::<Vec<_>>(), [id('a')]);
        assert!(found.problem.is_some_and(|problem| problem.contains(&id('b'))), "the memory controller is off");
    }

    #[test]
    fn another_folder_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let error = Tree::open(root.path()).unwrap_err();
        assert!(error.to_string().contains("cgroup.controllers"), "{error}");
        write(&root, "memory/memory.stat", "");
        assert!(Tree::open(root.path()).is_err(), "CPU time is needed, too");
    }
}

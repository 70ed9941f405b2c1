//! The counters of one control group, of version 1 or 2.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Limits of version 1 from this size on are the kernel's way to write "no limit".
const NO_LIMIT: u64 = 1 << 62;

/// The files with the counters of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    cpu: Cpu,
    memory_usage: PathBuf,
    memory_limit: PathBuf,
    memory_stat: PathBuf,
    inactive_key: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cpu {
    /// `cpuacct.usage`: nanoseconds.
    Nanoseconds(PathBuf),
    /// `cpu.stat`: microseconds in the line `usage_usec`.
    Statistics(PathBuf),
}

impl Group {
    /// The group with these folders in the hierarchies of `cpuacct` and `memory`.
    pub(super) fn v1(cpu: &Path, memory: &Path) -> Self {
        Self {
            cpu: Cpu::Nanoseconds(cpu.join("cpuacct.usage")),
            memory_usage: memory.join("memory.usage_in_bytes"),
            memory_limit: memory.join("memory.limit_in_bytes"),
            memory_stat: memory.join("memory.stat"),
            inactive_key: "total_inactive_file",
        }
    }

    /// The group with this folder in the unified hierarchy.
    pub(super) fn v2(folder: &Path) -> Self {
        Self {
            cpu: Cpu::Statistics(folder.join("cpu.stat")),
            memory_usage: folder.join("memory.current"),
            memory_limit: folder.join("memory.max"),
            memory_stat: folder.join("memory.stat"),
            inactive_key: "inactive_file",
        }
    }

    /// CPU time in nanoseconds since the creation of the group.
    pub(super) fn cpu_nanoseconds(&self, buffer: &mut Vec<u8>) -> io::Result<u64> {
        match &self.cpu {
            Cpu::Nanoseconds(path) => number(read(path, buffer)?),
            Cpu::Statistics(path) => Ok(field(read(path, buffer)?, "usage_usec")?.saturating_mul(1_000)),
        }
    }

    /// Memory in use in bytes, without page cache that the kernel can drop at once.
    pub(super) fn memory_bytes(&self, buffer: &mut Vec<u8>) -> io::Result<u64> {
        let used = number(read(&self.memory_usage, buffer)?)?;
        let inactive = field(read(&self.memory_stat, buffer)?, self.inactive_key)?;
        Ok(used.saturating_sub(inactive))
    }

    /// The memory limit in bytes. `None` if there is none.
    pub(super) fn memory_limit(&self, buffer: &mut Vec<u8>) -> io::Result<Option<u64>> {
        match read(&self.memory_limit, buffer)?.trim() {
            "max" => Ok(None),
            text => number(text).map(|limit| Some(limit).filter(|limit| *limit < NO_LIMIT)),
        }
    }
}

/// The text of a small file; `buffer` is reused.
pub(super) fn read<'a>(path: &Path, buffer: &'a mut Vec<u8>) -> io::Result<&'a str> {
    buffer.clear();
    File::open(path)?.read_to_end(buffer)?;
    std::str::from_utf8(buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn number(text: &str) -> io::Result<u64> {
    text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The value in the line `key value`.
fn field(text: &str, key: &str) -> io::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    number(value.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("the file has no line `{key}`")))?)
}

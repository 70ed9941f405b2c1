//! Builds small images from a static busybox, without a registry or the `docker` command.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Images of the tests: a static busybox with different commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixture {
    /// Serves its host name on port 80; SIGTERM ends it with code 0.
    Web,
    /// Ends with code 1 at once.
    Crash,
    /// Serves port 80 after `DELAY` seconds (default 3).
    SlowStart,
    /// Ignores SIGTERM: only a kill ends it.
    Stubborn,
    /// Runs without serving a port.
    Deaf,
    /// Like `Deaf`, with the stop signal SIGUSR1: no other signal ends it.
    StopsByUsr1,
    /// Like `Deaf`, with a HEALTHCHECK that succeeds unless the file `/tmp/ill` exists.
    Checked,
}

impl Fixture {
    /// The image reference. It contains a slash so that tests cover escaped paths.
    pub fn reference(self) -> &'static str {
        match self {
            Self::Web => "windlass-tests/web:1",
            Self::Crash => "windlass-tests/crash:1",
            Self::SlowStart => "windlass-tests/slow-start:1",
            Self::Stubborn => "windlass-tests/stubborn:1",
            Self::Deaf => "windlass-tests/deaf:1",
            Self::StopsByUsr1 => "windlass-tests/stops-by-usr1:1",
            Self::Checked => "windlass-tests/checked:1",
        }
    }

    /// The command of the first process.
    pub fn command(self) -> Vec<String> {
        // The first process of a container ignores signals without a handler, hence the traps.
        let script = match self {
            Self::Web => "trap 'exit 0' TERM; hostname > /www/index.html; httpd -f -p 80 -h /www & wait",
            Self::Crash => "exit 1",
            Self::SlowStart => {
                "trap 'exit 0' TERM; sleep ${DELAY:-3} & wait; hostname > /www/index.html; httpd -f -p 80 -h /www & wait"
            }
            Self::Stubborn => "trap : TERM; while :; do sleep 1; done",
            Self::StopsByUsr1 => "trap 'exit 0' USR1; sleep 1000000 & wait",
            Self::Deaf | Self::Checked => "trap 'exit 0' TERM; sleep 1000000 & wait",
        };
        vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]
    }

    /// The signal that asks its process to end. `None` for the engine's default, SIGTERM.
    pub fn stop_signal(self) -> Option<&'static str> {
        (self == Self::StopsByUsr1).then_some("SIGUSR1")
    }

    /// Other Dockerfile instructions of the image.
    pub fn instructions(self) -> Vec<String> {
        match self {
            Self::Checked => {
                vec!["HEALTHCHECK --interval=1s --timeout=20s --retries=2 CMD test ! -e /tmp/ill".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// An entry of an archive.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A folder.
    Folder,
    /// A file, and whether it is executable.
    File(Vec<u8>, bool),
    /// A symbolic link to this target.
    Link(&'static str),
}

/// The file system of every fixture: busybox, links with its command names, an empty `/www` and `/tmp`.
///
/// # Errors
/// If there is no static busybox; the text says what to do.
pub fn root_file_system() -> anyhow::Result<Vec<u8>> {
    let busybox = std::fs::read(busybox()?).context("cannot read busybox")?;
    let mut entries = vec![
        ("bin", Entry::Folder),
        ("tmp", Entry::Folder),
        ("www", Entry::Folder),
        ("bin/busybox", Entry::File(busybox, true)),
    ];
    let names = ["bin/sh", "bin/httpd", "bin/sleep", "bin/hostname", "bin/cat", "bin/nc", "bin/mkdir"];
    entries.extend(names.map(|name| (name, Entry::Link("busybox"))));
    archive(&entries)
}

/// A static busybox: the one that `make setup` fetched, otherwise the machine's own.
///
/// # Errors
/// If there is no static busybox.
pub fn busybox() -> anyhow::Result<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/busybox");
    let candidates = [fetched, "/bin/busybox".into(), "/usr/bin/busybox".into()];
    for candidate in candidates {
        // A dynamic busybox contains the path of its loader, and could not start in an image without one.
        if std::fs::read(&candidate).is_ok_and(|bytes| !holds(&bytes, b"/ld-linux") && !holds(&bytes, b"/ld-musl")) {
            return Ok(candidate);
        }
    }
    bail!("no static busybox to make images from: run `make setup`, or install Debian's `busybox-static`")
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    // The loader's path is at the front of the file.
    bytes[..bytes.len().min(8 << 10)].windows(part.len()).any(|window| window == part)
}

/// A tar archive (ustar) of these entries, owned by root.
///
/// # Errors
/// If a path exceeds the format's limit of 100 bytes.
pub fn archive(entries: &[(&str, Entry)]) -> anyhow::Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (path, entry) in entries {
        let (kind, mode, content, target) = match entry {
            Entry::Folder => (b'5', 0o755, &[][..], ""),
            Entry::File(content, runs) => (b'0', if *runs { 0o755 } else { 0o644 }, content.as_slice(), ""),
            Entry::Link(target) => (b'2', 0o777, &[][..], *target),
        };
        if path.len() > 100 || target.len() > 100 {
            bail!("`{path}` exceeds the 100 bytes of a path in an archive");
        }
        let mut header = [0_u8; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        header[108..115].copy_from_slice(b"0000000");
        header[116..123].copy_from_slice(b"0000000");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[148..156].copy_from_slice(b"        ");
        header[156] = kind;
        header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    Ok(archive)
}

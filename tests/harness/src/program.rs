//! The program under test, and a user without privileges that runs it.

use anyhow::Context;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program under test: `WINDLASS_BIN`, otherwise the program built next to this one.
///
/// # Errors
/// If the program is missing; the text says what to do.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("WINDLASS_BIN") {
        return Ok(named.into());
    }
    let this = std::env::current_exe()?;
    // target/<profile>/demo or target/<profile>/deps/<test>: one of the folders above has the program.
    let found = this.ancestors().skip(1).take(2).map(|folder| folder.join("windlass")).find(|path| path.is_file());
    found.with_context(|| {
        format!("no `windlass` next to `{}`; run `make test`, or `cargo build --workspace --bins`", this.display())
    })
}

/// A user without privileges that runs the program, in the group that may use the container engine.
#[derive(Debug)]
pub(crate) struct User {
    id: u32,
    engine_group: u32,
    program: PathBuf,
}

impl User {
    /// Gives a folder to the user, with the program, because the user may not reach the build folder.
    pub(crate) fn with_folder(id: u32, engine: &str, folder: &Path) -> anyhow::Result<Self> {
        let socket = engine.strip_prefix("unix://").context("the engine has no socket on this machine")?;
        let engine_group = std::fs::metadata(socket)?.gid();
        chown(folder, Some(id), Some(id))?;
        let (built, program) = (binary()?, folder.join("windlass"));
        std::fs::hard_link(&built, &program).or_else(|_| std::fs::copy(&built, &program).map(drop))?;
        Ok(Self { id, engine_group, program })
    }

    /// The program as this user, without capabilities and without a way to gain one.
    pub(crate) fn command(&self) -> Command {
        let Self { id, engine_group, program } = self;
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={id}"), format!("--regid={id}"), format!("--groups={engine_group}")]);
        command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]).arg(program);
        command
    }
}

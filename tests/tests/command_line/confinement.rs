//! The process that compiles policies has no privileges, however Windlass itself runs.

use anyhow::{Context as _, ensure};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use windlass_builtin::MIN_MAX;
use windlass_core::settings::PolicyLimits;
use windlass_sandbox::compile::{CHILD_COMMAND, child_header};
use windlass_tests::site::binary;
use windlass_tests::wait::eventually;

/// The user and the group `nobody`.
const NOBODY: u32 = 65_534;

/// A user without privileges that is not `nobody`.
const ANN: u32 = 54_321;

/// The lines of `/proc/PID/status` by name.
fn status(pid: u32) -> std::io::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    Ok(lines.map(|(name, value)| (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))).collect())
}

/// The status of a compiling process that has read its limits and waits for the component. Then it compiles.
async fn status_while_compiling(mut child: Child) -> anyhow::Result<BTreeMap<String, String>> {
    let mut input = child.stdin.take().context("its input is a pipe")?;
    input.write_all(&child_header(&PolicyLimits::default()))?;
    let seen = eventually("the process to confine itself", Duration::from_secs(30), async || {
        let status = status(child.id()).map_err(|error| error.to_string())?;
        // The last step.
        if status["Seccomp"] == "2" { Ok(status) } else { Err(format!("{status:?}")) }
    })
    .await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()))?;
    for (name, is_right) in [
        ("Max cpu time", (|most| (1..=600).contains(&most)) as fn(u64) -> bool),
        ("Max address space", |most| (1 << 20..8 << 30).contains(&most)),
        ("Max file size", |most| most == 0),
        ("Max core file size", |most| most == 0),
        ("Max open files", |most| most == 64),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).with_context(|| name.to_owned())?;
        let hard = line.split_whitespace().nth(1).and_then(|most| most.parse().ok());
        ensure!(hard.is_some_and(is_right), "{name}: {line}");
    }
    input.write_all(MIN_MAX)?;
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    ensure!(output.stdout.starts_with(b"\x7fELF"), "no machine code");
    Ok(seen)
}

fn compiling(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(CHILD_COMMAND).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A copy of the program in a folder with this mode, itself with mode 0755.
fn copied(folder: &Path, mode: u32) -> anyhow::Result<PathBuf> {
    let program = folder.join("windlass");
    std::fs::copy(binary()?, &program)?;
    std::fs::set_permissions(&program, Permissions::from_mode(mode & 0o755))?;
    std::fs::set_permissions(folder, Permissions::from_mode(mode))?;
    Ok(program)
}

#[tokio::test]
async fn the_process_that_compiles_is_nobody_and_may_do_nothing() -> anyhow::Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    let status = status_while_compiling(compiling(&binary()?).spawn()?).await?;
    let none = "0000000000000000";
    for (name, expected) in
        [("NoNewPrivs", "1"), ("Seccomp", "2"), ("CapInh", none), ("CapPrm", none), ("CapEff", none), ("CapAmb", none)]
    {
        assert_eq!(status[name], expected, "{name}");
    }
    // Another user than root has neither the right to change its user nor a capability to lose.
    if is_root {
        let ids = [NOBODY; 4].map(|id| id.to_string()).join(" ");
        assert_eq!((&status["Uid"], &status["Gid"]), (&ids, &ids));
        assert_eq!((status["Groups"].as_str(), status["CapBnd"].as_str()), ("", none));
    }
    Ok(())
}

/// Windlass compiles in each of these situations, and the command that does it prints no warning.
#[tokio::test]
async fn a_policy_is_compiled_by_any_user_from_any_place() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let component = folder.path().join("min-max.wasm");
    std::fs::write(&component, MIN_MAX)?;
    std::fs::set_permissions(&component, Permissions::from_mode(0o644))?;
    let check = |program: &Path, user: Option<u32>| -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(["policy", "check"]).arg(&component).env_clear().current_dir("/");
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let output = command.output()?;
        ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    // Nobody else can read this copy, nor reach it.
    let private = tempfile::tempdir()?;
    assert!(check(&copied(private.path(), 0o700)?, None)?.contains("min-max"));
    if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let public = tempfile::tempdir()?;
        let program = copied(public.path(), 0o755)?;
        assert!(check(&program, Some(ANN))?.contains("min-max"));
        let mut compiling = compiling(&program);
        let status = status_while_compiling(compiling.uid(ANN).gid(ANN).spawn()?).await?;
        assert_eq!(status["Uid"], [ANN; 4].map(|id| id.to_string()).join(" "));
        assert_eq!((status["Seccomp"].as_str(), status["NoNewPrivs"].as_str()), ("2", "1"));
    }
    Ok(())
}

/// Root of a container without CAP_SETUID cannot become another user. It compiles without capabilities, and says so.
#[test]
fn root_that_may_not_change_users_compiles_and_says_so() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-setuid,-setgid", "--inh-caps=-all"]).arg(binary()?).arg(CHILD_COMMAND);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("its input is a pipe")?;
    input.write_all(&child_header(&PolicyLimits::default()))?;
    input.write_all(MIN_MAX)?;
    drop(input);
    let output = child.wait_with_output()?;
    let warning = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && output.stdout.starts_with(b"\x7fELF"), "{warning}");
    assert!(warning.starts_with("it runs as root without capabilities"), "{warning}");
    Ok(())
}

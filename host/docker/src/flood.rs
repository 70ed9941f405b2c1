//! Ends a command whose output is not read any more. The engine has no call for this.

use crate::client::EngineClient;
use bollard::exec::StartExecOptions;
use bollard::models::ExecConfig;
use rustix::process::{Pid, Signal, kill_process_group};
use std::time::Duration;
use windlass_core::ContainerId;

/// Wait between two attempts; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Waits until a command has ended, and tries to end it.
///
/// The caller keeps the command's output open without reading it. So a command that cannot be ended is blocked, and takes no
/// processor time; if the output were closed, the engine would read it without end.
pub(crate) async fn end(engine: &EngineClient, operation: &str, id: &ContainerId, exec: &str) {
    let mut wait = FIRST_WAIT;
    let mut is_reported = false;
    loop {
        let inspected = engine.call(operation, |docker| async move { docker.inspect_exec(exec).await }).await;
        let running = inspected.ok().filter(|inspected| inspected.running == Some(true));
        let Some(running) = running else { return };
        let process = running.pid.and_then(|pid| Process::find(pid, id));
        let is_ended = match process {
            Some(process) => process.kill() || kill_inside(engine, operation, id, process).await,
            None => false,
        };
        if !is_ended && !is_reported && wait > FIRST_WAIT {
            is_reported = true;
            tracing::warn!(
                container = %id,
                operation,
                "the command prints without end and cannot be ended; it is blocked until the replica stops"
            );
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// The process of a command, with its numbers on this machine and inside of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    here: Pid,
    inside: i32,
}

impl Process {
    /// Finds the process with the engine's number. `None` if this machine's process of that number is not in the container,
    /// for example because the engine runs elsewhere.
    fn find(pid: i64, id: &ContainerId) -> Option<Self> {
        let here = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        read("cgroup")?.contains(id.as_str()).then_some(())?;
        Some(Self { here, inside: innermost(&read("status")?)? })
    }

    /// Ends the process and its children. They are a group of their own, because the engine gives each command a session.
    fn kill(self) -> bool {
        kill_process_group(self.here, Signal::KILL).is_ok()
    }
}

/// The number of a process in its innermost namespace, which the line `NSpid` of `/proc/PID/status` ends with.
fn innermost(status: &str) -> Option<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().next_back()?.parse().ok().filter(|pid| *pid > 1)
}

/// Ends the process with the container's own `kill`: Windlass may talk to the engine without being allowed to send signals.
async fn kill_inside(engine: &EngineClient, operation: &str, id: &ContainerId, process: Process) -> bool {
    let command = ["kill".to_owned(), "-KILL".to_owned(), format!("-{}", process.inside)];
    let config = ExecConfig { cmd: Some(command.to_vec()), ..ExecConfig::default() };
    let started = engine.call(operation, |docker| async move {
        let exec = docker.create_exec(id.as_str(), config).await?.id;
        docker.start_exec(&exec, Some(StartExecOptions { detach: true, ..StartExecOptions::default() })).await
    });
    started.await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_inside_of_the_container_is_the_last_one() {
        assert_eq!(innermost("Name:\tyes\nNSpid:\t723\t19\nVmPeak:\t1 kB\n"), Some(19));
        assert_eq!(innermost("NSpid:\t723\n"), Some(723));
        // The group of number 1 would be the replica itself, and that of number 0 the caller.
        for nothing in ["NSpid:\t9\t1\n", "NSpid:\t9\t0\n", "NSpid:\n", "Name:\tyes\n"] {
            assert_eq!(innermost(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_process_outside_of_the_container_is_not_touched() {
        let own = i64::from(std::process::id());
        let container = ContainerId("c2a2ddb8ca8dcd9ac1a4a9aef5d091047c29e7f1be7e867f5da18b934430d271".to_owned());
        assert_eq!(Process::find(own, &container), None);
        assert_eq!(Process::find(0, &container), None);
        assert_eq!(Process::find(i64::MAX, &container), None);
    }
}

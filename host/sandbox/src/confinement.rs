//! Takes every privilege from the process that compiles: its user, its capabilities, and most system calls.
//!
//! The compiler reads hostile input. If a component makes it run other code, that code can neither open a file, nor connect,
//! nor start a program, nor signal another process.

use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid, getpid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// The user and the group `nobody`: the kernel's own number for identities that own nothing.
const NOBODY: u32 = 65_534;

/// A privilege could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfinementError {
    /// The kernel refused a step.
    #[error("the compiler process cannot {step}: {source}")]
    Kernel {
        /// The step.
        step: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// The filter of system calls cannot be made for this processor, or the kernel refused it.
    #[error("the compiler process cannot restrict its system calls: {0}")]
    Filter(#[from] seccompiler::Error),
}

/// The user after [`confine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunsAs {
    /// `nobody`, or the user that started the process without privileges.
    Unprivileged,
    /// Root without capabilities, because the process may not change its user, as in a container without CAP_SETUID.
    Root,
}

/// Confines the calling thread and the threads that it starts later. A process is confined if it has no other thread.
///
/// # Errors
/// If a privilege stays that could be taken.
pub(crate) fn confine() -> Result<RunsAs, ConfinementError> {
    let failed = |step: &'static str| move |source: Errno| ConfinementError::Kernel { step, source };
    clear_ambient_capability_set().map_err(failed("clear its ambient capabilities"))?;
    empty_bounding_set().map_err(failed("empty its bounding set"))?;
    let runs_as = become_nobody().map_err(failed("change its user"))?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(failed("drop its capabilities"))?;
    // Each call also sets `no_new_privs`. The second filter would refuse to install the first.
    for filter in [without_clone3()?, allowed_calls()?] {
        seccompiler::apply_filter(&filter)?;
    }
    Ok(runs_as)
}

/// Removes every capability from the bounding set. Without CAP_SETPCAP it does nothing: such a process gains no capability
/// either, because it executes no program.
fn empty_bounding_set() -> Result<(), Errno> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => match remove_capability_from_bounding_set(capability) {
                Err(Errno::PERM) => return Ok(()),
                removed => removed?,
            },
            Ok(false) => {}
            // The kernel knows no more capabilities.
            Err(Errno::INVAL) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Changes the user and the groups of root to `nobody`. Another user cannot change them, and stays.
fn become_nobody() -> Result<RunsAs, Errno> {
    if !geteuid().is_root() {
        return Ok(RunsAs::Unprivileged);
    }
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let changed = set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(group, group, group))
        .and_then(|()| set_thread_res_uid(user, user, user));
    match changed {
        Ok(()) => Ok(RunsAs::Unprivileged),
        // Without CAP_SETUID or CAP_SETGID, or in a user namespace that has no `nobody`.
        Err(Errno::PERM | Errno::INVAL) => Ok(RunsAs::Root),
        Err(error) => Err(error),
    }
}

/// Lets `clone3` fail as on an old kernel, so that the C library starts threads with `clone`, whose flags a filter can read.
fn without_clone3() -> Result<BpfProgram, seccompiler::Error> {
    let calls = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    program(calls, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.unsigned_abs()))
}

/// The calls that compiling needs: memory, threads, the open standard streams, and the end. Every other one fails with EPERM.
fn allowed_calls() -> Result<BpfProgram, seccompiler::Error> {
    let plain = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        // The other filter lets it fail.
        libc::SYS_clone3,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_nanosleep,
        libc::SYS_read,
        libc::SYS_restart_syscall,
        libc::SYS_rseq,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_set_robust_list,
        libc::SYS_sigaltstack,
        libc::SYS_write,
        libc::SYS_writev,
    ];
    let without = |index: u8, flag: u64| rule(index, SeccompCmpOp::MaskedEq(flag), 0);
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let own_process = u64::from(getpid().as_raw_pid().unsigned_abs());
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = plain.into_iter().map(|call| (call, Vec::new())).collect();
    calls.extend([
        // No code but the program's own is executable.
        (libc::SYS_mmap, vec![without(2, executable)?]),
        (libc::SYS_mprotect, vec![without(2, executable)?]),
        // Threads, but no processes.
        (libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(thread), thread)?]),
        (libc::SYS_prctl, vec![rule(0, SeccompCmpOp::Eq, u64::from(libc::PR_SET_NAME.unsigned_abs()))?]),
        // The process may abort.
        (libc::SYS_tgkill, vec![rule(0, SeccompCmpOp::Eq, own_process)?]),
    ]);
    program(calls, SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)
}

/// A rule about one argument of a call.
fn rule(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::Error> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Qword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn program(
    calls: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram, seccompiler::Error> {
    let processor = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(calls, otherwise, action, processor)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getppid, kill_process};
    use std::io::{self, ErrorKind};
    use std::process::Command;

    /// The variable of the process that confines itself.
    const CONFINED: &str = "WINDLASS_TESTS_CONFINED";

    /// The error of each attempt: opening, listening, connecting, starting and signalling.
    fn attempts() -> Vec<(&'static str, ErrorKind)> {
        let kind = |result: io::Result<()>| result.err().map_or(ErrorKind::Other, |error| error.kind());
        let parent = getppid();
        vec![
            ("read a file", kind(std::fs::File::open("/etc/passwd").map(drop))),
            ("read its environment", kind(std::fs::File::open("/proc/self/environ").map(drop))),
            ("write a file", kind(std::fs::File::create("/tmp/windlass-confined").map(drop))),
            ("list a folder", kind(std::fs::read_dir("/").map(drop))),
            ("connect", kind(std::net::TcpStream::connect("127.0.0.1:1").map(drop))),
            ("send", kind(std::net::UdpSocket::bind("127.0.0.1:0").map(drop))),
            ("reach the engine", kind(std::os::unix::net::UnixStream::connect("/var/run/docker.sock").map(drop))),
            ("start a program", kind(Command::new("/bin/true").spawn().map(drop))),
            (
                "signal its parent",
                kind(parent.map_or(Ok(()), |parent| kill_process(parent, Signal::TERM).map_err(io::Error::from))),
            ),
        ]
    }

    #[test]
    fn a_confined_process_compiles_and_does_nothing_else() {
        if std::env::var_os(CONFINED).is_none() {
            // A process of its own, which ends with the test.
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.args(["confinement::tests::a_confined_process_compiles_and_does_nothing_else", "--exact"]);
            let output = command.env(CONFINED, "1").env("RAYON_NUM_THREADS", "2").output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
            return;
        }
        let (_, component) = windlass_builtin::BUILT_IN[0];
        assert_eq!(confine().expect("confined"), RunsAs::Unprivileged);
        for (attempt, error) in attempts() {
            assert_eq!(error, ErrorKind::PermissionDenied, "{attempt}");
        }
        let engine = crate::engine::compiling().expect("an engine");
        let threads = std::thread::spawn(move || engine.precompile_component(component).expect("compiled"));
        assert!(!threads.join().expect("a thread").is_empty());
    }
}

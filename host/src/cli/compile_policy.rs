//! `windlass compile-policy`: the hidden command that the host starts to compile a component in a child process.

use std::process::ExitCode;

/// Compiles the component on standard input, within the limits that precede it there.
///
/// Call it before any other thread starts, because it limits its own process.
pub(super) fn compile_policy() -> ExitCode {
    windlass_sandbox::compile::run_child()
}

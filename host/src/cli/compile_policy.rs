//! `windlass compile-policy`: the hidden command that the host starts itself to compile a component.

use std::process::ExitCode;

/// Compiles the component on standard input, within the limits that precede it there.
///
/// Call it before a runtime or any other thread is started: it bounds its own process.
pub fn compile_policy() -> ExitCode {
    windlass_sandbox::compile::run_child()
}

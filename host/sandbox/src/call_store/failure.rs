//! Maps the errors of a call to typed failures.

use crate::convert::{cut, excerpt, plain};
use std::time::Duration;
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure};

/// Functions of a backtrace that a failure names.
const FUNCTIONS_NAMED: usize = 3;

/// Bytes of a function's name that a failure holds.
const FUNCTION_NAME_BYTES: usize = 80;

/// An exceeded limit of the host, as it travels through wasmtime's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LimitExceeded(pub(crate) PolicyFailure);

/// The failure of a call that exceeded its time limit.
pub(crate) fn time_exceeded(time: Duration) -> PolicyFailure {
    PolicyFailure::new(FailureKind::Time, format!("it ran longer than {} ms", time.as_millis()))
}

/// The failure of a call that ended with an error.
///
/// An exceeded limit of the host has its own kind. Too many handles, random bytes, instances, tables or memories are
/// `memory`. An answer that the host cannot read, or that is too large, is `output`. Every other error is `trap`.
pub(crate) fn failure(error: &wasmtime::Error, limits: &PolicyLimits) -> PolicyFailure {
    if let Some(LimitExceeded(failure)) = error.downcast_ref() {
        return failure.clone();
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return too_many_handles(limits);
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return PolicyFailure::new(FailureKind::Trap, format!("it called `exit` with status {code}"));
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trapped(*trap, error, limits);
    }
    // wasmtime has no types for these errors. A hostile component in the tests checks each wording.
    let message = error.root_cause().to_string();
    if message.contains("fuel allocated for hostcalls") {
        let limit = limits.hostcall_bytes;
        let reason = format!("it passed the host more than {limit} bytes in one call");
        return PolicyFailure::new(FailureKind::Output, reason);
    }
    if message.contains("store handle limit exceeded") {
        return too_many_handles(limits);
    }
    if let Some(counts) = message.strip_prefix("resource limit exceeded: ") {
        return PolicyFailure::new(FailureKind::Memory, format!("it made more than it may: {}", excerpt(counts)));
    }
    let unreadable = ["utf-8", "utf-16", "discriminant", "out of bounds", "aligned", "converted integer", "char"];
    if unreadable.iter().any(|part| message.contains(part)) {
        let reason = format!("it returned what cannot be read: {}", excerpt(&message));
        return PolicyFailure::new(FailureKind::Output, reason);
    }
    PolicyFailure::new(FailureKind::Trap, excerpt(&message))
}

fn too_many_handles(limits: &PolicyLimits) -> PolicyFailure {
    let reason = format!("it held more than {} resource handles at once", limits.handles);
    PolicyFailure::new(FailureKind::Memory, reason)
}

fn trapped(trap: Trap, error: &wasmtime::Error, limits: &PolicyLimits) -> PolicyFailure {
    let functions = functions(error);
    match trap {
        Trap::StackOverflow => {
            let reason = format!("it ran out of its stack of {} bytes{functions}", limits.stack_bytes);
            PolicyFailure::new(FailureKind::Trap, reason)
        }
        Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::InvalidChar
        | Trap::UnalignedPointer => {
            PolicyFailure::new(FailureKind::Output, format!("it returned what cannot be read: {}", plain_trap(trap)))
        }
        Trap::UnreachableCodeReached => {
            let reason = format!("it gave up: it reached code marked unreachable, as a panic does{functions}");
            PolicyFailure::new(FailureKind::Trap, reason)
        }
        _ => PolicyFailure::new(FailureKind::Trap, format!("{}{functions}", plain_trap(trap))),
    }
}

fn plain_trap(trap: Trap) -> String {
    trap.to_string().trim_start_matches("wasm trap: ").to_owned()
}

/// The innermost functions, if the component has a name section.
fn functions(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let names: Vec<String> = names.take(FUNCTIONS_NAMED).map(function_name).collect();
    if names.is_empty() { String::new() } else { format!(", in `{}`", names.join("` called by `")) }
}

/// A name as its author wrote it. wasmtime returns the symbol as it is in the name section, which in Rust is mangled; the
/// alternate form leaves out the hash.
fn function_name(symbol: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    plain(cut(&name, FUNCTION_NAME_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_as_their_author_wrote_them() {
        assert_eq!(function_name("_ZN5chaos7recurse17h0123456789abcdefE"), "chaos::recurse");
        assert_eq!(function_name("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
        assert_eq!(function_name("scaling_policy_decide"), "scaling_policy_decide");
        assert_eq!(function_name(&"x".repeat(100)).len(), FUNCTION_NAME_BYTES);
    }
}

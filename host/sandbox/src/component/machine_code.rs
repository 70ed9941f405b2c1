//! Maps machine code: the only unsafe code of this crate.

use wasmtime::Engine;
use wasmtime::component::Component;

/// Loads machine code that the host's own compiler wrote.
pub(crate) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "wasmtime cannot check machine code, so the host checks where it comes from")]
    // SAFETY: `Engine::precompile_component` wrote `code`: either just now, in this process or in its child process, whose
    // pipe no other process holds; or earlier, and then its authentication code proves that it is unchanged (see `cache`).
    // `code` is memory of this process, not a file that could change meanwhile.
    unsafe {
        Component::deserialize(engine, code)
    }
}

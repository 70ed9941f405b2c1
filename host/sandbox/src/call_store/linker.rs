//! Everything that a component may import, except the contract's own interfaces.

use crate::call_store::state::CallState;
use crate::call_store::{http, http_memory, wasi};
use wasmtime::component::Linker;

/// Adds WASI 0.2 and outgoing HTTP. The contract check decides which of them a component may import.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasi::add_to_linker(linker, |state| &mut state.randomness)?;
    http::add_to_linker(linker)?;
    http_memory::add_to_linker(linker)
}

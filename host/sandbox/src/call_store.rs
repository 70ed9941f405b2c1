//! The store of one call: its limits, what the component may import, and how an exceeded limit becomes a typed failure.

mod failure;
mod http;
mod http_memory;
mod linker;
mod log;
mod log_share;
mod state;
mod usage;
mod wasi;

pub use crate::call_store::log::{CallLog, LogLevel};
pub use crate::call_store::usage::CallUsage;

pub(crate) use crate::call_store::failure::{failure, time_exceeded};
pub(crate) use crate::call_store::linker::add_to_linker;
pub(crate) use crate::call_store::state::{CallState, TICK};
pub(crate) use crate::call_store::wasi::Randomness;

//! The built-in policies as WebAssembly components, compiled by `build.rs` from `plugins/`.

/// The component of the default scaling policy.
pub const MIN_MAX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/min-max.wasm"));

/// The component of the default health policy.
pub const LIVENESS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/liveness.wasm"));

/// Every built-in policy: its name and its component.
pub const BUILT_IN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

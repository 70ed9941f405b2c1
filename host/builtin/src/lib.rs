//! The built-in policies as WebAssembly components, compiled by `build.rs` from `plugins/`.

/// The component of the default scaling policy.
pub const MIN_MAX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/min-max.wasm"));

/// The component of the default health policy.
pub const LIVENESS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/liveness.wasm"));

/// A built-in policy that the host loads at its first use, described without its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the policy.
    pub name: &'static str,
    /// Version of the policy.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
    /// JSON Schema of its configuration.
    pub config_schema: &'static str,
    /// SHA-256 of the component in hexadecimal.
    pub digest: &'static str,
    /// Names of its imports.
    pub imports: &'static [&'static str],
}

/// The manifests of the scaling policies, which `build.rs` reads from `plugins/`. A test compares them with the components.
pub const MANIFESTS: &[Manifest] = include!(concat!(env!("OUT_DIR"), "/manifests.rs"));

/// The imports of a built-in policy: the types that its exports mention.
const TYPES: &[&str] = &["windlass:policy/types@0.1.0"];

/// The imports of a built-in policy that also asks since when replicas have been ready.
const READINESS_AND_TYPES: &[&str] = &["windlass:policy/types@0.1.0", "windlass:policy/readiness@0.1.0"];

/// Every built-in policy: its name and its component.
pub const BUILT_IN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

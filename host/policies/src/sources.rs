//! The sources that bring components by themselves: files and folders, OCI registries.

pub mod files;
pub mod oci;

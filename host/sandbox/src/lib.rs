//! Runs policies as WebAssembly components: each call in a fresh instance, within limits.
//!
//! [`component`] loads a component, checks it and calls it. `contract_check` compares its imports and exports with the
//! contract in `wit/`. [`compile`] makes machine code in a child process, from which `confinement` takes every privilege, and
//! [`cache`] keeps that code. [`engine`] owns wasmtime's engine, [`call_store`] holds the limits of one call, and `convert`
//! maps the host's types to WIT's.

pub mod cache;
pub mod call_store;
pub mod compile;
pub mod component;
mod compression;
mod confinement;
mod contract_check;
mod convert;
mod description;
mod digest;
pub mod engine;
pub mod language;
mod schema;
pub mod wit_text;
pub mod wrap;

//! The fuzzer's entry to [`once`].
//!
//! `cargo +nightly fuzz run load --fuzz-dir tests/fuzz`, with the built-in policies (`target/guests/*.wasm`) as seeds
//! in `tests/fuzz/corpus/load`. `tests/tests/policies/mutations.rs` compiles [`once`], and loads a few thousand damaged
//! components in every run of the tests.
#![no_main]

mod once;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    once::once(bytes);
});

//! The entry of cargo-fuzz, which is guided by coverage and needs a nightly toolchain, to [`once`].
//!
//! `make fuzz` runs the same function without cargo-fuzz, and shares the corpus. Put the built-in policies
//! (`target/guests/*.wasm`) into the folder for new inputs, `target/fuzz`, as further seeds:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz component target/fuzz tests/fuzz/corpus/component`.
#![no_main]

mod once;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    once::once(bytes);
});

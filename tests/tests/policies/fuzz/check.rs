//! The harness itself: it finds each kind of failure.

use crate::fuzz::process::{self, Task, Until};
use crate::fuzz::target::Target;
use std::time::Duration;

/// Fails as its input says.
const SAMPLE: Target = Target {
    name: "check::every_kind_of_failure_is_found",
    cases: 0,
    seeds: || vec![b"nothing".to_vec()],
    words: &[],
    start: || Box::new(is_harmless),
};

fn is_harmless(input: &[u8]) -> bool {
    match input {
        b"panic" => panic!("as the input says"),
        b"caught" => drop(std::thread::spawn(|| panic!("as the input says")).join()),
        b"stack" => assert_eq!(depth(u64::MAX), 0),
        b"memory" => drop(std::hint::black_box(vec![1_u8; 3 << 30])),
        b"hang" => std::thread::park(),
        _ => {}
    }
    true
}

fn depth(left: u64) -> u64 {
    if std::hint::black_box(left) == 0 { 0 } else { depth(left - 1) + std::hint::black_box(1) }
}

#[test]
fn every_kind_of_failure_is_found() {
    if let Some((task, progress)) = process::task() {
        return process::carry_out(&SAMPLE, &task, &progress);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let failure = |input: &str, limit: u64| {
        let file = folder.path().join(input);
        std::fs::write(&file, input).expect("a file");
        let task = Task { seed: 0, from: 0, until: Until::Case(1), input: Some(file) };
        runtime.block_on(process::begin(&SAMPLE, &task, Duration::from_secs(limit))).expect("a process").failure
    };
    assert_eq!(failure("nothing", 20), None);
    for (input, expected) in [
        ("panic", "as the input says"),
        ("caught", "as the input says"),
        ("stack", "has overflowed its stack"),
        ("memory", "memory allocation of 3221225472 bytes failed"),
        ("hang", "it did not end within 1 s"),
    ] {
        let limit = if input == "hang" { 1 } else { 20 };
        let why = failure(input, limit).unwrap_or_default();
        assert!(why.contains(expected), "{input}: {why}");
    }
}

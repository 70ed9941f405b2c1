//! Runs a test in a process of its own, for tests that measure their process.

use std::process::Command;

/// The variable that holds the name of the test that a process runs alone.
const ALONE: &str = "WINDLASS_TESTS_ALONE";

/// Whether this process runs the named test alone. If not, runs the test in a new process and returns `false` when it
/// has passed.
///
/// `test` is the test's full path within its program, such as `mutations::the_memory_comes_back`. Other tests of the
/// program neither change the process that the test measures nor see its changes.
///
/// # Panics
/// If the test fails in the new process, or the program has no test of this name.
#[expect(clippy::print_stdout, reason = "the output of a test belongs to the test that failed")]
pub fn is_alone(test: &str) -> bool {
    if std::env::var(ALONE).is_ok_and(|alone| alone == test) {
        return true;
    }
    let program = std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new(program);
    command.args([test, "--exact", "--include-ignored", "--nocapture"]).env(ALONE, test);
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.contains("1 passed") {
        println!("{text}{}", String::from_utf8_lossy(&output.stderr));
        panic!("`{test}` failed in a process of its own, or the program has no such test: {}", output.status);
    }
    false
}

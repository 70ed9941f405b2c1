//! The frame of the benchmarks that measure whole programs: how they begin, and how they print.

use std::process::ExitCode;
use std::time::Duration;

/// Prints a line of the results.
#[expect(clippy::print_stdout, reason = "the results go to standard output")]
pub fn print_line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Measures, and prints why it could not. Without `--bench`, for example in `cargo test --benches`, the program only has to
/// compile.
pub async fn run(name: &str, measure: impl AsyncFnOnce() -> anyhow::Result<()>) -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_line(format!("the {name} benchmark failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The middle one of several times, or the upper one of the two in the middle.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The mark at the end of a row: nothing if its aim is met.
#[must_use]
pub fn mark(is_met: bool) -> &'static str {
    if is_met { "" } else { "  MISSED" }
}

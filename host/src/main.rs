//! The program's entry point; the library does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    windlass::cli::main()
}

//! Runs the commands of `[discovery]`: a check of the new file, and the announcement of it.

use std::io::{Read, Seek};
use std::process::Stdio;
use std::time::Duration;

/// Bytes of a failed command's output that are logged.
const OUTPUT_BYTES: u64 = 1_024;

/// Runs a program to its end, without a shell and without our secrets.
///
/// # Errors
/// One sentence with the program's output.
pub(crate) async fn run(command: &[String], limit: Duration) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    // A file instead of a pipe, because processes it leaves in the background may hold it open.
    let mut output_file = tempfile::tempfile().map_err(|error| error.to_string())?;
    let output = || output_file.try_clone().map_err(|error| error.to_string());
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .env_remove("WINDLASS_TOKEN")
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("it cannot be run: {error}"))?;
    match tokio::time::timeout(limit, child.wait()).await {
        Err(_) => Err(format!("it took more than {} ms and was killed", limit.as_millis())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let mut output = Vec::new();
            let read = output_file.rewind().and_then(|()| output_file.take(OUTPUT_BYTES).read_to_end(&mut output));
            let output = read.map(|_| String::from_utf8_lossy(&output).trim().to_owned()).unwrap_or_default();
            Err(format!("it ended with {status}: {output}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_command_has_no_shell_a_bounded_time_and_says_why_it_failed() {
        let long = Duration::from_secs(20);
        assert_eq!(run(&words(&["test", "$HOME", "=", "$HOME"]), long).await, Ok(()));
        let failed = run(&words(&["sh", "-c", "echo no such backend >&2; exit 3"]), long).await;
        assert_eq!(failed, Err("it ended with exit status: 3: no such backend".to_owned()));
        let failed = run(&words(&["sh", "-c", "echo unknown keyword; exit 1"]), long).await;
        assert_eq!(failed, Err("it ended with exit status: 1: unknown keyword".to_owned()));
        let slow = run(&words(&["sleep", "60"]), Duration::from_millis(100)).await;
        assert_eq!(slow, Err("it took more than 100 ms and was killed".to_owned()));
        // A background process that still holds its standard error does not prolong the command.
        assert_eq!(run(&words(&["sh", "-c", "sleep 30 & exit 0"]), long).await, Ok(()));
        assert!(run(&words(&["/nowhere/program"]), long).await.is_err_and(|why| why.starts_with("it cannot be run")));
    }
}

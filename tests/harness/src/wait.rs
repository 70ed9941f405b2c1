//! Polls a value with a time limit: the only module in which tests let real time pass.

use anyhow::bail;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two polls.
const PAUSE: Duration = Duration::from_millis(50);

/// Polls until `look` returns a value, and returns that value.
///
/// # Errors
/// If `look` returned no value within `limit`; the text has `what` and the last error.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = match look().await {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if Instant::now() >= deadline {
            bail!("waited {:.1} s for {what}; last seen: {seen}", limit.as_secs_f64());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`until`] for tests: panics instead of returning an error.
///
/// # Panics
/// If `look` returned no value within `limit`.
pub async fn eventually<T>(what: &str, limit: Duration, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    match until(what, limit, look).await {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// Polls until `is_done` or until `limit` has passed, in code that cannot await: a destructor.
pub(crate) fn until_blocking(limit: Duration, mut is_done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_done() && Instant::now() < deadline {
        std::thread::park_timeout(PAUSE);
    }
}

/// Polls for the whole of `window`, and panics at the first error of `holds`: for effects that must not happen.
///
/// # Panics
/// If `holds` returns an error within `window`.
pub async fn throughout(what: &str, window: Duration, mut holds: impl AsyncFnMut() -> Result<(), String>) {
    let deadline = Instant::now() + window;
    while Instant::now() < deadline {
        if let Err(seen) = holds().await {
            panic!("{what} did not hold: {seen}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

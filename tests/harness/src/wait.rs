//! Polls on a value with a bound: the only place where tests let time pass.

use anyhow::bail;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until `look` gives a value, and returns it.
///
/// # Errors
/// When it gave none within `limit`: the text says what was waited for and what was seen last.
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

/// [`until`] for tests: panics where it fails.
///
/// # Panics
/// When `look` gave nothing within `limit`.
pub async fn eventually<T>(what: &str, limit: Duration, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    match until(what, limit, look).await {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// Looks again and again for the whole of `window` and panics at the first look that `holds` refuses: for
/// what must not happen.
///
/// # Panics
/// When a look fails within `window`.
pub async fn throughout(what: &str, window: Duration, mut holds: impl AsyncFnMut() -> Result<(), String>) {
    let deadline = Instant::now() + window;
    while Instant::now() < deadline {
        if let Err(seen) = holds().await {
            panic!("{what} did not hold: {seen}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

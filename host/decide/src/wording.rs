//! Counts, times and durations in the words of a reason.
//!
//! A reason names points in time rather than remaining durations, so that it stays the same from pass to pass.

use std::time::Duration;
use windlass_core::Timestamp;

/// `1 replica`, `2 replicas`.
pub(crate) fn replicas(count: usize) -> String {
    if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") }
}

/// The verb that follows [`replicas`].
pub(crate) fn is_or_are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// `1 restart`, `2 restarts in a row`.
pub(crate) fn restarts_in_a_row(count: u32) -> String {
    if count == 1 { "1 restart".to_owned() } else { format!("{count} restarts in a row") }
}

/// The time of day in UTC, `10:42:05Z`. Guardrails wait at most 1 h, so the date is obvious.
pub(crate) fn time_of_day(at: Timestamp) -> String {
    let date_and_time = at.to_rfc3339();
    date_and_time.split_once('T').map_or_else(|| date_and_time.clone(), |(_, time)| time.to_owned())
}

/// `5-minute`, `90-second`.
pub(crate) fn length_of(window: Duration) -> String {
    match window.as_secs() {
        seconds if seconds > 0 && seconds % 3_600 == 0 => format!("{}-hour", seconds / 3_600),
        seconds if seconds > 0 && seconds % 60 == 0 => format!("{}-minute", seconds / 60),
        seconds => format!("{seconds}-second"),
    }
}

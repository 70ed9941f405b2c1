//! Points in time and durations in the contract's unit: milliseconds.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A duration in milliseconds.
pub type DurationMs = u64;

/// Milliseconds since the Unix epoch, by the host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time from `earlier` to this; zero if `earlier` is later, because clocks step back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Formats for people: RFC 3339 in UTC, to the second.
    pub fn to_rfc3339(self) -> String {
        let seconds = i64::try_from(self.0 / 1_000).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        seconds.map_or_else(|| format!("{} ms", self.0), |at| at.to_string())
    }

    /// Formats for programs: RFC 3339 in UTC, to the millisecond.
    pub fn to_rfc3339_millis(self) -> String {
        let time = i64::try_from(self.0).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        time.map_or_else(|| format!("{} ms", self.0), |at| format!("{at:.3}"))
    }

    /// Parses RFC 3339, in any time zone. Digits beyond milliseconds are dropped. `None` for another text, and for a time
    /// before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(time.as_millisecond()).ok().map(Self)
    }

    /// This time plus `duration`, saturating.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This time minus `duration`, saturating.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock before 1970 is treated as 1970.
    fn from(time: SystemTime) -> Self {
        Self(millis(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A duration in whole milliseconds; saturates at `u64::MAX`.
pub fn millis(duration: Duration) -> DurationMs {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

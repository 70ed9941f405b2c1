//! A time on the command line: in RFC 3339, or as an age.

use crate::cli::sandbox_args::now;
use std::time::Duration;
use windlass_core::text::duration;
use windlass_core::time::millis;

/// A point in time, absolute or relative to now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Moment {
    At(jiff::Timestamp),
    Ago(Duration),
}

/// Reads a time or an age.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let at = text.parse().map(Moment::At).ok();
    at.or_else(|| duration(text).map(Moment::Ago).ok())
        .ok_or_else(|| "expected a time such as `2026-01-01T12:00:00Z`, or an age such as `10m`".to_owned())
}

impl Moment {
    /// Milliseconds since the Unix epoch. A time before it counts as its beginning.
    pub(super) fn since_epoch(self) -> u64 {
        match self {
            Self::At(at) => u64::try_from(at.as_millisecond()).unwrap_or_default(),
            Self::Ago(ago) => now().0.saturating_sub(millis(ago)),
        }
    }

    /// The text for a parameter of the API that accepts RFC 3339 and milliseconds.
    pub(super) fn parameter(self) -> String {
        match self {
            Self::At(at) => at.to_string(),
            Self::Ago(_) => self.since_epoch().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_an_age_are_read_and_nothing_else() {
        assert_eq!(moment("10m"), Ok(Moment::Ago(Duration::from_secs(600))));
        assert!(matches!(moment("2026-01-01T12:00:00Z"), Ok(Moment::At(_))));
        let error = moment("noon").expect_err("neither");
        assert_eq!(error, "expected a time such as `2026-01-01T12:00:00Z`, or an age such as `10m`");
    }

    #[test]
    fn a_time_stays_as_it_is_and_an_age_is_counted_from_now() {
        let at = moment("2026-01-01T12:00:00Z").expect("a time");
        assert_eq!((at.since_epoch(), at.parameter().as_str()), (1_767_268_800_000, "2026-01-01T12:00:00Z"));
        assert_eq!(moment("1960-01-01T00:00:00Z").expect("a time").since_epoch(), 0);
        let age: u64 = moment("10m").expect("an age").parameter().parse().expect("milliseconds");
        assert!(age > 1_700_000_000_000 && age <= now().0 - 600_000, "{age}");
    }
}

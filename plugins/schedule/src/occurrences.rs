//! The times of a cron expression in a time zone, in order, also where the clock changes.
//!
//! `croner` finds the minutes on the wall clock, as if the clock never changed. This module converts them to points in time:
//!
//! - A minute in a skipped hour happens at the first minute after it. Several such minutes share that time and keep the
//!   order of the wall clock. So a window that begins and ends in the skipped hour is empty.
//! - A minute in a repeated hour happens the first time.
//! - If the hour is `*`, the expression follows the clock instead: it skips and repeats minutes as the clock does.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff_0_2::civil::{Date, DateTime};
use jiff_0_2::tz::{AmbiguousOffset, TimeZone};
use jiff_0_2::{SignedDuration, Timestamp};

/// Two clock changes that are further apart than this cannot affect the same minute.
const LONGEST_CHANGE: SignedDuration = SignedDuration::from_hours(25);

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// One time of a cron expression. The order is that of time; at the same time, that of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// The time at which it happens.
    pub at: Timestamp,
    /// The minute that the expression names. In a skipped hour, the clock never shows it.
    pub named: DateTime,
}

impl Occurrence {
    /// The end of everything that happens at a time.
    pub fn end_of(at: Timestamp) -> Self {
        Self { at, named: DateTime::MAX }
    }
}

/// A parsed cron expression.
#[derive(Debug)]
pub struct Expression {
    cron: Cron,
    /// Whether the hour is `*`.
    is_hourly: bool,
}

impl Expression {
    /// Parses five cron fields. `field` is the path in the configuration, for error messages.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn parse(text: &str, field: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            format!(
                "{field} is `{text}`: {error}; expected minute, hour, day of month, month and day of week, such as \
                 `0 8 * * 1-5`"
            )
        })?;
        let is_hourly = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        let expression = Self { cron, is_hourly };
        // Every call would search for a date that never occurs.
        if expression.named_from(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).is_none() {
            return Err(format!("{field} is `{text}`, a date that never occurs; use an existing date"));
        }
        Ok(expression)
    }

    /// The first occurrence after another one.
    pub fn after(&self, zone: &TimeZone, after: Occurrence) -> Option<Occurrence> {
        // A repeated hour that begins soon contains minutes before the current one, and so does a skipped hour.
        let changes = zone.following(after.at).map(|change| change.timestamp());
        let near = changes.take_while(|change| change.duration_since(after.at) < LONGEST_CHANGE);
        let earliest = near.map(|change| zone.to_datetime(change)).chain([zone.to_datetime(after.at), after.named]);
        let mut named = self.named_from(earliest.min()?)?;
        let mut nearest: Option<Occurrence> = None;
        loop {
            let happens = self.happens(zone, named)?;
            nearest = happens.into_iter().flatten().filter(|one| *one > after).chain(nearest).min();
            // Later minutes do not happen before this one happens first.
            if nearest.is_some() && happens[0].is_some() && happens[0] >= nearest {
                return nearest;
            }
            named = self.named_from(named.checked_add(MINUTE).ok()?)?;
        }
    }

    /// The latest occurrence before another one that names a minute up to the end of a date.
    pub fn before(&self, zone: &TimeZone, before: Occurrence, up_to: Option<Date>) -> Option<Occurrence> {
        // A repeated hour that began recently contains minutes after the current one.
        let until = before.at.checked_add(MINUTE).ok()?;
        let changes = zone.preceding(until).map(|change| change.timestamp()).filter(|change| *change <= before.at);
        let near = changes.take_while(|change| before.at.duration_since(*change) < LONGEST_CHANGE);
        let shown = near.filter_map(|change| Some(zone.to_datetime(change.checked_sub(MINUTE).ok()?)));
        let latest = shown.chain([zone.to_datetime(before.at)]).max()?;
        let latest = up_to.map(|date| date.at(23, 59, 0, 0)).into_iter().chain([latest]).min()?;
        let mut named = self.named_until(latest)?;
        let mut nearest: Option<Occurrence> = None;
        loop {
            let happens = self.happens(zone, named)?;
            nearest = happens.into_iter().flatten().filter(|one| *one < before).chain(nearest).max();
            // Earlier minutes do not happen after this one happens last.
            let last = happens.into_iter().flatten().max();
            if last.is_some() && last <= nearest {
                return nearest;
            }
            named = self.named_until(named.checked_sub(MINUTE).ok()?)?;
        }
    }

    /// The first and the second time at which a named minute happens.
    fn happens(&self, zone: &TimeZone, named: DateTime) -> Option<[Option<Occurrence>; 2]> {
        let at = |at| Occurrence { at, named };
        Some(match zone.to_ambiguous_timestamp(named).offset() {
            AmbiguousOffset::Unambiguous { offset } => [Some(at(offset.to_timestamp(named).ok()?)), None],
            AmbiguousOffset::Fold { before, after } => {
                let second = self.is_hourly.then(|| after.to_timestamp(named)).transpose().ok()?;
                [Some(at(before.to_timestamp(named).ok()?)), second.map(at)]
            }
            AmbiguousOffset::Gap { .. } if self.is_hourly => [None, None],
            AmbiguousOffset::Gap { before, .. } => {
                let within = before.to_timestamp(named).ok()?.checked_add(MINUTE).ok()?;
                [Some(at(zone.preceding(within).next()?.timestamp())), None]
            }
        })
    }

    /// The first matching minute on the wall clock, from this one on.
    fn named_from(&self, from: DateTime) -> Option<DateTime> {
        let from = from.to_zoned(TimeZone::UTC).ok()?;
        Some(self.cron.find_next_occurrence(&from, true).ok()?.datetime())
    }

    /// The last matching minute on the wall clock, up to this one.
    fn named_until(&self, until: DateTime) -> Option<DateTime> {
        let until = until.to_zoned(TimeZone::UTC).ok()?;
        Some(self.cron.find_previous_occurrence(&until, true).ok()?.datetime())
    }
}

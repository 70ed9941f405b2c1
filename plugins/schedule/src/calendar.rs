//! The schedules that are active at a time, and their ends: cron expressions in a time zone, and holidays.

use crate::config::{Config, Entry, OnHolidays};
use crate::occurrences::{Expression, Occurrence};
use jiff_0_2::civil::Date;
use jiff_0_2::tz::TimeZone;
use jiff_0_2::{SignedDuration, Timestamp};

/// The number of past dates to search for a start. Only holidays can make an earlier date than the latest relevant; a
/// configuration has at most 400.
const MAX_LOOK_BACK: usize = 401;

/// All schedules, in a time zone.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    windows: Vec<Window>,
    holidays: Vec<Holiday>,
}

/// A holiday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holiday {
    /// A single date.
    Once(Date),
    /// Every year: (month, day).
    Yearly(i8, i8),
}

impl Holiday {
    /// Parses a date such as `2026-12-25`, or `12-25` for every year.
    pub fn parse(text: &str) -> Option<Self> {
        // 2024 is a leap year, so `02-29` is valid.
        let of_leap_year: Result<Date, _> = format!("2024-{text}").parse();
        match (text.parse(), of_leap_year) {
            (Ok(date), _) if text.len() == 10 => Some(Self::Once(date)),
            (_, Ok(date)) if text.len() == 5 => Some(Self::Yearly(date.month(), date.day())),
            _ => None,
        }
    }

    fn is(self, date: Date) -> bool {
        match self {
            Self::Once(day) => day == date,
            Self::Yearly(month, day) => (month, day) == (date.month(), date.day()),
        }
    }

    /// The latest one before a date.
    fn before(self, date: Date) -> Option<Date> {
        match self {
            Self::Once(day) => Some(day).filter(|day| *day < date),
            // A leap day may be eight years ago.
            Self::Yearly(month, day) => (0..=8)
                .filter_map(|ago| Date::new(date.year().checked_sub(ago)?, month, day).ok())
                .find(|day| *day < date),
        }
    }
}

/// One parsed schedule.
#[derive(Debug)]
pub struct Window {
    name: String,
    begin: Expression,
    end: End,
    min: Option<u32>,
    max: Option<u32>,
    on_holidays: OnHolidays,
}

#[derive(Debug)]
enum End {
    After(SignedDuration),
    At(Box<Expression>),
}

impl Window {
    /// Parses one schedule. `at` is its path in the configuration, for error messages.
    ///
    /// # Errors
    /// A sentence that names the invalid field.
    pub fn parse(entry: &Entry, at: &str) -> Result<Self, String> {
        let end = match (entry.duration_ms, &entry.until) {
            (Some(duration @ 60_000..=31_536_000_000), None) => {
                End::After(SignedDuration::from_millis(i64::try_from(duration).unwrap_or(i64::MAX)))
            }
            (Some(duration), None) => {
                return Err(format!("{at}.duration-ms` is {duration}; expected 60000 to 31536000000"));
            }
            (None, Some(until)) => End::At(Box::new(Expression::parse(until, &format!("{at}.until`"))?)),
            _ => return Err(format!("{at}`: expected exactly one of `duration-ms` and `until`")),
        };
        Ok(Self {
            name: entry.name.clone(),
            begin: Expression::parse(&entry.cron, &format!("{at}.cron`"))?,
            end,
            min: entry.min,
            max: entry.max,
            on_holidays: entry.on_holidays,
        })
    }
}

/// The bounds that apply at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Active {
    /// The highest minimum of the active schedules.
    pub min: Option<u32>,
    /// The highest maximum of the active schedules.
    pub max: Option<u32>,
    /// The name of each active schedule, with its end in local time.
    pub names: Vec<String>,
    /// Milliseconds until the next start or end.
    pub changes_after: Option<u64>,
}

impl Calendar {
    /// Checks a configuration and returns its calendar.
    ///
    /// # Errors
    /// A sentence that names the invalid field.
    pub fn of(config: &Config) -> Result<Self, String> {
        if !(1..=64).contains(&config.schedules.len()) {
            return Err(format!("`schedules` has {} entries; expected 1 to 64", config.schedules.len()));
        }
        let holiday = |(index, text): (usize, &String)| {
            Holiday::parse(text).ok_or_else(|| {
                format!(
                    "`holidays[{index}]` is `{text}`; expected a date such as `2026-12-25`, or `12-25` for every year"
                )
            })
        };
        let holidays = config.holidays.iter().enumerate().map(holiday).collect::<Result<_, _>>()?;
        let windows = config.schedules.iter().enumerate().map(|(index, entry)| {
            let at = format!("`schedules[{index}]");
            if entry.min.is_none() && entry.max.is_none() {
                return Err(format!("{at}`: expected `min`, `max` or both"));
            }
            if let (Some(min), Some(max)) = (entry.min, entry.max)
                && min > max
            {
                return Err(format!("{at}.min` is {min}, above its `max` ({max}); lower it or raise the maximum"));
            }
            Window::parse(entry, &at)
        });
        let windows = windows.collect::<Result<_, _>>()?;
        if let Some(inner) = &config.inner {
            inner.check().map_err(|why| format!("`inner.config`: {why}"))?;
        }
        Self::new(&config.timezone, windows, holidays)
    }

    /// Returns the calendar of some schedules.
    ///
    /// # Errors
    /// A sentence if the time zone does not exist.
    pub fn new(zone: &str, windows: Vec<Window>, holidays: Vec<Holiday>) -> Result<Self, String> {
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("`timezone` is `{zone}`; expected a name from the IANA time zone database, such as `Europe/Berlin` or `UTC`")
        })?;
        Ok(Self { zone, windows, holidays })
    }

    /// Returns the bounds at a time, in milliseconds since 1970.
    pub fn at(&self, now: u64) -> Active {
        let moment = i64::try_from(now).ok().and_then(|now| Timestamp::from_millisecond(now).ok());
        let Some(now) = moment else { return Active::default() };
        let mut active = Active::default();
        let mut edges: Vec<Timestamp> = Vec::new();
        for window in &self.windows {
            if let Some(end) = self.end(window, now) {
                active.min = active.min.max(window.min);
                active.max = active.max.max(window.max);
                let local = end.to_zoned(self.zone.clone());
                active.names.push(format!("`{}` (until {})", window.name, local.strftime("%Y-%m-%d %H:%M %Z")));
                edges.push(end);
            }
            edges.extend(window.begin.after(&self.zone, Occurrence::end_of(now)).map(|begin| begin.at));
        }
        let after = edges.into_iter().min().map(|next| next.as_millisecond() - now.as_millisecond());
        active.changes_after = after.and_then(|after| u64::try_from(after).ok());
        active
    }

    /// Returns the end of an active schedule. `None` if the schedule is not active.
    fn end(&self, window: &Window, now: Timestamp) -> Option<Timestamp> {
        let (mut before, mut up_to) = (Occurrence::end_of(now), None);
        for _ in 0..MAX_LOOK_BACK {
            let begin = window.begin.before(&self.zone, before, up_to)?;
            let end = match &window.end {
                End::After(duration) => begin.at.checked_add(*duration).ok()?,
                End::At(end) => end.after(&self.zone, begin)?.at,
            };
            // Earlier starts end no later. A window whose start and end a clock change puts on the same minute is empty.
            if end <= now {
                return None;
            }
            let date = begin.named.date();
            let is_holiday = self.holidays.iter().any(|holiday| holiday.is(date));
            let earlier = match (window.on_holidays, is_holiday) {
                (OnHolidays::Also, _) | (OnHolidays::Never, false) | (OnHolidays::Only, true) => return Some(end),
                (OnHolidays::Never, true) => date.yesterday().ok()?,
                (OnHolidays::Only, false) => self.holidays.iter().filter_map(|holiday| holiday.before(date)).max()?,
            };
            (before, up_to) = (begin, Some(earlier));
        }
        None
    }
}

#[cfg(test)]
mod oracle;

//! Which schedules hold at a time, and until when: cron expressions in a time zone, and holidays.
//!
//! What a clock that is put forward skips begins at the first minute after the gap; what it repeats begins once, unless the
//! hour is left open (`croner`, which follows the Open Cron Pattern Specification and Vixie cron).

use crate::config::{Config, Entry, OnHolidays};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff_0_2::civil::Date;
use jiff_0_2::tz::TimeZone;
use jiff_0_2::{Timestamp, Zoned};

/// Beginnings looked back at for one that holds: what began more often since is told by the latest.
const LOOKED_BACK: usize = 400;

/// Schedules in a time zone.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    windows: Vec<Window>,
    holidays: Vec<Holiday>,
}

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holiday {
    /// Once.
    Once(Date),
    /// Every year: (month, day).
    Yearly(i8, i8),
}

impl Holiday {
    /// A date as `2026-12-25`, or `12-25` of every year.
    pub fn parse(text: &str) -> Option<Self> {
        // 2024 has a 29th of February.
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
}

/// One schedule, ready to be looked up.
#[derive(Debug)]
pub struct Window {
    name: String,
    begin: Cron,
    end: End,
    min: Option<u32>,
    max: Option<u32>,
    on_holidays: OnHolidays,
}

#[derive(Debug)]
enum End {
    After(jiff_0_2::SignedDuration),
    At(Box<Cron>),
}

fn cron(text: &str, field: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| {
        format!(
            "{field} is `{text}`: {error}; expected minute, hour, day of month, month and day of week, as `0 8 * * 1-5`"
        )
    })?;
    // A pattern that never comes would be looked for in every call.
    let some_day = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    cron.find_next_occurrence(&some_day, true)
        .map_err(|_| format!("{field} is `{text}`, which is never; say a day that there is"))?;
    Ok(cron)
}

impl Window {
    /// One schedule; `at` is where it stands.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn parse(entry: &Entry, at: &str) -> Result<Self, String> {
        let end = match (entry.duration_ms, &entry.until) {
            (Some(duration @ 60_000..=31_536_000_000), None) => {
                End::After(jiff_0_2::SignedDuration::from_millis(i64::try_from(duration).unwrap_or(i64::MAX)))
            }
            (Some(duration), None) => {
                return Err(format!("{at}.duration-ms` is {duration}; expected 60000 to 31536000000"));
            }
            (None, Some(until)) => End::At(Box::new(cron(until, &format!("{at}.until`"))?)),
            _ => return Err(format!("{at}`: expected `duration-ms` or `until`, one of them")),
        };
        Ok(Self {
            name: entry.name.clone(),
            begin: cron(&entry.cron, &format!("{at}.cron`"))?,
            end,
            min: entry.min,
            max: entry.max,
            on_holidays: entry.on_holidays,
        })
    }
}

/// What holds at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holding {
    /// The fewest replicas: the highest of the schedules that hold.
    pub min: Option<u32>,
    /// The most replicas: the highest of the schedules that hold.
    pub max: Option<u32>,
    /// Each schedule that holds, with its end in local time.
    pub names: Vec<String>,
    /// Milliseconds to the next beginning or end.
    pub changes_after: Option<u64>,
}

impl Calendar {
    /// What a configuration says.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn of(config: &Config) -> Result<Self, String> {
        if !(1..=64).contains(&config.schedules.len()) {
            return Err(format!("`schedules` has {} entries; expected 1 to 64", config.schedules.len()));
        }
        let holiday = |(index, text): (usize, &String)| {
            Holiday::parse(text).ok_or_else(|| {
                format!("`holidays[{index}]` is `{text}`; expected a date as `2026-12-25`, or `12-25` of every year")
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
                return Err(format!("{at}.min` is {min}, above its `max` of {max}"));
            }
            Window::parse(entry, &at)
        });
        let windows = windows.collect::<Result<_, _>>()?;
        if let Some(inner) = &config.inner {
            inner.check().map_err(|why| format!("`inner.config`: {why}"))?;
        }
        Self::new(&config.timezone, windows, holidays)
    }

    /// Schedules in a time zone.
    ///
    /// # Errors
    /// When there is no such time zone.
    pub fn new(zone: &str, windows: Vec<Window>, holidays: Vec<Holiday>) -> Result<Self, String> {
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("`timezone` is `{zone}`; expected a name of the IANA database, as `Europe/Berlin` or `UTC`")
        })?;
        Ok(Self { zone, windows, holidays })
    }

    /// What holds at a time, in milliseconds since 1970.
    pub fn at(&self, now: u64) -> Holding {
        let moment = i64::try_from(now).ok().and_then(|now| Timestamp::from_millisecond(now).ok());
        let Some(now) = moment.map(|moment| moment.to_zoned(self.zone.clone())) else { return Holding::default() };
        let mut holding = Holding::default();
        let mut edges: Vec<Zoned> = Vec::new();
        for window in &self.windows {
            if let Some(end) = self.end(window, &now) {
                holding.min = holding.min.max(window.min);
                holding.max = holding.max.max(window.max);
                holding.names.push(format!("`{}` until {}", window.name, end.strftime("%Y-%m-%d %H:%M %Z")));
                edges.push(end);
            }
            edges.extend(window.begin.find_next_occurrence(&now, false).ok());
        }
        let next = edges.into_iter().filter(|edge| *edge > now).min();
        let after = next.map(|next| next.timestamp().as_millisecond() - now.timestamp().as_millisecond());
        holding.changes_after = after.and_then(|after| u64::try_from(after).ok());
        holding
    }

    /// When a schedule that holds ends; none: it does not hold.
    fn end(&self, window: &Window, now: &Zoned) -> Option<Zoned> {
        let mut from = now.clone();
        for attempt in 0..LOOKED_BACK {
            let begin = window.begin.find_previous_occurrence(&from, attempt == 0).ok()?;
            let end = match &window.end {
                End::After(duration) => begin.checked_add(*duration).ok()?,
                End::At(cron) => cron.find_next_occurrence(&begin, false).ok()?,
            };
            if end <= *now {
                return None;
            }
            let is_holiday = self.holidays.iter().any(|holiday| holiday.is(begin.date()));
            let begins = match window.on_holidays {
                OnHolidays::Also => true,
                OnHolidays::Never => !is_holiday,
                OnHolidays::Only => is_holiday,
            };
            if begins {
                return Some(end);
            }
            from = begin;
        }
        None
    }
}

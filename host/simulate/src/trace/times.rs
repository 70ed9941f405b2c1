//! Times as files have them: text with or without a time zone, dates, Unix time in any unit, and seconds since the start.

use crate::BEGINNING;
use jiff::civil::{Date, DateTime};
use windlass_core::Timestamp;

/// The forms of a time, for error messages.
const EXPECTED: &str = "expected a time such as `2026-01-31T13:00:00Z`, a date, Unix time, or seconds since the start";

/// Lowest Unix time of each unit, highest first, and the units in a millisecond. Numbers below the last one are seconds
/// since the start. As seconds, the ranges reach from 2001 to the year 5138.
const UNITS: [(f64, f64); 4] = [(1e17, 1e6), (1e14, 1e3), (1e11, 1.0), (1e9, 1e-3)];

/// Highest accepted time in milliseconds.
const MAX_MS: f64 = 1e15;

/// The form of the times in a column. The first time determines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Unix time; the index in [`UNITS`].
    Unix(usize),
    /// Seconds since the start.
    Seconds,
    /// Dates of eight digits: `20260131`.
    Digits,
    Text,
}

/// Reads a column of times.
#[derive(Debug, Default)]
pub(crate) struct Times {
    form: Option<Form>,
    /// The first time without a zone.
    without_zone: Option<String>,
}

impl Times {
    /// # Errors
    /// One sentence without the line number.
    pub(crate) fn read(&mut self, text: &str) -> Result<Timestamp, String> {
        let wrong = || format!("`{text}` is not a time; {EXPECTED}");
        let form = form(text);
        let first = *self.form.get_or_insert(form);
        let mixed = || {
            if is_time(text) {
                format!("`{text}` is not a time of the same form as those before it; write all in one form")
            } else {
                wrong()
            }
        };
        match (first, form) {
            (Form::Digits, _) => {
                self.note_zone(text);
                digits(text).ok_or_else(mixed)
            }
            // Seconds since the start may have eight digits later on.
            (Form::Seconds, Form::Seconds | Form::Digits) => number(text).and_then(since_start).ok_or_else(wrong),
            (Form::Unix(unit), Form::Unix(other)) if unit == other => {
                number(text).and_then(|number| milliseconds(number, unit)).ok_or_else(wrong)
            }
            (Form::Text, Form::Text) => self.text(text),
            _ => Err(mixed()),
        }
    }

    /// The assumption about the time zone, if one was necessary.
    pub(crate) fn note(&self) -> Option<String> {
        let text = self.without_zone.as_ref()?;
        Some(format!("times such as `{text}` have no time zone; they are read as UTC"))
    }

    fn note_zone(&mut self, text: &str) {
        self.without_zone.get_or_insert_with(|| text.to_owned());
    }

    fn text(&mut self, text: &str) -> Result<Timestamp, String> {
        if let Some(at) = with_zone(text) {
            return Ok(at);
        }
        if let Some(at) = without_zone(text) {
            self.note_zone(text);
            return Ok(at);
        }
        let is_day_or_month_first = matches!(text.find('/'), Some(1 | 2));
        Err(if is_day_or_month_first {
            format!("`{text}` does not say which part is the month; write the year first: `2026-01-31 13:00`")
        } else {
            format!("`{text}` is not a time; {EXPECTED}")
        })
    }
}

/// Returns true if text is a time of any form.
pub(crate) fn is_time(text: &str) -> bool {
    Times::default().read(text).is_ok()
}

/// Unix time as a number, in the unit that its size implies; numbers below 1e9 are seconds since the start.
pub(crate) fn unix(number: f64) -> Option<Timestamp> {
    match UNITS.iter().position(|(lowest, _)| number >= *lowest) {
        Some(unit) => milliseconds(number, unit),
        None => since_start(number),
    }
}

fn form(text: &str) -> Form {
    if text.len() == 8 && digits(text).is_some() {
        return Form::Digits;
    }
    let Some(number) = number(text) else { return Form::Text };
    UNITS.iter().position(|(lowest, _)| number >= *lowest).map_or(Form::Seconds, Form::Unix)
}

/// A number with a decimal point or a decimal comma.
fn number(text: &str) -> Option<f64> {
    text.replacen(',', ".", 1).parse().ok().filter(|number: &f64| number.is_finite())
}

fn since_start(seconds: f64) -> Option<Timestamp> {
    Some(Timestamp(BEGINNING.0 + whole(seconds * 1_000.0)?))
}

fn milliseconds(number: f64, unit: usize) -> Option<Timestamp> {
    whole(number / UNITS[unit].1).map(Timestamp)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn whole(milliseconds: f64) -> Option<u64> {
    (0.0..MAX_MS).contains(&milliseconds).then_some(milliseconds.round() as u64)
}

/// `20260131`, from 1970 to 2099.
fn digits(text: &str) -> Option<Timestamp> {
    let number: u32 = text.parse().ok().filter(|number| (19_700_101..21_000_000).contains(number))?;
    let part = |number: u32| i8::try_from(number % 100).ok();
    let date = Date::new(i16::try_from(number / 10_000).ok()?, part(number / 100)?, part(number)?).ok()?;
    in_utc(date.to_datetime(jiff::civil::Time::midnight()))
}

fn in_utc(time: DateTime) -> Option<Timestamp> {
    let at = jiff::tz::Offset::UTC.to_timestamp(time).ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}

/// RFC 3339, also with a space or without seconds; `… +0100`, `… UTC` and `… GMT` behind the time.
fn with_zone(text: &str) -> Option<Timestamp> {
    if let Some(at) = Timestamp::from_rfc3339(text) {
        return Some(at);
    }
    if let Some(rest) = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")) {
        return with_zone(rest).or_else(|| without_zone(rest));
    }
    let (time, offset) = text.rsplit_once(' ')?;
    if !offset.starts_with(['+', '-']) {
        return None;
    }
    Timestamp::from_rfc3339(&format!("{}{offset}", year_first(time)?))
}

fn without_zone(text: &str) -> Option<Timestamp> {
    in_utc(year_first(text)?.parse().ok()?)
}

/// `2026/01/31 13:00` and `31.01.2026 13:00` as `2026-01-31 13:00`. `None` if the order of the parts is not known.
fn year_first(text: &str) -> Option<String> {
    let (date, time) = text.find([' ', 'T']).map_or((text, ""), |at| text.split_at(at));
    let date = match date.split(['-', '/', '.']).collect::<Vec<_>>().as_slice() {
        [year, month, day] if year.len() == 4 => format!("{year}-{month:0>2}-{day:0>2}"),
        [day, month, year] if year.len() == 4 && date.contains('.') => format!("{year}-{month:0>2}-{day:0>2}"),
        _ => return None,
    };
    Some(format!("{date}{time}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_every_form_that_files_have() {
        let zoned = [
            "2026-01-01T00:00:00Z",
            "2026-01-01T01:00:00+01:00",
            "2026-01-01 01:00:00+0100",
            "2026-01-01 01:00:00 +0100",
            "2026-01-01 00:00:00 +0000 UTC",
            "2026-01-01 00:00 UTC",
            "2026/01/01 00:00:00 GMT",
            "1767225600",
            "1767225600.000",
            "1767225600,000",
            "1.7672256e9",
            "1767225600000",
            "1767225600000000",
            "1767225600000000000",
            "0",
        ];
        for text in zoned {
            let mut times = Times::default();
            assert_eq!((times.read(text), times.note()), (Ok(BEGINNING), None), "{text}");
        }
        let zoneless = [
            "2026-01-01",
            "2026-01-01 00:00",
            "2026-01-01T00:00:00.000",
            "2026-01-01 00:00:00,000",
            "2026/1/1 00:00:00",
            "01.01.2026",
            "1.1.2026 00:00",
            "20260101",
        ];
        for text in zoneless {
            let mut times = Times::default();
            assert_eq!(times.read(text), Ok(BEGINNING), "{text}");
            let note = times.note().expect("a note");
            assert_eq!(note, format!("times such as `{text}` have no time zone; they are read as UTC"));
        }
    }

    #[test]
    fn fractions_of_a_millisecond_are_rounded() {
        for text in ["1767225600.5", "1767225600500", "1767225600500000", "1767225600500000123", "0.5"] {
            assert_eq!(Times::default().read(text), Ok(Timestamp(BEGINNING.0 + 500)), "{text}");
        }
    }

    #[test]
    fn seconds_since_the_start_are_no_dates_when_they_grow_long() {
        let mut times = Times::default();
        let long = 20_260_101;
        assert_eq!(times.read("0"), Ok(BEGINNING));
        assert_eq!(times.read("20260101"), Ok(Timestamp(BEGINNING.0 + long * 1_000)));
        assert_eq!(times.note(), None);
    }

    #[test]
    fn a_time_that_is_none_is_rejected_with_the_right_form() {
        for (text, why) in [
            ("noon", "`noon` is not a time; expected a time such as `2026-01-31T13:00:00Z`"),
            ("-5", "`-5` is not a time; "),
            ("NaN", "`NaN` is not a time; "),
            ("2026-02-30", "`2026-02-30` is not a time; "),
            ("31/12/2026 13:00", "`31/12/2026 13:00` does not say which part is the month; write the year first"),
            ("1e30", "`1e30` is not a time; "),
        ] {
            let told = Times::default().read(text).expect_err("no time");
            assert!(told.starts_with(why), "{told}");
        }
        for (first, second) in [("0", "2026-01-01"), ("1767225600", "1767225600000"), ("20260101", "5")] {
            let mut times = Times::default();
            times.read(first).expect("a time");
            let told = times.read(second).expect_err("another form");
            let why = format!("`{second}` is not a time of the same form as those before it; write all in one form");
            assert_eq!(told, why);
        }
    }
}

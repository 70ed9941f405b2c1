//! Durations and times in JSON: written as text, and read as text or as a number.

use crate::json::pattern::{durations, times};
use crate::json::problems::Problems;
use crate::json::shape::{Shape, whole_number};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};
use windlass_core::Timestamp;
use windlass_core::text::{duration as parse_duration, show_duration};

/// A duration within a range, which `words` gives for a message: `1 s to 1 h`. It is text such as `15s`, or a number of
/// seconds. The end of the range is a whole number of a unit.
pub(crate) fn duration_within(range: RangeInclusive<Duration>, words: &'static str) -> Shape<Duration> {
    let schema = json!({
        "type": ["string", "number"], "pattern": durations(&range),
        "minimum": range.start().as_secs_f64(), "maximum": range.end().as_secs_f64(),
    });
    Shape::new(schema, move |value, pointer, problems: &mut Problems| {
        let read = match value {
            Value::Number(number) => number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            Value::String(text) => parse_duration(text).ok(),
            _ => None,
        };
        let Some(duration) = read else {
            let detail = "expected a length of time: a number of seconds, or text such as `500ms`, `5s` or `1m`";
            problems.add(pointer, detail);
            return None;
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        problems.add(pointer, format!("expected {words}"));
        None
    })
}

/// A duration as JSON: `"15s"`.
pub(crate) fn duration_json(duration: Duration) -> Value {
    json!(show_duration(duration))
}

/// A time: RFC 3339 text, or milliseconds since the Unix epoch.
pub(crate) fn time() -> Shape<Timestamp> {
    Shape::new(time_schema(), |value, pointer, problems: &mut Problems| {
        let read = match value {
            Value::Number(_) => whole_number(value).map(Timestamp),
            Value::String(text) => Timestamp::from_rfc3339(text),
            _ => None,
        };
        if read.is_none() {
            problems.add(pointer, format!("expected {TIME}"));
        }
        read
    })
}

/// The schema of a time.
pub(crate) fn time_schema() -> Value {
    json!({
        "type": ["string", "integer"], "format": "date-time", "pattern": times(), "minimum": 0,
        "maximum": LATEST_MS, "examples": ["2026-01-01T12:00:00Z"],
    })
}

/// The end of the year 9999, the last that RFC 3339 can express, in milliseconds since the Unix epoch.
const LATEST_MS: u64 = 253_402_300_799_999;

/// The words for a time in a message.
const TIME: &str = "a time such as `2026-01-01T12:00:00Z`, or milliseconds since the Unix epoch";

/// Parses a time in a query: RFC 3339, or milliseconds since the Unix epoch.
///
/// # Errors
/// The text is neither; the error is the message for the caller.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let milliseconds = text.parse().ok().map(Timestamp);
    milliseconds.or_else(|| Timestamp::from_rfc3339(text)).ok_or_else(|| format!("expected {TIME}"))
}

/// A time in an answer: RFC 3339 in UTC, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = i64::try_from(self.0.0).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        match time {
            Some(time) => serializer.collect_str(&time),
            // Later than the year 9999.
            None => serializer.serialize_u64(self.0.0),
        }
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let time = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339 in UTC, to the millisecond."));
        time.build().into()
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written_and_as_milliseconds() {
        let at = Timestamp(1_767_225_600_123);
        assert_eq!(json!(Time(at)), json!("2026-01-01T00:00:00.123Z"));
        for value in [json!(Time(at)), json!(at.0), json!("2026-01-01T01:00:00.123+01:00")] {
            assert_eq!(time().read(&value, "", &mut Problems::default()), Some(at), "{value}");
        }
        for value in [json!("noon"), json!("1969-12-31T00:00:00Z"), json!(-1), json!(null)] {
            assert_eq!(time().read(&value, "", &mut Problems::default()), None, "{value}");
        }
        assert_eq!(parse_time("2026-01-01T00:00:00.123Z"), Ok(at));
        assert_eq!(parse_time("1767225600123"), Ok(at));
    }

    #[test]
    fn a_duration_is_read_as_it_is_written_and_as_seconds() {
        let shape = duration_within(Duration::ZERO..=Duration::from_secs(3_600), "0 s to 1 h");
        let read = |value: &Value| shape.read(value, "", &mut Problems::default());
        for seconds in [0.0, 0.5, 15.0, 90.0, 3_600.0] {
            let length = Duration::from_secs_f64(seconds);
            assert_eq!(read(&duration_json(length)), Some(length));
            assert_eq!(read(&json!(seconds)), Some(length));
        }
    }
}

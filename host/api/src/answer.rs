//! Reads what is in an answer of the API, for a program that shows it to a person.

use serde_json::Value;
use std::time::Duration;
use windlass_core::text::show_duration;

/// The name by which a workload of the API is addressed: its image if it has no name.
pub fn title(view: &Value) -> &str {
    view["name"].as_str().or(view["image"].as_str()).unwrap_or_default()
}

/// A time of the API as RFC 3339: already in that form, or milliseconds since the Unix epoch.
pub fn time(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let at = value.as_i64().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// A duration of the API as text: already in that form, or in seconds.
pub fn span(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let duration = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.map(show_duration).unwrap_or_default()
}

/// The metrics of the whole workload that the scaling policy received.
pub fn workload_metrics(decision: &Value) -> impl Iterator<Item = &Value> {
    list(&decision["scaling"]["observation"]["metrics"]).iter().filter(|series| series["replica"].is_null())
}

/// The elements of a list. Empty if there is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A sentence as a part of another one: without its full stop.
pub fn clause(value: &Value) -> &str {
    value.as_str().unwrap_or_default().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_workload_is_named_by_its_name_or_its_image() {
        assert_eq!(title(&json!({"name": "shop-web", "image": "web:1"})), "shop-web");
        assert_eq!(title(&json!({"image": "web:1"})), "web:1");
    }

    #[test]
    fn times_and_durations_are_read_as_numbers_and_as_text() {
        assert_eq!(time(&json!(1_767_225_600_000_u64)), "2026-01-01T00:00:00Z");
        assert_eq!(time(&json!("2026-01-01T00:00:00Z")), "2026-01-01T00:00:00Z");
        assert_eq!((span(&json!(90.0)), span(&json!("90s"))), ("1m 30s".to_owned(), "90s".to_owned()));
        assert_eq!((time(&Value::Null), span(&Value::Null)), (String::new(), String::new()));
    }
}

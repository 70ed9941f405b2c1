//! Parts of a workload's view as text for people.

use serde_json::Value;
use windlass_api::answer::time;

/// The operator's overrides, in words; empty if there are none.
pub(super) fn overrides(overrides: &Value) -> Vec<String> {
    let flags =
        [("paused", "paused"), ("freeze_scale_up", "scale-out frozen"), ("freeze_scale_down", "scale-in frozen")];
    let mut active: Vec<String> =
        flags.iter().filter(|(field, _)| overrides[field] == true).map(|(_, words)| (*words).to_owned()).collect();
    if let Some(force) = overrides["force"].as_object() {
        active.push(format!("{} forced until {}", force["replicas"], time(&force["until"])));
    }
    active
}

/// The reasons of the alerts, each with its time.
pub(super) fn alerts(view: &Value) -> Vec<String> {
    let alerts = view["alerts"].as_array().into_iter().flatten();
    alerts
        .map(|alert| {
            let reason = alert["reason"].as_str().unwrap_or_default().trim_end_matches('.');
            format!("{reason} (since {})", time(&alert["since"]))
        })
        .collect()
}

/// The chosen policies of one kind: a choice, a list of them, or `default`.
pub(super) fn policies(chosen: &Value) -> String {
    let choice = |one: &Value| {
        let name = one["name"].as_str().unwrap_or_default();
        match &one["config"] {
            Value::Object(config) if !config.is_empty() => format!("{name} {}", one["config"]),
            _ => name.to_owned(),
        }
    };
    match chosen {
        Value::Null => "default".to_owned(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => list.iter().map(choice).collect::<Vec<_>>().join(", "),
        one => choice(one),
    }
}

/// A percentage with one digit after the point; empty without a value.
pub(super) fn percent(value: &Value) -> String {
    value.as_f64().map(|value| format!("{value:.1} %")).unwrap_or_default()
}

/// The age of a time of the API in its largest unit: `42s`, `5m`, `3h`, `12d`. Empty without a time.
pub(super) fn age(value: &Value, now: jiff::Timestamp) -> String {
    let Ok(at) = time(value).parse::<jiff::Timestamp>() else { return String::new() };
    let seconds = now.as_second().saturating_sub(at.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_age_has_one_unit() {
        let now = "2026-01-02T00:00:00Z".parse().expect("a time");
        for (at, text) in [
            ("2026-01-01T23:59:18Z", "42s"),
            ("2026-01-01T23:54:30Z", "5m"),
            ("2026-01-01T20:59:00Z", "3h"),
            ("2025-12-21T00:00:00Z", "12d"),
            ("2026-01-02T00:00:05Z", "0s"),
            ("", ""),
        ] {
            assert_eq!(age(&json!(at), now), text, "{at}");
        }
    }

    #[test]
    fn policies_are_named_with_their_settings() {
        assert_eq!(policies(&Value::Null), "default");
        assert_eq!(policies(&json!([])), "none");
        assert_eq!(policies(&json!({"name": "step", "config": {}})), "step");
        assert_eq!(policies(&json!([{"name": "a", "config": {"b": 1}}, {"name": "c"}])), r#"a {"b":1}, c"#);
    }

    #[test]
    fn overrides_are_words() {
        assert_eq!(overrides(&json!({"paused": false, "force": null})), Vec::<String>::new());
        let force = json!({"replicas": 4, "until": "2026-01-01T00:00:00Z"});
        let all = json!({"paused": true, "freeze_scale_up": true, "freeze_scale_down": true, "force": force});
        let words = ["paused", "scale-out frozen", "scale-in frozen", "4 forced until 2026-01-01T00:00:00Z"];
        assert_eq!(overrides(&all), words);
    }
}

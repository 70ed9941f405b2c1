//! Numbers and codes in words: times, ages, sizes, and the rules that hold a count.

use std::time::Duration;
use windlass_core::{AlertKind, HeldBy, Timestamp};

/// An age in its largest unit: `12 s`, `5 min`, `3 h`, `2 d`.
pub(crate) fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A time of day in UTC, with the date if `now` is another day: `14:03:20`, `2026-01-02 14:03:20`.
pub(crate) fn time(at: Timestamp, now: Timestamp) -> String {
    const DAY: u64 = 86_400_000;
    let text = at.to_rfc3339();
    let Some((date, time)) = text.trim_end_matches('Z').split_once('T') else { return text };
    if at.0 / DAY == now.0 / DAY { time.to_owned() } else { format!("{date} {time}") }
}

/// Bytes with three digits: `12.3 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{} {unit}", number(bytes as f64 / (1_u64 << shift) as f64)),
        None => format!("{bytes} B"),
    }
}

/// A number with about three digits, without zeros at its end: `1234`, `12.3`, `0.5`, `0.0123`.
pub(crate) fn number(value: f64) -> String {
    let places = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        _ => 5,
    };
    let text = format!("{value:.places$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The rule that holds a count, in a word or two.
pub(crate) fn held_by(rule: HeldBy) -> &'static str {
    match rule {
        HeldBy::Stopped => "stopped",
        HeldBy::Force => "forced count",
        HeldBy::Pause => "pause",
        HeldBy::FreezeUp => "freeze of scale-out",
        HeldBy::FreezeDown => "freeze of scale-in",
        HeldBy::StoppedOutside => "stopped outside",
        HeldBy::Dependency => "dependency",
        HeldBy::Unavailable => "no answer",
        HeldBy::Metrics => "missing metric",
        HeldBy::StillToCome => "starting replicas",
        HeldBy::Rollout => "rollout",
        HeldBy::Update => "update",
        HeldBy::NoRoom => "no room",
        HeldBy::Window => "window",
        HeldBy::Cooldown => "cooldown",
        HeldBy::Rate => "rate",
        HeldBy::Disabled => "disabled direction",
        HeldBy::Grace => "grace",
        HeldBy::Bounds => "bounds",
        HeldBy::Uncopyable => "no copy possible",
    }
}

/// The kind of an alert in words.
pub(crate) fn alert(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::GivenUp => "given up",
        AlertKind::ProbePath => "probe path",
        AlertKind::Blocked => "blocked",
        AlertKind::Unremovable => "unremovable",
        AlertKind::Unknown => "unknown",
        AlertKind::CrashLoop => "crash loop",
        AlertKind::NoRoom => "no room",
        AlertKind::Unhealthy => "unhealthy",
        AlertKind::RolloutPaused => "rollout paused",
        AlertKind::Outdated => "outdated",
        AlertKind::Uncopyable => "no copy possible",
        AlertKind::StandIn => "stand-in policy",
    }
}

/// A number with its noun: `1 replica`, `2 replicas`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_largest_unit() {
        let cases = [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (7_200, "2 h"), (172_800, "2 d")];
        for (seconds, text) in cases {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_time_has_its_date_on_another_day() {
        let at = Timestamp(1_767_362_600_123);
        assert_eq!(time(at, Timestamp(1_767_362_700_000)), "14:03:20");
        assert_eq!(time(at, Timestamp(1_767_449_000_000)), "2026-01-02 14:03:20");
    }

    #[test]
    fn numbers_have_about_three_digits() {
        let cases = [(0.0, "0"), (1_234.5, "1234"), (12.34, "12.3"), (2.0, "2"), (0.5, "0.5"), (0.012_34, "0.01234")];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(number(100.0), "100");
        assert_eq!(number(-0.000_000_1), "0");
        assert_eq!([bytes(0), bytes(1_023), bytes(1_536), bytes(64 << 20)], ["0 B", "1023 B", "1.5 KiB", "64 MiB"]);
        assert_eq!([count(1, "replica"), count(0, "replica")], ["1 replica", "0 replicas"]);
    }
}

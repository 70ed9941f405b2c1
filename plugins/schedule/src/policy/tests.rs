//! The rule at different times.

use super::*;
use windlass_policy_common::fixtures::{check_page, failed, observation, series};
use windlass_policy_common::parse;

const OFFICE: &str = r#"{
    "timezone": "Europe/Berlin",
    "holidays": ["12-25", "2026-05-01"],
    "schedules": [
        {"name": "office", "cron": "0 8 * * 1-5", "until": "0 18 * * 1-5", "min": 4, "on-holidays": "never"},
        {"name": "night", "cron": "0 22 * * *", "duration-ms": 28800000, "max": 2},
        {"name": "christmas", "cron": "0 0 * * *", "duration-ms": 86400000, "min": 9, "on-holidays": "only"}
    ]
}"#;

fn at(time: &str) -> u64 {
    let time: jiff_0_2::Timestamp = time.parse().expect("a time");
    u64::try_from(time.as_millisecond()).expect("after 1970")
}

fn decided(config: &str, time: &str, current: u32) -> Decision {
    let config = parse::<Schedule>(config).expect("a configuration");
    Schedule::decide(&config, &Observation { now: at(time), ..observation(current) }).expect("an answer")
}

#[test]
fn schedules_bound_the_count_in_their_time_zone() {
    for (time, current, expected) in [
        // Berlin is an hour ahead in winter: 8:00 there is 7:00 UTC.
        ("2026-01-07T06:59:59Z", 1, 1),
        ("2026-01-07T07:00:00Z", 1, 4),
        ("2026-01-07T16:59:59Z", 1, 4),
        ("2026-01-07T17:00:00Z", 1, 1),
        // In summer Berlin is two hours ahead.
        ("2026-07-08T06:00:00Z", 1, 4),
        ("2026-07-08T05:59:59Z", 1, 1),
        // A Saturday.
        ("2026-01-10T10:00:00Z", 1, 1),
        // The schedule crosses midnight.
        ("2026-01-10T21:00:00Z", 7, 2),
        ("2026-01-11T04:59:59Z", 7, 2),
        ("2026-01-11T05:00:00Z", 7, 7),
        // Holidays of every year, and of a single year.
        ("2026-12-25T12:00:00Z", 1, 9),
        ("2027-12-25T12:00:00Z", 1, 9),
        ("2026-05-01T12:00:00Z", 1, 9),
        ("2028-05-01T12:00:00Z", 1, 4),
        // The minimum of the holiday takes precedence over the maximum of the night.
        ("2026-12-25T22:00:00Z", 1, 9),
    ] {
        assert_eq!(decided(OFFICE, time, current).replicas, expected, "{time}");
    }
}

#[test]
fn where_schedules_overlap_the_highest_of_each_holds() {
    let always = |name: &str, bounds: &str| {
        format!(r#"{{"name": "{name}", "cron": "0 0 * * *", "duration-ms": 86400000, {bounds}}}"#)
    };
    let of = |entries: &[String]| format!(r#"{{"schedules": [{}]}}"#, entries.join(","));
    let two = of(&[always("a", r#""min": 2, "max": 4"#), always("b", r#""min": 3, "max": 7"#)]);
    for (current, expected) in [(1, 3), (5, 5), (9, 7)] {
        assert_eq!(decided(&two, "2026-01-07T12:00:00Z", current).replicas, expected, "{current}");
    }
    let turned = of(&[always("b", r#""min": 3, "max": 7"#), always("a", r#""min": 2, "max": 4"#)]);
    assert_eq!(decided(&turned, "2026-01-07T12:00:00Z", 9).replicas, 7);
    // A schedule without a maximum does not lift another schedule's maximum.
    let open = of(&[always("a", r#""max": 4"#), always("b", r#""min": 1"#)]);
    assert_eq!(decided(&open, "2026-01-07T12:00:00Z", 9).replicas, 4);
}

#[test]
fn it_says_which_holds_until_when_and_when_to_ask_again() {
    let decision = decided(OFFICE, "2026-01-07T16:59:00Z", 1);
    assert_eq!(decision.reason, "`office` (until 2026-01-07 18:00 CET) requires at least 4; the count is 1");
    assert_eq!(decision.evaluate_after, Some(60_000));
    let decision = decided(OFFICE, "2026-01-10T10:00:00Z", 3);
    let (reason, evaluate_after) = (decision.reason.as_str(), decision.evaluate_after);
    assert_eq!((reason, evaluate_after), ("the count is 3; no schedule is active", Some(3_600_000)));
}

#[test]
fn clocks_that_are_put_forward_and_back_lose_nothing() {
    let of = |zone: &str, cron: &str| {
        format!(
            r#"{{"timezone": "{zone}", "schedules": [{{"name": "a", "cron": "{cron}", "duration-ms": 3600000, "min": 5}}]}}"#
        )
    };
    // 2:30 does not exist on 2026-03-29 in Berlin: the schedule starts at 3:00, which is 1:00 UTC.
    let spring = of("Europe/Berlin", "30 2 * * *");
    assert_eq!(decided(&spring, "2026-03-29T00:59:00Z", 1).replicas, 1);
    assert_eq!(decided(&spring, "2026-03-29T01:05:00Z", 1).replicas, 5);
    assert_eq!(decided(&spring, "2026-03-29T02:00:00Z", 1).replicas, 1);
    // 2:30 occurs twice on 2026-10-25; the schedule lasts one hour.
    assert_eq!(decided(&spring, "2026-10-25T00:30:00Z", 1).replicas, 5);
    // It starts at the first of them, 0:30 UTC, not at the second, 1:30 UTC.
    assert_eq!(decided(&spring, "2026-10-25T01:29:59Z", 1).replicas, 5);
    assert_eq!(decided(&spring, "2026-10-25T01:45:00Z", 1).replicas, 1);
    assert_eq!(decided(&spring, "2026-10-25T02:30:00Z", 1).replicas, 1);
    // With `*` as the hour, the schedule starts in both hours.
    let open = of("Europe/Berlin", "30 * * * *").replace("3600000", "600000");
    for (time, expected) in [("00:35", 5), ("00:45", 1), ("01:35", 5), ("01:45", 1), ("02:35", 5)] {
        assert_eq!(decided(&open, &format!("2026-10-25T{time}:00Z"), 1).replicas, expected, "{time}");
    }
    // An end in the skipped hour happens after it, at 3:00, which is 1:00 UTC.
    let until = of("Europe/Berlin", "0 1 * * *").replace(r#""duration-ms": 3600000"#, r#""until": "30 2 * * *""#);
    assert_eq!(decided(&until, "2026-03-29T00:59:59Z", 1).replicas, 5);
    assert_eq!(decided(&until, "2026-03-29T01:00:00Z", 1).replicas, 1);
    // A time zone with an offset of half an hour.
    let india = of("Asia/Kolkata", "0 9 * * *");
    assert_eq!(decided(&india, "2026-01-07T03:29:59Z", 1).replicas, 1);
    assert_eq!(decided(&india, "2026-01-07T03:30:00Z", 1).replicas, 5);
}

#[test]
fn a_window_whose_begin_and_end_a_clock_change_puts_on_the_same_minute_is_empty() {
    let of = |zone: &str, cron: &str, until: &str| {
        format!(
            r#"{{"timezone": "{zone}", "schedules": [{{"name": "a", "cron": "{cron}", "until": "{until}", "min": 5}}]}}"#
        )
    };
    for (zone, cron, until, time) in [
        // On 2026-03-29 the clock in Berlin goes from 2:00 to 3:00, which is 1:00 UTC.
        ("Europe/Berlin", "0 2 * * 0", "0 3 * * 0", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "15 2 * * *", "45 2 * * *", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "0 2,14 * * *", "0 3,15 * * *", "2026-03-29T01:00:00Z"),
        // On 2026-10-04 the clock on Lord Howe goes from 2:00 to 2:30.
        ("Australia/Lord_Howe", "0 2 * * 0", "15 2 * * 0", "2026-10-03T15:30:00Z"),
        // On 2026-03-29 the clock in Beirut goes from 0:00 to 1:00.
        ("Asia/Beirut", "0 0 * * *", "0 1 * * *", "2026-03-28T22:00:00Z"),
    ] {
        let config = of(zone, cron, until);
        for later in [0, 1, 60, 600] {
            let config = parse::<Schedule>(&config).expect("a configuration");
            let now = at(time) + later * 60_000;
            let decision = Schedule::decide(&config, &Observation { now, ..observation(1) }).expect("an answer");
            assert_eq!(decision.replicas, 1, "{zone} {cron} until {until}, {later} min later: {}", decision.reason);
        }
    }
    // A window that lasts a day, because its begin is its end, does so on that day, too.
    let always = of("Europe/Berlin", "30 2 * * *", "30 2 * * *");
    for time in ["2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z", "2026-03-29T12:00:00Z", "2026-10-25T01:00:00Z"] {
        assert_eq!(decided(&always, time, 1).replicas, 5, "{time}");
    }
    // A start in a list of hours is not lost, nor is one before midnight that the clock moves to another weekday.
    let twice = of("Europe/Berlin", "0 2,14 * * *", "0 4,16 * * *");
    assert_eq!(decided(&twice, "2026-03-29T01:30:00Z", 1).replicas, 5);
    let saturday = of("America/Nuuk", "30 23 * * 6", "0 6 * * 0");
    assert_eq!(decided(&saturday, "2026-03-29T03:00:00Z", 1).replicas, 5);
}

#[test]
fn a_window_from_the_day_before_a_long_holiday_lasts() {
    let config = r#"{
        "holidays": ["2026-01-06", "2026-01-07"],
        "schedules": [{"name": "a", "cron": "* * * * *", "duration-ms": 172800000, "min": 5, "on-holidays": "never"}]
    }"#;
    assert_eq!(decided(config, "2026-01-07T23:58:00Z", 1).replicas, 5);
    assert_eq!(decided(config, "2026-01-07T23:59:00Z", 1).replicas, 1);
}

#[test]
fn a_metric_decides_within_the_bounds() {
    let config = r#"{
        "schedules": [{"name": "day", "cron": "0 8 * * *", "duration-ms": 36000000, "min": 3, "max": 6}],
        "inner": {"name": "target-tracking", "config": {"metrics": [{"name": "requests", "target": 10, "kind": "total"}]}}
    }"#;
    let config = parse::<Schedule>(config).expect("a configuration");
    let names: Vec<String> = Schedule::metrics(&config).into_iter().map(|request| request.name).collect();
    assert_eq!(names, ["requests", "ready-replicas"], "a metric that always has a value is requested, too");
    let decided = |time: &str, metric| {
        let input = Observation { now: at(time), metrics: vec![metric], ..observation(4) };
        Schedule::decide(&config, &input).expect("an answer").replicas
    };
    for (value, by_day, by_night) in [(50.0, 5, 5), (10.0, 3, 1), (200.0, 6, 20)] {
        assert_eq!(decided("2026-01-07T12:00:00Z", series("requests", &[value])), by_day, "{value}");
        assert_eq!(decided("2026-01-07T20:00:00Z", series("requests", &[value])), by_night, "{value}");
    }
    assert_eq!(decided("2026-01-07T12:00:00Z", failed("requests", "stale: old")), 4);
}

#[test]
fn whatever_goes_by_a_metric_decides_within_and_keeps_what_it_remembers() {
    let around = |inner: &str| {
        let day = r#"{"name": "day", "cron": "0 8 * * *", "duration-ms": 36000000, "min": 3, "max": 8}"#;
        parse::<Schedule>(&format!(r#"{{"schedules": [{day}], "inner": {inner}}}"#)).expect("a configuration")
    };
    let step = around(r#"{"name": "step", "config": {"metric": "load", "bands": [{"from": 80, "change": 2}]}}"#);
    let names: Vec<String> = Schedule::metrics(&step).into_iter().map(|request| request.name).collect();
    assert_eq!(names, ["load", "ready-replicas"]);
    let noon = at("2026-01-07T12:00:00Z");
    let (mut current, mut memory) = (4, Vec::new());
    let counts = [(0, Some(90.0)), (15, Some(90.0)), (30, None), (45, Some(90.0)), (60, Some(90.0)), (120, Some(90.0))];
    let counts = counts.map(|(seconds, value)| {
        let load = value.map_or_else(|| failed("load", "stale: old"), |value| series("load", &[value]));
        let input = Observation {
            now: noon + seconds * 1_000,
            metrics: vec![load],
            memory: std::mem::take(&mut memory),
            ..observation(current)
        };
        let decision = Schedule::decide(&step, &input).expect("an answer");
        (current, memory) = (decision.replicas, decision.memory);
        current
    });
    // There is one step per minute, even if the metric has no value in between, and the maximum of the day applies.
    assert_eq!(counts, [6, 6, 6, 6, 8, 8]);

    let pass_through = around(r#"{"name": "pass-through", "config": {"metric": "workers"}}"#);
    let counts = [1.0, 5.0, 50.0].map(|value| {
        let input = Observation { now: noon, metrics: vec![series("workers", &[value])], ..observation(4) };
        Schedule::decide(&pass_through, &input).expect("an answer").replicas
    });
    assert_eq!(counts, [3, 5, 8]);
}

#[test]
fn a_refusal_names_the_field() {
    let one = |entry: &str| format!(r#"{{"schedules": [{{"name": "a", {entry}}}]}}"#);
    for (text, expected) in [
        (one(r#""cron": "0 8 * *", "duration-ms": 60000, "min": 1"#), "`schedules[0].cron` is `0 8 * *`: "),
        (
            one(r#""cron": "0 0 30 2 *", "duration-ms": 60000, "min": 1"#),
            "`schedules[0].cron` is `0 0 30 2 *`, a date that never occurs",
        ),
        (one(r#""cron": "0 0 0 8 * *", "duration-ms": 60000, "min": 1"#), "`schedules[0].cron` is `0 0 0 8 * *`: "),
        (one(r#""cron": "0 8 * * *", "min": 1"#), "`schedules[0]`: expected exactly one of `duration-ms` and `until`"),
        (one(r#""cron": "0 8 * * *", "duration-ms": 5, "min": 1"#), "`schedules[0].duration-ms` is 5; expected"),
        (one(r#""cron": "0 8 * * *", "until": "x", "min": 1"#), "`schedules[0].until` is `x`: "),
        (one(r#""cron": "0 8 * * *", "duration-ms": 60000"#), "`schedules[0]`: expected `min`, `max` or both"),
        (
            one(r#""cron": "0 8 * * *", "duration-ms": 60000, "min": 3, "max": 2"#),
            "`schedules[0].min` is 3, above its `max` (2); lower it or raise the maximum",
        ),
        (r#"{"schedules": []}"#.to_owned(), "`schedules` has 0 entries"),
        (
            OFFICE.replace("Europe/Berlin", "Europe/Atlantis"),
            "`timezone` is `Europe/Atlantis`; expected a name from the IANA time zone database",
        ),
        (OFFICE.replace("12-25", "13-25"), "`holidays[0]` is `13-25`; expected a date"),
        (
            OFFICE.replace(
                r#""holidays""#,
                r#""inner": {"name": "target-tracking", "config": {"metrics": []}}, "holidays""#,
            ),
            "`inner.config`: `metrics` has 0 entries; expected 1 to 8",
        ),
        (
            OFFICE.replace(r#""holidays""#, r#""inner": {"name": "liveness", "config": {}}, "holidays""#),
            "`inner.name`: ",
        ),
    ] {
        let error = parse::<Schedule>(&text).err().unwrap_or_default();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn the_page_tells_the_truth() {
    check_page::<Schedule>(include_str!("../../README.md"));
}

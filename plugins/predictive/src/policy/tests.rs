//! The rule with synthetic days and weeks.

use super::*;
use crate::forecast::{DAY, WEEK};
use windlass_policy_common::bindings::windlass::policy::types::{Sample, Series};
use windlass_policy_common::fixtures::{NOW, check_page, failed, observation, series};
use windlass_policy_common::parse;

const MINUTE: u64 = 60_000;
const DAILY: &str = r#"{"metric": "requests", "target": 80, "look-ahead-ms": 600000}"#;
const BOTH: &str = r#"{"metric": "requests", "target": 80, "look-ahead-ms": 600000, "seasons": ["daily", "weekly"]}"#;

/// A synthetic load: 100 at night and 900 from 8 to 18 UTC, with a rise over the hour before. On days 2 and 3 of a week that
/// starts on a Thursday it is less than half of that. A reproducible noise of a few percent is added.
fn load(at: u64, weekend: bool) -> f64 {
    let hour = (at % DAY) as f64 / 3_600_000.0;
    let busy = (hour - 7.0).clamp(0.0, 1.0) - (hour - 18.0).clamp(0.0, 1.0);
    let is_weekend = weekend && matches!(at / DAY % 7, 2 | 3);
    let noise = ((at / MINUTE).wrapping_mul(2_654_435_761) % 1_000) as f64 / 1_000.0 - 0.5;
    (100.0 + 800.0 * busy) * if is_weekend { 0.4 } else { 1.0 } * (1.0 + noise * 0.06)
}

/// The metric every 5 minutes for a number of days until `now`.
fn history(days: f64, now: u64, load: impl Fn(u64) -> f64) -> Series {
    let count = (days * 288.0) as u64;
    let at = |back: u64| now - now % (5 * MINUTE) - back * 5 * MINUTE;
    let samples = (0..=count).rev().map(|back| Sample { at: at(back), value: load(at(back)) });
    Series { samples: samples.collect(), ..series("requests", &[]) }
}

fn decided(config: &str, now: u64, current: u32, metric: Series) -> Decision {
    let config = parse::<Predictive>(config).expect("a configuration");
    Predictive::decide(&config, &Observation { now, metrics: vec![metric], ..observation(current) }).expect("an answer")
}

/// A time of day on a Wednesday, 20 days after the start.
fn at(hour: u64, minute: u64) -> u64 {
    NOW + 20 * DAY + (hour * 60 + minute) * MINUTE
}

#[test]
fn what_comes_each_day_is_there_before_it_comes() {
    let decide_at = |hour, minute, current| {
        let now = at(hour, minute);
        decided(DAILY, now, current, history(7.0, now, |at| load(at, false)))
    };
    // The load is 500, which 7 replicas can serve; at 7:40 it will be 633.
    let decision = decide_at(7, 30, 7);
    assert_eq!(decision.replicas, 8, "{}", decision.reason);
    assert!(
        decision.reason.starts_with("`requests` is forecast to reach 6")
            && decision.reason.contains(" %) at 07:40 UTC, "),
        "{}",
        decision.reason
    );
    assert!(decision.reason.contains(", which calls for 8; now: `requests` is at "), "{}", decision.reason);
    // The proposal is never below the current need, and falls when both are lower.
    let decision = decide_at(18, 0, 12);
    assert!((11..=12).contains(&decision.replicas), "{} {}", decision.replicas, decision.reason);
    let decision = decide_at(23, 0, 12);
    assert_eq!(decision.replicas, 2, "{}", decision.reason);
    assert!(decision.reason.ends_with(" UTC, which does not call for more"), "{}", decision.reason);
    // The result is reproducible.
    assert_eq!(decide_at(7, 42, 7).reason, decide_at(7, 42, 7).reason);
}

#[test]
fn a_longer_look_ahead_sees_more_and_a_busier_day_is_forecast_busier() {
    let config = |look_ahead: u64| format!(r#"{{"metric": "requests", "target": 80, "look-ahead-ms": {look_ahead}}}"#);
    let now = at(7, 0);
    let counts = [0, 900_000, 3_600_000]
        .map(|look_ahead| decided(&config(look_ahead), now, 2, history(7.0, now, |at| load(at, false))).replicas);
    assert!(counts[0] < counts[1] && counts[1] < counts[2] && counts[2] >= 11, "{counts:?}");
    // For four hours the load has been 300 higher than ever.
    let risen = |when: u64| load(when, false) + if when > now - 4 * 60 * MINUTE { 300.0 } else { 0.0 };
    let decision = decided(&config(3_600_000), now, 2, history(7.0, now, risen));
    assert!((14..=16).contains(&decision.replicas), "{} {}", decision.replicas, decision.reason);
}

#[test]
fn a_week_has_its_weekend() {
    // Saturday at 7:55, shortly before the busy hours of a weekday.
    let now = NOW + 23 * DAY + (7 * 60 + 55) * MINUTE;
    assert_eq!(now / DAY % 7, 2);
    let with_weekend = |days| history(days, now, |at| load(at, true));
    let weekly = decided(BOTH, now, 5, with_weekend(21.0));
    assert!(
        weekly.replicas <= 6 && weekly.reason.contains("is forecast to reach"),
        "{} {}",
        weekly.replicas,
        weekly.reason
    );
    // A history of one week contains only the daily season, which forecasts far too much.
    let daily = decided(DAILY, now, 5, with_weekend(7.0));
    assert!(daily.replicas > weekly.replicas, "{} {}", daily.replicas, daily.reason);
    // Until there are two weeks and a day of history, the daily season is used.
    let young = decided(BOTH, at(7, 30), 7, history(6.0, at(7, 30), |at| load(at, false)));
    assert_eq!(young.replicas, 8, "{}", young.reason);
}

#[test]
fn without_a_forecast_the_inner_rule_decides_and_says_why() {
    let now = at(7, 30);
    let reason = |metric: Series| decided(DAILY, now, 7, metric).reason;
    let text = reason(history(2.5, now, |at| load(at, false)));
    assert!(text.ends_with("; no forecast: the history covers 2.5 days, and 3 are required"), "{text}");
    let chance = |at: u64| (at / MINUTE).wrapping_mul(2_654_435_761) as f64 % 1_000.0;
    let text = reason(history(7.0, now, chance));
    assert!(
        text.contains("; no forecast: its error over the last day was ")
            && text.ends_with(" %, above the limit of 25 %"),
        "{text}"
    );
    let mut holes = history(7.0, now, |at| load(at, false));
    holes.samples.retain(|sample| sample.at % DAY > 8 * 60 * MINUTE || sample.at > now - 10 * MINUTE);
    let text = reason(holes);
    assert!(
        text.contains("; no forecast: 3") && text.ends_with(" % of the values are missing, above the limit of 20 %"),
        "{text}"
    );
    let text = reason(history(7.0, now, |_| 0.0));
    assert!(text.ends_with("; no forecast: the last day has no value above 0"), "{text}");
}

#[test]
fn gaps_are_filled_from_the_day_before_and_an_outage_now_raises_all_the_same() {
    let now = at(7, 30);
    let mut holes = history(7.0, now, |at| load(at, false));
    holes.samples.retain(|sample| sample.at / DAY != now / DAY - 2 || sample.at % DAY > DAY / 2);
    assert_eq!(decided(DAILY, now, 7, holes).replicas, 8);
    // A gap that ends now is filled from the day before, too, and does not count as 0.
    let mut fresh = history(7.0, now, |at| load(at, false));
    let whole = decided(DAILY, now, 1, fresh.clone()).replicas;
    let newest = fresh.samples.pop().expect("a value of now");
    fresh.samples.retain(|sample| sample.at < now - DAY / 8);
    fresh.samples.push(newest);
    assert_eq!(decided(DAILY, now, 1, fresh).replicas, whole);
    let mut stale = history(7.0, now, |at| load(at, false));
    stale.failure = Some("stale: old".to_owned());
    let decision = decided(DAILY, now, 3, stale);
    assert!(
        decision.replicas >= 7
            && decision.reason.ends_with("now: the count stays at 3 because `requests` has no value (stale: old)"),
        "{}",
        decision.reason
    );
    // Without any value there is no result.
    let config = parse::<Predictive>(DAILY).expect("a configuration");
    let nothing = Observation { metrics: vec![failed("requests", "missing: none")], ..observation(3) };
    assert!(matches!(Predictive::decide(&config, &nothing), Err(PolicyError::InsufficientData(_))));
}

#[test]
fn the_least_history_is_enough_whenever_it_is_asked() {
    let least = r#"{"metric": "requests", "target": 80, "history-ms": 259200000}"#;
    let now = at(7, 30) + 7_000;
    let known = history(3.1, now, |at| load(at, false));
    let decision = decided(least, now, 1, known);
    let reason = decision.reason;
    assert!(reason.contains("is forecast to reach") && !reason.contains("are required"), "{reason}");
}

#[test]
fn a_forecast_is_made_once_for_a_mean_and_is_the_same_from_memory() {
    let config = parse::<Predictive>(DAILY).expect("a configuration");
    let now = at(7, 30);
    let known = history(7.0, now, |at| load(at, false));
    let decide = |now: u64, metric: &Series, memory: &[u8]| {
        let input = Observation { now, metrics: vec![metric.clone()], memory: memory.to_vec(), ..observation(7) };
        Predictive::decide(&config, &input).expect("an answer")
    };
    let first = decide(now, &known, &[]);
    assert_eq!(first.memory.len(), 1 + 16 + 5 * 16);
    // Five minutes later, within the same mean.
    let later = now + 5 * MINUTE;
    let (recalculated, cached) = (decide(later, &known, &[]), decide(later, &known, &first.memory));
    assert_eq!((&cached.reason, &cached.memory), (&recalculated.reason, &first.memory));
    assert_ne!(cached.reason, first.reason, "the time advances");
    // As long as nothing changes, the outlook comes from memory.
    let mut twice = first.memory.clone();
    twice[17 + 8..].as_chunks_mut::<16>().0.iter_mut().for_each(|point| {
        let value: [u8; 8] = point[..8].try_into().expect("8 bytes");
        point[..8].copy_from_slice(&(2.0 * f64::from_le_bytes(value)).to_le_bytes());
    });
    assert!(decide(now, &known, &twice).replicas > first.replicas);
    // A late value, a new mean, another configuration or foreign memory: the outlook is recalculated.
    let mut late = known.clone();
    late.samples[500].value += 1.0;
    let next = history(7.0, now + 10 * MINUTE, |at| load(at, false));
    assert_eq!(decide(now, &late, &twice).reason, decide(now, &late, &[]).reason);
    assert_eq!(decide(now + 10 * MINUTE, &next, &twice).reason, decide(now + 10 * MINUTE, &next, &[]).reason);
    for bytes in [&twice[1..], &twice[..17], &twice[..30], b"{}"] {
        assert_eq!(decide(now, &known, bytes).reason, first.reason);
    }
    let other = parse::<Predictive>(&DAILY.replace("600000", "900000")).expect("a configuration");
    let input = |memory| Observation { now, metrics: vec![known.clone()], memory, ..observation(7) };
    let reason = |memory| Predictive::decide(&other, &input(memory)).expect("an answer").reason;
    assert_eq!(reason(twice), reason(Vec::new()));
}

#[test]
fn it_asks_for_its_history_once() {
    let windows = |config: &str| -> Vec<(String, u64)> {
        let config = parse::<Predictive>(config).expect("a configuration");
        Predictive::metrics(&config).into_iter().map(|request| (request.name, request.window)).collect()
    };
    let known = || ("ready-replicas".to_owned(), 0);
    // The window is one mean longer, for the current, incomplete one.
    let mean = crate::forecast::step;
    assert_eq!(windows(DAILY), [("requests".to_owned(), WEEK + mean(WEEK)), known()]);
    assert_eq!(windows(BOTH), [("requests".to_owned(), 3 * WEEK + mean(3 * WEEK)), known()]);
    let inner = r#"{"metric": "requests", "target": 80, "history-ms": 259200000,
        "inner": {"metrics": [{"name": "cpu-utilization", "target": 0.6}, {"name": "requests", "target": 9, "kind": "total"}]}}"#;
    assert_eq!(
        windows(inner),
        [("requests".to_owned(), 3 * DAY + mean(3 * DAY)), ("cpu-utilization".to_owned(), 0), known()]
    );
}

#[test]
fn a_refusal_names_the_field() {
    let with = |more: &str| format!(r#"{{"metric": "requests", "target": 80, {more}}}"#);
    for (text, expected) in [
        (DAILY.replace("requests", "ready-replicas"), "`metric` is `ready-replicas`, which follows the count"),
        (DAILY.replace("80", "0"), "`target` is 0; expected a number above 0"),
        (with(r#""seasons": []"#), "`seasons`: expected `daily`, `weekly` or both, each at most once"),
        (with(r#""seasons": ["daily", "daily"]"#), "`seasons`: expected `daily`, `weekly` or both, each at most once"),
        (with(r#""seasons": ["yearly"]"#), "`seasons[0]`: unknown variant `yearly`"),
        (with(r#""look-ahead-ms": 3600001"#), "`look-ahead-ms` is 3600001; expected 0 to 3600000"),
        (
            with(r#""history-ms": 5"#),
            "`history-ms` is 5; expected 259200000 (twice the longest season plus one day) to 2419200000 (28 days)",
        ),
        (with(r#""seasons": ["weekly"], "history-ms": 604800000"#), "`history-ms` is 604800000; expected 1296000000 ("),
        (with(r#""max-error": 0"#), "`max-error` is 0; expected a number above 0, at most 1"),
        (with(r#""inner": {"metrics": []}"#), "`inner`: `metrics` has 0 entries; expected 1 to 8"),
    ] {
        let error = parse::<Predictive>(&text).err().unwrap_or_default();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn the_page_tells_the_truth() {
    check_page::<Predictive>(include_str!("../../README.md"));
}

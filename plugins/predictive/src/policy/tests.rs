//! The rule over made-up days and weeks.

use super::*;
use crate::forecast::{DAY, WEEK};
use windlass_policy_common::bindings::windlass::policy::types::{Sample, Series};
use windlass_policy_common::fixtures::{NOW, check_page, failed, observation, series};
use windlass_policy_common::parse;

const MINUTE: u64 = 60_000;
const DAILY: &str = r#"{"metric": "requests", "target": 80, "look-ahead-ms": 600000}"#;
const BOTH: &str = r#"{"metric": "requests", "target": 80, "look-ahead-ms": 600000, "seasons": ["daily", "weekly"]}"#;

/// 100 at night, 900 from 8 to 18 UTC with an hour's climb before, less than half of it on days 2 and 3 of the week that
/// begins on a Thursday, and a noise of a few percent that is the same each time.
fn load(at: u64, weekend: bool) -> f64 {
    let hour = (at % DAY) as f64 / 3_600_000.0;
    let busy = (hour - 7.0).clamp(0.0, 1.0) - (hour - 18.0).clamp(0.0, 1.0);
    let is_weekend = weekend && matches!(at / DAY % 7, 2 | 3);
    let noise = ((at / MINUTE).wrapping_mul(2_654_435_761) % 1_000) as f64 / 1_000.0 - 0.5;
    (100.0 + 800.0 * busy) * if is_weekend { 0.4 } else { 1.0 } * (1.0 + noise * 0.06)
}

/// The metric every 5 minutes of so many days, until a time.
fn history(days: f64, now: u64, load: impl Fn(u64) -> f64) -> Series {
    let count = (days * 288.0) as u64;
    let at = |back: u64| now - now % (5 * MINUTE) - back * 5 * MINUTE;
    let samples = (0..=count).rev().map(|back| Sample { at: at(back), value: load(at(back)) });
    Series { samples: samples.collect(), ..series("requests", &[]) }
}

fn asked(config: &str, now: u64, current: u32, metric: Series) -> Decision {
    let config = parse::<Predictive>(config).expect("a configuration");
    Predictive::decide(&config, &Observation { now, metrics: vec![metric], ..observation(current) }).expect("an answer")
}

/// A time of the day 20 days after the beginning, a Wednesday.
fn at(hour: u64, minute: u64) -> u64 {
    NOW + 20 * DAY + (hour * 60 + minute) * MINUTE
}

#[test]
fn what_comes_each_day_is_there_before_it_comes() {
    let asked = |hour, minute, current| {
        let now = at(hour, minute);
        asked(DAILY, now, current, history(7.0, now, |at| load(at, false)))
    };
    // 500 are here, for which 7 replicas do; at 7:40 it will be 633.
    let told = asked(7, 30, 7);
    assert_eq!(told.replicas, 8, "{}", told.reason);
    assert!(
        told.reason.starts_with("forecast 6") && told.reason.contains("`requests` at 07:40 UTC ± "),
        "{}",
        told.reason
    );
    assert!(told.reason.contains(" % wants 8; now: `requests` for 7 replicas of target 80 is at "), "{}", told.reason);
    // Never below what is needed now, and down when both are.
    let told = asked(18, 0, 12);
    assert!((11..=12).contains(&told.replicas), "{} {}", told.replicas, told.reason);
    let told = asked(23, 0, 12);
    assert_eq!(told.replicas, 2, "{}", told.reason);
    assert!(told.reason.ends_with(" % wants no more"), "{}", told.reason);
    // The same each time.
    assert_eq!(asked(7, 42, 7).reason, asked(7, 42, 7).reason);
}

#[test]
fn a_longer_look_ahead_sees_more_and_a_busier_day_is_forecast_busier() {
    let config = |look_ahead: u64| format!(r#"{{"metric": "requests", "target": 80, "look-ahead-ms": {look_ahead}}}"#);
    let now = at(7, 0);
    let counts = [0, 900_000, 3_600_000]
        .map(|look_ahead| asked(&config(look_ahead), now, 2, history(7.0, now, |at| load(at, false))).replicas);
    assert!(counts[0] < counts[1] && counts[1] < counts[2] && counts[2] >= 11, "{counts:?}");
    // 300 more than ever since four hours.
    let risen = |when: u64| load(when, false) + if when > now - 4 * 60 * MINUTE { 300.0 } else { 0.0 };
    let told = asked(&config(3_600_000), now, 2, history(7.0, now, risen));
    assert!((14..=16).contains(&told.replicas), "{} {}", told.replicas, told.reason);
}

#[test]
fn a_week_has_its_weekend() {
    // Saturday at 7:55, when on any other day the day begins.
    let now = NOW + 23 * DAY + (7 * 60 + 55) * MINUTE;
    assert_eq!(now / DAY % 7, 2);
    let with_weekend = |days| history(days, now, |at| load(at, true));
    let weekly = asked(BOTH, now, 5, with_weekend(21.0));
    assert!(weekly.replicas <= 6 && weekly.reason.contains("forecast"), "{} {}", weekly.replicas, weekly.reason);
    // A week's history knows the days alone, which is much more than comes.
    let daily = asked(DAILY, now, 5, with_weekend(7.0));
    assert!(daily.replicas > weekly.replicas, "{} {}", daily.replicas, daily.reason);
    // Until there are two weeks and a day, the daily season stands in.
    let young = asked(BOTH, at(7, 30), 7, history(6.0, at(7, 30), |at| load(at, false)));
    assert_eq!(young.replicas, 8, "{}", young.reason);
}

#[test]
fn without_a_forecast_the_inner_rule_decides_and_says_why() {
    let now = at(7, 30);
    let told = |metric: Series| asked(DAILY, now, 7, metric).reason;
    let why = told(history(2.5, now, |at| load(at, false)));
    assert!(why.ends_with("; no forecast: there are values of 2.5 days, and 3 are needed"), "{why}");
    let chance = |at: u64| (at / MINUTE).wrapping_mul(2_654_435_761) as f64 % 1_000.0;
    let why = told(history(7.0, now, chance));
    assert!(
        why.contains("; no forecast: over the last day it was ")
            && why.ends_with(" % off, and at most 25 % are followed"),
        "{why}"
    );
    let mut holes = history(7.0, now, |at| load(at, false));
    holes.samples.retain(|sample| sample.at % DAY > 8 * 60 * MINUTE || sample.at > now - 10 * MINUTE);
    let why = told(holes);
    assert!(why.contains("; no forecast: 3") && why.ends_with(" % of the values are missing"), "{why}");
    let why = told(history(7.0, now, |_| 0.0));
    assert!(why.ends_with("; no forecast: there was nothing in the last day"), "{why}");
}

#[test]
fn gaps_are_filled_from_the_day_before_and_an_outage_now_raises_all_the_same() {
    let now = at(7, 30);
    let mut holes = history(7.0, now, |at| load(at, false));
    holes.samples.retain(|sample| sample.at / DAY != now / DAY - 2 || sample.at % DAY > DAY / 2);
    assert_eq!(asked(DAILY, now, 7, holes).replicas, 8);
    // One that ends now too: what the last hours were is taken from the day before, not for nothing.
    let mut fresh = history(7.0, now, |at| load(at, false));
    let whole = asked(DAILY, now, 1, fresh.clone()).replicas;
    let newest = fresh.samples.pop().expect("a value of now");
    fresh.samples.retain(|sample| sample.at < now - DAY / 8);
    fresh.samples.push(newest);
    assert_eq!(asked(DAILY, now, 1, fresh).replicas, whole);
    let mut stale = history(7.0, now, |at| load(at, false));
    stale.failure = Some("stale: old".to_owned());
    let told = asked(DAILY, now, 3, stale);
    assert!(
        told.replicas >= 7 && told.reason.ends_with("now: held at 3, since `requests` has no value (stale: old)"),
        "{}",
        told.reason
    );
    // Nothing at all is no answer.
    let config = parse::<Predictive>(DAILY).expect("a configuration");
    let nothing = Observation { metrics: vec![failed("requests", "missing: none")], ..observation(3) };
    assert!(matches!(Predictive::decide(&config, &nothing), Err(PolicyError::InsufficientData(_))));
}

#[test]
fn the_least_history_is_enough_whenever_it_is_asked() {
    let least = r#"{"metric": "requests", "target": 80, "history-ms": 259200000}"#;
    let now = at(7, 30) + 7_000;
    let known = history(3.1, now, |at| load(at, false));
    let told = asked(least, now, 1, known);
    assert!(told.reason.contains("forecast") && !told.reason.contains("are needed"), "{}", told.reason);
}

#[test]
fn a_forecast_is_made_once_for_a_mean_and_is_the_same_from_memory() {
    let config = parse::<Predictive>(DAILY).expect("a configuration");
    let now = at(7, 30);
    let known = history(7.0, now, |at| load(at, false));
    let decide = |now: u64, metric: &Series, memory: &[u8]| {
        let shown = Observation { now, metrics: vec![metric.clone()], memory: memory.to_vec(), ..observation(7) };
        Predictive::decide(&config, &shown).expect("an answer")
    };
    let first = decide(now, &known, &[]);
    assert_eq!(first.memory.len(), 1 + 16 + 5 * 16);
    // Five minutes on, within the same mean.
    let later = now + 5 * MINUTE;
    let (anew, again) = (decide(later, &known, &[]), decide(later, &known, &first.memory));
    assert_eq!((&again.reason, &again.memory), (&anew.reason, &first.memory));
    assert_ne!(again.reason, first.reason, "the time goes on");
    // It is what is remembered that is told, so long as nothing changes.
    let mut twice = first.memory.clone();
    twice[17 + 8..].as_chunks_mut::<16>().0.iter_mut().for_each(|point| {
        let value: [u8; 8] = point[..8].try_into().expect("8 bytes");
        point[..8].copy_from_slice(&(2.0 * f64::from_le_bytes(value)).to_le_bytes());
    });
    assert!(decide(now, &known, &twice).replicas > first.replicas);
    // A value that comes late, another mean, another configuration or no memory of this policy: it is made anew.
    let mut late = known.clone();
    late.samples[500].value += 1.0;
    let next = history(7.0, now + 10 * MINUTE, |at| load(at, false));
    assert_eq!(decide(now, &late, &twice).reason, decide(now, &late, &[]).reason);
    assert_eq!(decide(now + 10 * MINUTE, &next, &twice).reason, decide(now + 10 * MINUTE, &next, &[]).reason);
    for bytes in [&twice[1..], &twice[..17], &twice[..30], b"{}"] {
        assert_eq!(decide(now, &known, bytes).reason, first.reason);
    }
    let other = parse::<Predictive>(&DAILY.replace("600000", "900000")).expect("a configuration");
    let shown = |memory| Observation { now, metrics: vec![known.clone()], memory, ..observation(7) };
    let told = |memory| Predictive::decide(&other, &shown(memory)).expect("an answer").reason;
    assert_eq!(told(twice), told(Vec::new()));
}

#[test]
fn it_asks_for_its_history_once() {
    let windows = |config: &str| -> Vec<(String, u64)> {
        let config = parse::<Predictive>(config).expect("a configuration");
        Predictive::metrics(&config).into_iter().map(|asked| (asked.name, asked.window)).collect()
    };
    let known = || ("ready-replicas".to_owned(), 0);
    // And one mean more, for the one that is not over yet.
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
    for (wrong, why) in [
        (DAILY.replace("80", "0"), "`target` is 0; expected a number above 0"),
        (with(r#""seasons": []"#), "`seasons`: expected `daily`, `weekly` or both, none twice"),
        (with(r#""seasons": ["daily", "daily"]"#), "`seasons`: expected `daily`, `weekly` or both, none twice"),
        (with(r#""seasons": ["yearly"]"#), "`seasons[0]`: unknown variant `yearly`"),
        (with(r#""look-ahead-ms": 3600001"#), "`look-ahead-ms` is 3600001; expected 0 to 3600000"),
        (with(r#""history-ms": 5"#), "`history-ms` is 5; expected 259200000 to 2419200000: "),
        (
            with(r#""seasons": ["weekly"], "history-ms": 604800000"#),
            "`history-ms` is 604800000; expected 1296000000 to ",
        ),
        (with(r#""max-error": 0"#), "`max-error` is 0; expected above 0, up to 1"),
        (with(r#""inner": {"metrics": []}"#), "`inner`: `metrics` has 0 entries; expected 1 to 8"),
    ] {
        let told = parse::<Predictive>(&wrong).err().unwrap_or_default();
        assert!(told.starts_with(why), "{wrong}: {told}");
    }
}

#[test]
fn the_page_tells_the_truth() {
    check_page::<Predictive>(include_str!("../../README.md"));
}

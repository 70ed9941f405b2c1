//! Fixtures for tests of policies: observations, and checks of a policy's README page.

use crate::ScalingPolicy;
use crate::bindings::exports::windlass::policy::scaling::Observation;
use crate::bindings::windlass::policy::types::{HealthStatus, Limits, Phase, Replica, Sample, Series, Workload};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static WERE_READY: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Runs `test` with a host that knows these replicas as ready before.
pub fn with_ready_before<T>(replicas: &[&str], test: impl FnOnce() -> T) -> T {
    let known = replicas.iter().map(|replica| (*replica).to_owned()).collect();
    WERE_READY.with(|ready| ready.replace(known));
    let result = test();
    WERE_READY.with(RefCell::take);
    result
}

/// When a replica was first ready, as the host would answer.
pub(crate) fn first_ready_at(replica: &str) -> Option<u64> {
    WERE_READY.with_borrow(|ready| ready.contains(replica).then_some(NOW - 1_800_000))
}

/// The time of each observation, in milliseconds since 1970: 2026-01-01 00:00 UTC, a Thursday.
pub const NOW: u64 = 1_767_225_600_000;

/// An observation without metrics of a workload with 1 to 100 replicas. `current_replicas` of them have been running and
/// healthy for an hour.
pub fn observation(current_replicas: u32) -> Observation {
    Observation {
        now: NOW,
        workload: Workload {
            name: "web".to_owned(),
            image: "web:1".to_owned(),
            min_replicas: 1,
            max_replicas: 100,
            limits: Limits { cpu_cores: Some(1.0), memory_bytes: Some(128 << 20) },
            labels: Vec::new(),
        },
        current_replicas,
        replicas: (1..=current_replicas).map(|number| replica(&format!("r{number}"))).collect(),
        metrics: Vec::new(),
        memory: Vec::new(),
    }
}

/// A replica that has been healthy for an hour.
pub fn replica(id: &str) -> Replica {
    Replica {
        id: id.to_owned(),
        phase: Phase::Running,
        health: HealthStatus::Healthy,
        created_at: NOW - 3_600_000,
        started_at: Some(NOW - 3_600_000),
        restarts: 0,
        exit_code: None,
        out_of_memory: false,
        usage: None,
    }
}

/// A metric of the whole workload with these values, 15 s apart; the last one is from now.
pub fn series(name: &str, values: &[f64]) -> Series {
    let ago = |back: usize| NOW - 15_000 * u64::try_from(back).unwrap_or(0);
    let samples = values.iter().rev().enumerate().map(|(back, value)| Sample { at: ago(back), value: *value });
    let mut samples: Vec<Sample> = samples.collect();
    samples.reverse();
    Series { name: name.to_owned(), replica: None, samples, failure: None }
}

/// The same metric of one replica.
pub fn series_of(name: &str, replica: &str, values: &[f64]) -> Series {
    Series { replica: Some(replica.to_owned()), ..series(name, values) }
}

/// A metric of the whole workload that has no value now, with the reason.
pub fn failed(name: &str, reason: &str) -> Series {
    Series { failure: Some(reason.to_owned()), ..series(name, &[]) }
}

/// Returns the example configurations of a page: its ```` ```json ```` blocks.
pub fn examples(page: &str) -> Vec<&str> {
    page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Checks a README page against the policy: the policy accepts the examples, and the page names every setting with the
/// default that the schema documents and the policy applies.
///
/// # Panics
/// Panics if the page and the policy differ.
pub fn check_page<P: ScalingPolicy<Config: std::fmt::Debug>>(page: &str) {
    check_examples(page, P::SCHEMA, |example| crate::parse::<P>(example).err());
    let schema: Value = serde_json::from_str(P::SCHEMA).expect("the schema is JSON");
    let parsed = |config: &str| format!("{:?}", crate::parse::<P>(config).expect("a configuration"));
    for example in examples(page) {
        let mut explicit: Value = serde_json::from_str(example).expect("the example is JSON");
        let mut implicit = explicit.clone();
        edit_defaults(&schema, &mut explicit, |config, name, default| {
            drop(config.insert(name.to_owned(), default.clone()));
        });
        edit_defaults(&schema, &mut implicit, |config, name, _| drop(config.remove(name)));
        let (explicit, implicit) = (parsed(&explicit.to_string()), parsed(&implicit.to_string()));
        assert_eq!(explicit, implicit, "with and without its defaults");
    }
    check_defaults(page, &schema);
}

/// Applies `edit` to each setting of a configuration that has a default.
fn edit_defaults(schema: &Value, config: &mut Value, edit: fn(&mut Map<String, Value>, &str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let Some(config) = config.as_object_mut() else { continue };
        if let Some(default) = property.get("default") {
            edit(config, name, default);
        }
        for inner in config.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            edit_defaults(&property["items"], inner, edit);
        }
    }
}

/// Checks that each setting's table row has a cell with its default.
fn check_defaults(page: &str, schema: &Value) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        check_defaults(page, &property["items"]);
        let Some(default) = property.get("default") else { continue };
        let expected = match default {
            Value::Number(number) if number.is_u64() => grouped(&number.to_string()),
            Value::Array(items) if items.is_empty() => "none".to_owned(),
            Value::String(text) => format!("`{text}`"),
            Value::Array(_) => format!("`{default}`"),
            other => other.to_string(),
        };
        let mut rows = page.lines().filter(|line| line.starts_with('|'));
        let is_row = |row: &&str| row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{name}`")));
        let row = rows.find(is_row).unwrap_or_else(|| panic!("the page has no row for `{name}`"));
        assert!(row.split('|').any(|cell| cell.trim() == expected), "the default of `{name}` is {expected}: {row}");
    }
}

/// Groups digits by thousands: `60000` becomes `60,000`.
fn grouped(digits: &str) -> String {
    let place = |index: usize| digits.len() - index;
    let comma = |index: usize| if index > 0 && place(index) % 3 == 0 { "," } else { "" };
    digits.chars().enumerate().map(|(index, digit)| format!("{}{digit}", comma(index))).collect()
}

/// Checks the examples and setting names of a README page, for a policy of any kind. `error` returns a configuration's error.
///
/// # Panics
/// Panics if an example is invalid or the page does not name a setting.
pub fn check_examples(page: &str, schema: &str, error: impl Fn(&str) -> Option<String>) {
    let examples = examples(page);
    assert!(!examples.is_empty(), "the page has no example");
    for example in examples {
        assert_eq!(error(example), None, "{example}");
    }
    let schema: serde_json::Value = serde_json::from_str(schema).expect("the schema is JSON");
    let mut objects = vec![&schema];
    while let Some(object) = objects.pop() {
        for (name, property) in object["properties"].as_object().into_iter().flatten() {
            assert!(page.contains(&format!("`{name}`")), "the page does not name `{name}`");
            objects.extend([property, &property["items"]]);
        }
    }
}

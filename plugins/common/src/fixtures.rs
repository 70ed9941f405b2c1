//! For the tests of policies: observations, and what a page of documentation promises.

use crate::ScalingPolicy;
use crate::bindings::exports::windlass::policy::scaling::Observation;
use crate::bindings::windlass::policy::types::{HealthStatus, Limits, Phase, Replica, Sample, Series, Workload};
use serde_json::{Map, Value};

/// When everything happens, in milliseconds since 1970: 2026-01-01 00:00 UTC, a Thursday.
pub const NOW: u64 = 1_767_225_600_000;

/// A workload of 1 to 100 replicas, of which so many run and are well, for an hour already; without metrics.
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

/// A replica that has been well for an hour.
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

/// A metric of the whole workload with these values, 15 s apart, the last of them now.
pub fn series(name: &str, values: &[f64]) -> Series {
    let ago = |back: usize| NOW - 15_000 * u64::try_from(back).unwrap_or(0);
    let samples = values.iter().rev().enumerate().map(|(back, value)| Sample { at: ago(back), value: *value });
    let mut samples: Vec<Sample> = samples.collect();
    samples.reverse();
    Series { name: name.to_owned(), replica: None, samples, failure: None }
}

/// The same metric, measured at one replica.
pub fn series_of(name: &str, replica: &str, values: &[f64]) -> Series {
    Series { replica: Some(replica.to_owned()), ..series(name, values) }
}

/// A metric of the whole workload that has no value now.
pub fn failed(name: &str, why: &str) -> Series {
    Series { failure: Some(why.to_owned()), ..series(name, &[]) }
}

/// The configurations of a page: its blocks of ```` ```json ````.
pub fn examples(page: &str) -> Vec<&str> {
    page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Holds a page of documentation to the policy: its examples are accepted, and it names every setting of the schema, with
/// the default that the schema says and that holds.
///
/// # Panics
/// When not.
pub fn check_page<P: ScalingPolicy<Config: std::fmt::Debug>>(page: &str) {
    hold_page(page, P::SCHEMA, |example| crate::parse::<P>(example).err());
    let schema: Value = serde_json::from_str(P::SCHEMA).expect("the schema is JSON");
    let taken = |config: &str| format!("{:?}", crate::parse::<P>(config).expect("a configuration"));
    for example in examples(page) {
        let mut said: Value = serde_json::from_str(example).expect("the example is JSON");
        let mut unsaid = said.clone();
        defaults(&schema, &mut said, |config, name, default| drop(config.insert(name.to_owned(), default.clone())));
        defaults(&schema, &mut unsaid, |config, name, _| drop(config.remove(name)));
        assert_eq!(taken(&said.to_string()), taken(&unsaid.to_string()), "with and without its defaults");
    }
    hold_defaults(page, &schema);
}

/// Changes each setting of a configuration that has a default.
fn defaults(schema: &Value, config: &mut Value, change: fn(&mut Map<String, Value>, &str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let Some(config) = config.as_object_mut() else { continue };
        if let Some(default) = property.get("default") {
            change(config, name, default);
        }
        for inner in config.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            defaults(&property["items"], inner, change);
        }
    }
}

/// The row of each setting tells its default: a cell of its own.
fn hold_defaults(page: &str, schema: &Value) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        hold_defaults(page, &property["items"]);
        let Some(default) = property.get("default") else { continue };
        let told = match default {
            Value::Number(number) if number.is_u64() => grouped(&number.to_string()),
            Value::Array(items) if items.is_empty() => "none".to_owned(),
            Value::String(text) => format!("`{text}`"),
            Value::Array(_) => format!("`{default}`"),
            other => other.to_string(),
        };
        let mut rows = page.lines().filter(|line| line.starts_with('|'));
        let is_its = |row: &&str| row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{name}`")));
        let row = rows.find(is_its).unwrap_or_else(|| panic!("the page has no row for `{name}`"));
        assert!(row.split('|').any(|cell| cell.trim() == told), "the default of `{name}` is {told}: {row}");
    }
}

/// 60000 → `60,000`.
fn grouped(digits: &str) -> String {
    let place = |index: usize| digits.len() - index;
    let comma = |index: usize| if index > 0 && place(index) % 3 == 0 { "," } else { "" };
    digits.chars().enumerate().map(|(index, digit)| format!("{}{digit}", comma(index))).collect()
}

/// [`check_page`] for a policy of any kind; `refuse` says what is wrong with a configuration.
///
/// # Panics
/// When the page does not hold.
pub fn hold_page(page: &str, schema: &str, refuse: impl Fn(&str) -> Option<String>) {
    let examples = examples(page);
    assert!(!examples.is_empty(), "the page has no example");
    for example in examples {
        assert_eq!(refuse(example), None, "{example}");
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

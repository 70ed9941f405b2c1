//! For the tests of policies: observations, and what a page of documentation promises.

use crate::ScalingPolicy;
use crate::bindings::exports::windlass::policy::scaling::Observation;
use crate::bindings::windlass::policy::types::{HealthStatus, Limits, Phase, Replica, Sample, Series, Workload};

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

/// Holds a page of documentation to the policy: its examples are accepted, and it names every setting of the schema.
///
/// # Panics
/// When not.
pub fn check_page<P: ScalingPolicy>(page: &str) {
    hold_page(page, P::SCHEMA, |example| crate::parse::<P>(example).err());
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

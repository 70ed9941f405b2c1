//! The rule by example, and properties of every result.

use super::*;
use proptest::prelude::*;
use windlass_policy_common::bindings::windlass::policy::types::{HealthStatus, Phase, Series};
use windlass_policy_common::fixtures::{NOW, check_page, failed, observation, series, series_of, with_ready_before};
use windlass_policy_common::parse;

fn config(text: &str) -> Config {
    parse::<TargetTracking>(text).expect("a configuration")
}

fn decided(config: &Config, observation: &Observation) -> Result<u32, PolicyError> {
    TargetTracking::decide(config, observation).map(|decision| decision.replicas)
}

const CPU: &str = r#"{"metrics": [{"name": "cpu-utilization", "target": 0.5}]}"#;

fn counted(replicas: usize) -> f64 {
    f64::from(u32::try_from(replicas).expect("few"))
}

/// An observation of replicas with these CPU values. `None` means no sample.
fn with_cpu(values: &[Option<f64>]) -> Observation {
    let mut input = observation(u32::try_from(values.len()).expect("few"));
    let good: Vec<f64> = values.iter().copied().flatten().collect();
    let mean = good.iter().sum::<f64>() / counted(good.len());
    input.metrics.push(series("cpu-utilization", &[mean]));
    for (replica, value) in input.replicas.iter().zip(values) {
        if let Some(value) = value {
            input.metrics.push(series_of("cpu-utilization", &replica.id, &[*value]));
        }
    }
    input
}

#[test]
fn the_count_is_the_ratio_rounded_up_outside_of_the_tolerance() {
    for (values, expected) in [
        (vec![0.5, 0.5], 2),
        (vec![0.55, 0.55], 2),
        (vec![0.5501, 0.5501], 3),
        (vec![0.45, 0.45], 2),
        (vec![1.0, 1.0], 4),
        (vec![0.9, 0.3, 0.3], 3),
        (vec![0.1, 0.1, 0.1, 0.1], 1),
        (vec![0.0, 0.0], 1),
        (vec![0.3; 5], 3),
    ] {
        let values: Vec<Option<f64>> = values.into_iter().map(Some).collect();
        assert_eq!(decided(&config(CPU), &with_cpu(&values)).ok(), Some(expected), "{values:?}");
    }
}

#[test]
fn what_is_measured_at_replicas_does_not_lead_to_where_there_are_none() {
    let mut input = with_cpu(&[Some(0.0), Some(0.0)]);
    input.metrics.push(series("queue", &[0.0]));
    assert_eq!(decided(&config(CPU), &input).ok(), Some(1));
    // A total can scale out from 0.
    let both = CPU.replace("]", r#", {"name": "queue", "target": 5, "kind": "total"}]"#);
    assert_eq!(decided(&config(&both), &input).ok(), Some(0));
}

#[test]
fn a_total_is_shared_and_leads_from_zero() {
    let total = config(r#"{"metrics": [{"name": "requests", "target": 100, "kind": "total"}]}"#);
    for (current, value, expected) in [
        (3, 300.0, 3),
        (3, 330.0, 3),
        (3, 331.0, 4),
        (3, 269.0, 3),
        (3, 150.0, 2),
        (0, 1.0, 1),
        (0, 0.0, 0),
        (0, 950.0, 10),
    ] {
        let input = Observation { metrics: vec![series("requests", &[value])], ..observation(current) };
        assert_eq!(decided(&total, &input).ok(), Some(expected), "{current} {value}");
    }
}

#[test]
fn tolerances_differ_by_direction() {
    let config = config(
        r#"{"metrics": [{"name": "cpu-utilization", "target": 0.5}], "tolerance-up": 0, "tolerance-down": 0.5}"#,
    );
    assert_eq!(decided(&config, &with_cpu(&[Some(0.51); 10])).ok(), Some(11));
    assert_eq!(decided(&config, &with_cpu(&[Some(0.25); 10])).ok(), Some(10));
    assert_eq!(decided(&config, &with_cpu(&[Some(0.24); 10])).ok(), Some(5));
}

#[test]
fn a_missing_sample_is_a_full_load_on_the_way_down_and_nothing_on_the_way_up() {
    // Scale-in: two replicas are at 10 % of their limit and one may be at 100 %. The sum 1.2 over 3 targets of 50 % is a
    // ratio of 80 %, not 20 %.
    assert_eq!(decided(&config(CPU), &with_cpu(&[Some(0.1), Some(0.1), None])).ok(), Some(3));
    // With two unknown replicas the ratio is above the target. The direction would reverse, so the count stays.
    assert_eq!(decided(&config(CPU), &with_cpu(&[Some(0.1), Some(0.1), None, None])).ok(), Some(4));
    // Other metrics have no known maximum, so an unknown value counts as at the target: (0.4 + 2) / 4 = 60 % of 4.
    let queue = config(r#"{"metrics": [{"name": "queue", "target": 0.5}]}"#);
    let mut input = with_cpu(&[Some(0.1), Some(0.1), None, None]);
    for series in &mut input.metrics {
        series.name = "queue".to_owned();
    }
    assert_eq!(decided(&queue, &input).ok(), Some(3));
    // Scale-out: two replicas are at 300 % and two are unknown, which calls for 6, not for 300 % of 4.
    assert_eq!(decided(&config(CPU), &with_cpu(&[Some(1.5), Some(1.5), None, None])).ok(), Some(6));
    // One replica at 150 % and three at 0 are below the target. The direction would reverse, so the count stays.
    assert_eq!(decided(&config(CPU), &with_cpu(&[Some(0.75), None, None, None])).ok(), Some(4));
}

#[test]
fn what_is_not_ready_is_no_load_on_the_way_up_and_stays_on_the_way_down() {
    // An anomaly of the Horizontal Pod Autoscaler: with 3 replicas at 195 % and one of them ready, it scales in to 2.
    let mut input = with_cpu(&[Some(0.975), Some(0.975), Some(0.975)]);
    input.replicas[1].health = HealthStatus::Starting;
    input.replicas[2].health = HealthStatus::Starting;
    assert_eq!(decided(&config(CPU), &input).ok(), Some(3));
    // With 5 replicas at 60 % of the target and two of them not ready, the autoscaler scales in to 2.
    let mut input = with_cpu(&[Some(0.3); 5]);
    input.replicas[3].health = HealthStatus::Unhealthy;
    input.replicas[4].phase = Phase::Starting;
    assert_eq!(decided(&config(CPU), &input).ok(), Some(3));
    // Stopping and exited replicas do not count.
    let mut input = with_cpu(&[Some(1.0), Some(1.0), Some(1.0)]);
    input.current_replicas = 2;
    input.replicas[2].phase = Phase::Stopping;
    assert_eq!(decided(&config(CPU), &input).ok(), Some(4));
}

#[test]
fn replicas_that_were_ready_and_fail_count_as_load_on_the_way_up() {
    let failing = |values: &[Option<f64>], not_ready: &[usize], ready_before: &[&str]| {
        let mut input = with_cpu(values);
        for index in not_ready {
            input.replicas[*index].health = HealthStatus::Unhealthy;
        }
        with_ready_before(ready_before, || decided(&config(CPU), &input).ok())
    };
    let hot = [Some(0.975); 3];
    // Three replicas at 195 %, two of which fail their probe: the Horizontal Pod Autoscaler wants 6.
    assert_eq!(failing(&hot, &[1, 2], &["r2", "r3"]), Some(6));
    assert_eq!(failing(&hot, &[0, 1, 2], &["r1", "r2", "r3"]), Some(6), "none is left");
    assert_eq!(failing(&hot, &[1, 2], &["r2"]), Some(4), "one of them never was ready");
    assert_eq!(failing(&hot, &[1, 2], &[]), Some(3), "neither was");
    assert_eq!(failing(&hot, &[0, 1, 2], &[]), None);
    // A replica that hangs uses nothing; its load went to the others.
    assert_eq!(failing(&[Some(0.975), Some(0.0), Some(0.0)], &[1, 2], &["r2", "r3"]), Some(3));
    assert_eq!(failing(&[Some(1.8), Some(0.0), Some(0.0)], &[1, 2], &["r2", "r3"]), Some(4));
    // On the way down they are no load, as before, but a high load of theirs stops the scale-in.
    assert_eq!(failing(&[Some(0.1), Some(0.1), Some(0.4)], &[2], &["r3"]), Some(1));
    assert_eq!(failing(&[Some(0.1), Some(0.1), Some(1.3)], &[2], &["r3"]), Some(3));
    assert_eq!(failing(&[Some(0.1), Some(0.1), Some(2.8)], &[2], &["r3"]), Some(6));
    // A metric that has only a mean over all replicas.
    let mut input = Observation { metrics: vec![series("queue", &[9.75])], ..observation(3) };
    input.replicas[1].health = HealthStatus::Unhealthy;
    input.replicas[2].health = HealthStatus::Unhealthy;
    let queue = config(r#"{"metrics": [{"name": "queue", "target": 5}]}"#);
    assert_eq!(with_ready_before(&["r2", "r3"], || decided(&queue, &input).ok()), Some(6));
    // A replica that was restarted has no load yet.
    let mut input = with_cpu(&hot);
    for replica in &mut input.replicas[1..] {
        (replica.health, replica.started_at) = (HealthStatus::Unhealthy, Some(NOW - 5_000));
    }
    assert_eq!(with_ready_before(&["r2", "r3"], || decided(&config(CPU), &input).ok()), Some(3));
}

#[test]
fn a_partial_answer_never_scales_in() {
    let partial = |name: &str, value: f64| Series {
        failure: Some("partial: the source answered in part: a store is unavailable".to_owned()),
        ..series(name, &[value])
    };
    for kind in ["total", "per-replica"] {
        let config = config(&format!(r#"{{"metrics": [{{"name": "requests", "target": 10, "kind": "{kind}"}}]}}"#));
        let decided = |series| decided(&config, &Observation { metrics: vec![series], ..observation(6) }).ok();
        assert_eq!(decided(partial("requests", 1.0)), Some(6), "{kind}");
        assert_eq!(decided(series("requests", &[1.0])), Some(1), "{kind}");
        let high = if kind == "total" { 80.0 } else { 13.0 };
        assert_eq!(decided(partial("requests", high)), Some(8), "{kind}");
    }
}

#[test]
fn a_replica_that_warms_up_says_nothing() {
    let mut input = with_cpu(&[Some(0.5), Some(4.0)]);
    input.replicas[1].started_at = Some(NOW - 29_999);
    assert_eq!(decided(&config(CPU), &input).ok(), Some(2));
    input.replicas[1].started_at = Some(NOW - 30_000);
    assert_eq!(decided(&config(CPU), &input).ok(), Some(9));
    // Expected replicas that do not exist yet count the same: the load of the first step causes no second one.
    let mut input = with_cpu(&[Some(1.0), Some(1.0)]);
    input.current_replicas = 4;
    assert_eq!(decided(&config(CPU), &input).ok(), Some(4));
}

#[test]
fn the_highest_of_several_metrics_holds_and_the_reason_names_it() {
    let both = config(
        r#"{"metrics": [{"name": "cpu-utilization", "target": 0.5}, {"name": "requests", "target": 10, "kind": "total"}]}"#,
    );
    let with = |requests: Series| {
        let mut input = with_cpu(&[Some(0.2), Some(0.2), Some(0.2)]);
        input.metrics.push(requests);
        TargetTracking::decide(&both, &input).map(|decision| (decision.replicas, decision.reason))
    };
    assert_eq!(
        with(series("requests", &[51.0])).ok(),
        Some((
            6,
            "`requests` is at 170 % of its target (10 per replica, with 3 replicas), which calls for 6".to_owned()
        ))
    );
    assert_eq!(
        with(series("requests", &[4.0])).ok(),
        Some((2, "`cpu-utilization` is at 40 % of its target (0.5), which calls for 2".to_owned()))
    );
    // If one metric has no value, the others may still raise the count, but nothing scales in.
    let (replicas, reason) = with(failed("requests", "stale: old")).expect("one has a value");
    assert_eq!(
        (replicas, reason.starts_with("the count stays at 3 because `requests` has no value (stale: old); ")),
        (3, true)
    );
    let mut input = with_cpu(&[Some(1.0), Some(1.0)]);
    input.metrics.push(failed("requests", "timeout: none"));
    assert_eq!(decided(&both, &input).ok(), Some(4));
}

#[test]
fn without_any_value_there_is_no_answer() {
    for metrics in [Vec::new(), vec![failed("cpu-utilization", "missing: none")]] {
        let input = Observation { metrics, ..observation(3) };
        assert!(matches!(decided(&config(CPU), &input), Err(PolicyError::InsufficientData(_))));
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5] {
        assert!(decided(&config(CPU), &with_cpu(&[Some(value)])).is_err(), "{value}");
    }
    // A mean over no replicas is no value.
    let input = Observation { metrics: vec![series("cpu-utilization", &[0.9])], ..observation(0) };
    assert!(decided(&config(CPU), &input).is_err());
}

#[test]
fn scale_in_can_be_left_to_others() {
    let only_out = config(r#"{"metrics": [{"name": "cpu-utilization", "target": 0.5}], "scale-in": false}"#);
    assert_eq!(decided(&only_out, &with_cpu(&[Some(0.1); 4])).ok(), Some(4));
    assert_eq!(decided(&only_out, &with_cpu(&[Some(1.0); 4])).ok(), Some(8));
}

#[test]
fn a_refusal_names_the_field() {
    for (text, expected) in [
        (r#"{"metrics": []}"#, "`metrics` has 0 entries; expected 1 to 8"),
        (
            r#"{"metrics": [{"name": "ready-replicas", "target": 2}]}"#,
            "`metrics[0].name` is `ready-replicas`, which follows the count that the policy sets",
        ),
        (r#"{"metrics": [{"name": "a", "target": 0}]}"#, "`metrics[0].target` is 0; expected a number above 0"),
        (r#"{"metrics": [{"name": "a"}]}"#, "`metrics[0]`: missing field `target`"),
        (
            r#"{"metrics": [{"name": "a", "target": 1}, {"name": "a", "target": 2}]}"#,
            "`metrics[1].name` is `a`, which an earlier entry already tracks; remove one",
        ),
        (r#"{"metrics": [{"name": "a", "target": 1}], "tolerance-up": 2}"#, "`tolerance-up` is 2; expected 0 to 1"),
        (
            r#"{"metrics": [{"name": "a", "target": 1}], "warm-up-ms": 3600001}"#,
            "`warm-up-ms` is 3600001; expected 0 to 3600000",
        ),
        (r#"{"metrics": [{"name": "a", "target": 1, "kind": "sum"}]}"#, "`metrics[0].kind`: unknown variant `sum`"),
    ] {
        let error = parse::<TargetTracking>(text).expect_err("the configuration is invalid");
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn the_page_and_the_schema_tell_the_truth() {
    check_page::<TargetTracking>(include_str!("../../README.md"));
    let schema: serde_json::Value = serde_json::from_str(TargetTracking::SCHEMA).expect("JSON");
    let settings = &schema["properties"];
    let defaults = config(CPU);
    assert_eq!(settings["tolerance-up"]["default"], defaults.tolerance_up);
    assert_eq!(settings["tolerance-down"]["default"], defaults.tolerance_down);
    assert_eq!(settings["warm-up-ms"]["default"], defaults.warm_up_ms);
    assert_eq!(settings["scale-in"]["default"], defaults.scale_in);
}

proptest! {
    #[test]
    fn more_use_never_wants_fewer_and_the_sign_holds(values in prop::collection::vec(0.0..3.0_f64, 1..20), more in 0.0..2.0_f64) {
        let config = config(CPU);
        let now: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        let then: Vec<Option<f64>> = values.iter().map(|value| Some(value + more)).collect();
        let (now, then) = (decided(&config, &with_cpu(&now)), decided(&config, &with_cpu(&then)));
        let (Ok(now), Ok(then)) = (now, then) else { return Err(TestCaseError::fail("no answer")) };
        prop_assert!(then >= now);
        let mean = values.iter().sum::<f64>() / counted(values.len()) / 0.5;
        let count = u32::try_from(values.len()).expect("few");
        let holds = if mean > 1.0 { now >= count } else { now <= count };
        prop_assert!(holds, "{now} of {count} at {mean}");
    }

    #[test]
    fn no_number_makes_it_panic(value in any::<f64>(), current in 0_u32..5) {
        let input = Observation { metrics: vec![series("requests", &[value])], ..observation(current) };
        for kind in ["total", "per-replica"] {
            let config = config(&format!(r#"{{"metrics": [{{"name": "requests", "target": 1e-300, "kind": "{kind}"}}]}}"#));
            let _answer = decided(&config, &input);
        }
    }
}

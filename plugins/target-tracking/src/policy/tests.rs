//! The rule, case by case.

use super::*;
use proptest::prelude::*;
use windlass_policy_common::bindings::windlass::policy::types::{HealthStatus, Phase, Series};
use windlass_policy_common::fixtures::{NOW, check_page, failed, observation, series, series_of};
use windlass_policy_common::parse;

fn config(text: &str) -> Config {
    parse::<TargetTracking>(text).expect("a configuration")
}

fn decided(config: &Config, shown: &Observation) -> Result<u32, PolicyError> {
    TargetTracking::decide(config, shown).map(|decision| decision.replicas)
}

const CPU: &str = r#"{"metrics": [{"name": "cpu-utilization", "target": 0.5}]}"#;

fn counted(replicas: usize) -> f64 {
    f64::from(u32::try_from(replicas).expect("few"))
}

/// Replicas with these values of cpu; none: no sample.
fn with_cpu(values: &[Option<f64>]) -> Observation {
    let mut shown = observation(u32::try_from(values.len()).expect("few"));
    let good: Vec<f64> = values.iter().copied().flatten().collect();
    let mean = good.iter().sum::<f64>() / counted(good.len());
    shown.metrics.push(series("cpu-utilization", &[mean]));
    for (replica, value) in shown.replicas.iter().zip(values) {
        if let Some(value) = value {
            shown.metrics.push(series_of("cpu-utilization", &replica.id, &[*value]));
        }
    }
    shown
}

#[test]
fn the_count_is_the_ratio_rounded_up_outside_of_the_tolerance() {
    for (values, wanted) in [
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
        assert_eq!(decided(&config(CPU), &with_cpu(&values)).ok(), Some(wanted), "{values:?}");
    }
}

#[test]
fn what_is_measured_at_replicas_does_not_lead_to_where_there_are_none() {
    let mut shown = with_cpu(&[Some(0.0), Some(0.0)]);
    shown.metrics.push(series("queue", &[0.0]));
    assert_eq!(decided(&config(CPU), &shown).ok(), Some(1));
    // A total leads back.
    let both = CPU.replace("]", r#", {"name": "queue", "target": 5, "kind": "total"}]"#);
    assert_eq!(decided(&config(&both), &shown).ok(), Some(0));
}

#[test]
fn a_total_is_shared_and_leads_from_zero() {
    let total = config(r#"{"metrics": [{"name": "requests", "target": 100, "kind": "total"}]}"#);
    for (current, value, wanted) in [
        (3, 300.0, 3),
        (3, 330.0, 3),
        (3, 331.0, 4),
        (3, 269.0, 3),
        (3, 150.0, 2),
        (0, 1.0, 1),
        (0, 0.0, 0),
        (0, 950.0, 10),
    ] {
        let shown = Observation { metrics: vec![series("requests", &[value])], ..observation(current) };
        assert_eq!(decided(&total, &shown).ok(), Some(wanted), "{current} {value}");
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
    // Down: two at 10 % of their limit and one that may be at all of it: 1.2 of 3 at 50 % are 80 %, not 20 %.
    assert_eq!(decided(&config(CPU), &with_cpu(&[Some(0.1), Some(0.1), None])).ok(), Some(3));
    // Of two such it is more than the target: that would turn round, and is held.
    assert_eq!(decided(&config(CPU), &with_cpu(&[Some(0.1), Some(0.1), None, None])).ok(), Some(4));
    // How high another metric may be nobody knows, so it is at its target: (0.4 + 2) / 4 = 60 % of 4.
    let queue = config(r#"{"metrics": [{"name": "queue", "target": 0.5}]}"#);
    let mut shown = with_cpu(&[Some(0.1), Some(0.1), None, None]);
    for series in &mut shown.metrics {
        series.name = "queue".to_owned();
    }
    assert_eq!(decided(&queue, &shown).ok(), Some(3));
    // Up: two at 300 % and two unknown: 600 % of 4, not 300 % of 4.
    assert_eq!(decided(&config(CPU), &with_cpu(&[Some(1.5), Some(1.5), None, None])).ok(), Some(6));
    // What would turn round is held: one at 150 % and three at nothing is below the target.
    assert_eq!(decided(&config(CPU), &with_cpu(&[Some(0.75), None, None, None])).ok(), Some(4));
}

#[test]
fn what_is_not_ready_is_no_load_on_the_way_up_and_stays_on_the_way_down() {
    // The anomaly of the Horizontal Pod Autoscaler: 3 replicas at 195 %, one of them ready: it scales down to 2.
    let mut shown = with_cpu(&[Some(0.975), Some(0.975), Some(0.975)]);
    shown.replicas[1].health = HealthStatus::Starting;
    shown.replicas[2].health = HealthStatus::Starting;
    assert_eq!(decided(&config(CPU), &shown).ok(), Some(3));
    // And 5 replicas at 60 % of the target, two of them not ready: it scales to 2.
    let mut shown = with_cpu(&[Some(0.3); 5]);
    shown.replicas[3].health = HealthStatus::Unhealthy;
    shown.replicas[4].phase = Phase::Starting;
    assert_eq!(decided(&config(CPU), &shown).ok(), Some(3));
    // Those that stop or have ended are gone.
    let mut shown = with_cpu(&[Some(1.0), Some(1.0), Some(1.0)]);
    shown.current_replicas = 2;
    shown.replicas[2].phase = Phase::Stopping;
    assert_eq!(decided(&config(CPU), &shown).ok(), Some(4));
}

#[test]
fn a_replica_that_warms_up_says_nothing() {
    let mut shown = with_cpu(&[Some(0.5), Some(4.0)]);
    shown.replicas[1].started_at = Some(NOW - 29_999);
    assert_eq!(decided(&config(CPU), &shown).ok(), Some(2));
    shown.replicas[1].started_at = Some(NOW - 30_000);
    assert_eq!(decided(&config(CPU), &shown).ok(), Some(9));
    // Wanted and not there yet is the same: no second step for the load of the first.
    let mut shown = with_cpu(&[Some(1.0), Some(1.0)]);
    shown.current_replicas = 4;
    assert_eq!(decided(&config(CPU), &shown).ok(), Some(4));
}

#[test]
fn the_highest_of_several_metrics_holds_and_the_reason_names_it() {
    let both = config(
        r#"{"metrics": [{"name": "cpu-utilization", "target": 0.5}, {"name": "requests", "target": 10, "kind": "total"}]}"#,
    );
    let with = |requests: Series| {
        let mut shown = with_cpu(&[Some(0.2), Some(0.2), Some(0.2)]);
        shown.metrics.push(requests);
        TargetTracking::decide(&both, &shown).map(|decision| (decision.replicas, decision.reason))
    };
    assert_eq!(
        with(series("requests", &[51.0])).ok(),
        Some((6, "`requests` for 3 replicas of target 10 is at 170 %: wants 6".to_owned()))
    );
    assert_eq!(
        with(series("requests", &[4.0])).ok(),
        Some((2, "`cpu-utilization` of target 0.5 is at 40 %: wants 2".to_owned()))
    );
    // One without a value lets the others raise, and nothing shrink.
    let (replicas, reason) = with(failed("requests", "stale: old")).expect("one has a value");
    assert_eq!((replicas, reason.starts_with("held at 3, since `requests` has no value (stale: old)")), (3, true));
    let mut shown = with_cpu(&[Some(1.0), Some(1.0)]);
    shown.metrics.push(failed("requests", "timeout: none"));
    assert_eq!(decided(&both, &shown).ok(), Some(4));
}

#[test]
fn without_any_value_there_is_no_answer() {
    for metrics in [Vec::new(), vec![failed("cpu-utilization", "missing: none")]] {
        let shown = Observation { metrics, ..observation(3) };
        assert!(matches!(decided(&config(CPU), &shown), Err(PolicyError::InsufficientData(_))));
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5] {
        assert!(decided(&config(CPU), &with_cpu(&[Some(value)])).is_err(), "{value}");
    }
    // A mean over no replica is none.
    let shown = Observation { metrics: vec![series("cpu-utilization", &[0.9])], ..observation(0) };
    assert!(decided(&config(CPU), &shown).is_err());
}

#[test]
fn scale_in_can_be_left_to_others() {
    let only_out = config(r#"{"metrics": [{"name": "cpu-utilization", "target": 0.5}], "scale-in": false}"#);
    assert_eq!(decided(&only_out, &with_cpu(&[Some(0.1); 4])).ok(), Some(4));
    assert_eq!(decided(&only_out, &with_cpu(&[Some(1.0); 4])).ok(), Some(8));
}

#[test]
fn a_refusal_names_the_field() {
    for (wrong, why) in [
        (r#"{"metrics": []}"#, "`metrics` has 0 entries; expected 1 to 8"),
        (r#"{"metrics": [{"name": "a", "target": 0}]}"#, "`metrics[0].target` is 0; expected a number above 0"),
        (r#"{"metrics": [{"name": "a"}]}"#, "`metrics[0]`: missing field `target`"),
        (
            r#"{"metrics": [{"name": "a", "target": 1}, {"name": "a", "target": 2}]}"#,
            "`metrics[1].name`: `a` is there twice",
        ),
        (r#"{"metrics": [{"name": "a", "target": 1}], "tolerance-up": 2}"#, "`tolerance-up` is 2; expected 0 to 1"),
        (
            r#"{"metrics": [{"name": "a", "target": 1}], "warm-up-ms": 3600001}"#,
            "`warm-up-ms` is 3600001; expected 0 to 3600000",
        ),
        (r#"{"metrics": [{"name": "a", "target": 1, "kind": "sum"}]}"#, "`metrics[0].kind`: unknown variant `sum`"),
    ] {
        let told = parse::<TargetTracking>(wrong).expect_err("refused");
        assert!(told.starts_with(why), "{wrong}: {told}");
    }
}

#[test]
fn the_page_and_the_schema_tell_the_truth() {
    check_page::<TargetTracking>(include_str!("../../README.md"));
    let schema: serde_json::Value = serde_json::from_str(TargetTracking::SCHEMA).expect("JSON");
    let settings = &schema["properties"];
    let usual = config(CPU);
    assert_eq!(settings["tolerance-up"]["default"], usual.tolerance_up);
    assert_eq!(settings["tolerance-down"]["default"], usual.tolerance_down);
    assert_eq!(settings["warm-up-ms"]["default"], usual.warm_up_ms);
    assert_eq!(settings["scale-in"]["default"], usual.scale_in);
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
        let shown = Observation { metrics: vec![series("requests", &[value])], ..observation(current) };
        for kind in ["total", "per-replica"] {
            let config = config(&format!(r#"{{"metrics": [{{"name": "requests", "target": 1e-300, "kind": "{kind}"}}]}}"#));
            let _answer = decided(&config, &shown);
        }
    }
}

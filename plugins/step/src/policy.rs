//! The policy. Its rule is `step` of the common crate, because the schedule policy can wrap it, too.

use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::step::{self, Config};

/// The policy.
#[derive(Debug)]
pub struct Step;

impl ScalingPolicy for Step {
    const NAME: &'static str = "step";
    const SUMMARY: &'static str = "Adds or removes replicas depending on the band of a metric's value";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    fn metrics(config: &Config) -> Vec<MetricRequest> {
        step::metrics(config)
    }

    fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
        step::decide(config, observation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_policy_common::bindings::windlass::policy::types::{HealthStatus, Phase, Replica, Series};
    use windlass_policy_common::fixtures::{
        NOW, check_page, failed, observation, replica, series, series_of, with_ready_before,
    };
    use windlass_policy_common::parse;

    const BANDS: &str = r#"{"metric": "load", "bands": [
        {"below": 30, "change": -1},
        {"from": 30, "below": 60, "change": 0},
        {"from": 60, "below": 80, "change": 2},
        {"from": 80, "below": 95, "percent": 50},
        {"from": 95, "exactly": 20}
    ]}"#;

    fn decided(config: &str, current: u32, value: f64) -> u32 {
        let config = parse::<Step>(config).expect("a configuration");
        let input = Observation { metrics: vec![series("load", &[value])], ..observation(current) };
        Step::decide(&config, &input).expect("an answer").replicas
    }

    #[test]
    fn the_band_of_the_value_says_what_is_done() {
        for (current, value, expected) in [
            (4, -5.0, 3),
            (4, 29.999, 3),
            (4, 30.0, 4),
            (4, 60.0, 6),
            (4, 80.0, 6),
            (5, 80.0, 8),
            (4, 95.0, 20),
            (0, 10.0, 0),
        ] {
            assert_eq!(decided(BANDS, current, value), expected, "{current} {value}");
        }
        // A value outside all bands changes nothing.
        assert_eq!(decided(r#"{"metric": "load", "bands": [{"from": 1, "below": 2, "change": 5}]}"#, 4, 2.0), 4);
    }

    #[test]
    fn percent_is_rounded_up_on_the_way_up_and_toward_zero_on_the_way_down() {
        let percent = |percent: i32, least: u32| {
            format!(
                r#"{{"metric": "load", "bands": [{{"from": 0, "percent": {percent}}}], "minimum-magnitude": {least}}}"#
            )
        };
        for (percent_of, least, current, expected) in
            [(25, 2, 4, 6), (25, 1, 4, 5), (1, 1, 3, 4), (-25, 1, 6, 5), (-10, 1, 3, 2), (-100, 1, 3, 0), (0, 5, 3, 3)]
        {
            assert_eq!(decided(&percent(percent_of, least), current, 1.0), expected, "{percent_of} of {current}");
        }
    }

    /// Calls the policy for each (seconds, value). Each proposal becomes the current count of the next call.
    fn proposals(config: &str, current: u32, times: &[(u64, f64)]) -> Vec<u32> {
        let config = parse::<Step>(config).expect("a configuration");
        let (mut current, mut memory) = (current, Vec::new());
        let counts = times.iter().map(|(seconds, value)| {
            let input = Observation {
                now: NOW + seconds * 1_000,
                memory: std::mem::take(&mut memory),
                metrics: vec![series("load", &[*value])],
                ..observation(current)
            };
            let decision = Step::decide(&config, &input).expect("an answer");
            memory = decision.memory;
            current = decision.replicas;
            current
        });
        counts.collect()
    }

    #[test]
    fn a_step_is_taken_once_in_the_time_it_holds() {
        assert_eq!(proposals(BANDS, 4, &[(0, 70.0), (15, 70.0), (59, 70.0), (60, 70.0), (75, 70.0)]), [6, 6, 6, 8, 8]);
        assert_eq!(proposals(BANDS, 4, &[(0, 10.0), (15, 10.0), (60, 10.0)]), [3, 3, 2]);
        // A higher band enlarges the same step, and a lower band does not undo it.
        assert_eq!(proposals(BANDS, 10, &[(0, 70.0), (15, 85.0), (30, 70.0), (45, 10.0)]), [12, 15, 15, 15]);
        // A step up follows a step down without delay.
        assert_eq!(proposals(BANDS, 4, &[(0, 10.0), (15, 70.0)]), [3, 6]);
    }

    #[test]
    fn within_its_hold_a_step_takes_nothing_back_and_a_clock_that_is_set_back_ends_it() {
        let config = parse::<Step>(BANDS).expect("a configuration");
        let ask = |seconds: u64, current: u32, value: f64, memory: &[u8]| {
            let metrics = vec![series("load", &[value])];
            let input =
                Observation { now: NOW + seconds * 1_000, memory: memory.to_vec(), metrics, ..observation(current) };
            Step::decide(&config, &input).expect("an answer")
        };
        let first = ask(600, 4, 70.0, &[]);
        assert_eq!(first.replicas, 6);
        // The count has been raised to 30 since: a higher band that leads to 20 does not lower it.
        assert_eq!(ask(615, 30, 95.0, &first.memory).replicas, 30);
        // Ten minutes before its time, the step is not in effect.
        assert_eq!(ask(0, 6, 70.0, &first.memory).replicas, 8);
    }

    #[test]
    fn what_is_not_ready_is_no_load_so_a_deploy_that_crashes_is_not_scaled_on_and_on() {
        let config = parse::<Step>(BANDS).expect("a configuration");
        let with = |ready: usize, starting: usize| {
            let replicas: Vec<Replica> = (0..ready + starting)
                .map(|number| {
                    let phase = if number < ready { Phase::Running } else { Phase::Starting };
                    Replica { phase, ..replica(&number.to_string()) }
                })
                .collect();
            let measured = (0..ready).map(|number| series_of("load", &number.to_string(), &[90.0]));
            let metrics = [series("load", &[90.0])].into_iter().chain(measured).collect();
            let current = u32::try_from(replicas.len()).expect("few");
            let input = Observation { replicas, metrics, ..observation(current) };
            Step::decide(&config, &input).expect("an answer").replicas
        };
        // The mean is 90 over 4 replicas; 72 over 5, in a lower band; and 45 over 8, which adds no replica.
        assert_eq!((with(4, 0), with(4, 1), with(4, 4)), (6, 7, 8));
    }

    #[test]
    fn replicas_that_were_ready_and_fail_count_as_load() {
        let config = parse::<Step>(BANDS).expect("a configuration");
        let mut input = observation(3);
        input.metrics.push(series("load", &[85.0]));
        input.metrics.extend(["r1", "r2", "r3"].map(|id| series_of("load", id, &[85.0])));
        for replica in &mut input.replicas[1..] {
            replica.health = HealthStatus::Unhealthy;
        }
        let decided =
            |ready: &[&str]| with_ready_before(ready, || Step::decide(&config, &input).expect("an answer").replicas);
        assert_eq!((decided(&["r2", "r3"]), decided(&[])), (5, 3));
    }

    #[test]
    fn what_some_replicas_have_no_value_of_takes_nothing_away() {
        let config = parse::<Step>(BANDS).expect("a configuration");
        let decided = |value: f64, failure: &str| {
            let load = Series { failure: Some(failure.to_owned()), ..series("load", &[value]) };
            let input = Observation { metrics: vec![load], ..observation(4) };
            Step::decide(&config, &input).ok().map(|decision| decision.replicas)
        };
        let partial = "partial: 1 of 4 replicas have no value: timeout: no answer within 5000 ms";
        assert_eq!((decided(10.0, partial), decided(70.0, partial)), (Some(4), Some(6)));
        assert_eq!(decided(70.0, "timeout: no answer within 5000 ms"), None);
    }

    #[test]
    fn a_metric_without_a_value_is_no_answer() {
        let config = parse::<Step>(BANDS).expect("a configuration");
        let input = Observation { metrics: vec![failed("load", "stale: old")], ..observation(3) };
        assert!(matches!(Step::decide(&config, &input), Err(PolicyError::InsufficientData(_))));
        // Memory that is not a step counts as no step.
        let input = Observation { metrics: vec![series("load", &[70.0])], memory: vec![7], ..observation(3) };
        assert_eq!(Step::decide(&config, &input).expect("an answer").replicas, 5);
    }

    #[test]
    fn gaps_and_overlaps_are_refused_with_their_place() {
        let bands = |bands: &str| {
            parse::<Step>(&format!(r#"{{"metric": "load", "bands": {bands}}}"#)).err().unwrap_or_default()
        };
        for (config, error) in [
            ("[]", "`bands` has 0 entries"),
            (r#"[{"from": 1}]"#, "`bands[0]`: expected exactly one of"),
            (r#"[{"change": 1, "exactly": 2}]"#, "`bands[0]`: expected exactly one of"),
            (r#"[{"from": 2, "below": 2, "change": 1}]"#, "`bands[0]`: `from` is 2 and `below` is 2"),
            (
                r#"[{"below": 1, "change": 1}, {"from": 2, "change": 1}]"#,
                "`bands[1].from` is 2, which leaves a gap after 1, where `bands[0]` ends",
            ),
            (
                r#"[{"below": 3, "change": 1}, {"from": 2, "change": 1}]"#,
                "`bands[1].from` is 2, which overlaps `bands[0]`, which ends at 3",
            ),
            (r#"[{"change": 1}, {"from": 2, "change": 1}]"#, "`bands[1].from` and `bands[0].below` must be set"),
        ] {
            let text = bands(config);
            assert!(text.starts_with(error), "{config}: {text}");
        }
    }

    #[test]
    fn bands_that_change_the_count_at_every_value_are_refused() {
        let error = |metric: &str, bands: &str| {
            parse::<Step>(&format!(r#"{{"metric": "{metric}", "bands": {bands}}}"#)).err().unwrap_or_default()
        };
        let alone = "`bands[0]` has neither `from` nor `below`, so it ";
        for (bands, expected) in [
            (
                r#"[{"change": 1}]"#,
                format!("{alone}adds replicas at every value, without end; set a bound, or use `exactly`"),
            ),
            (r#"[{"percent": 50}]"#, format!("{alone}adds replicas at every value")),
            (r#"[{"change": -1}]"#, format!("{alone}removes replicas at every value")),
            (
                r#"[{"below": 50, "change": 1}, {"from": 50, "percent": 50}]"#,
                "`bands`: every value adds replicas, without end; leave a range of values without a change".to_owned(),
            ),
            (
                r#"[{"below": 50, "percent": -50}, {"from": 50, "change": -1}]"#,
                "`bands`: every value removes replicas, without end".to_owned(),
            ),
        ] {
            assert!(error("load", bands).starts_with(&expected), "{bands}: {}", error("load", bands));
        }
        // The number of replicas is no load: it follows the count.
        let own = "`metric` is `ready-replicas`, which follows the count that the policy sets";
        for bands in [r#"[{"from": 3, "change": 1}]"#, r#"[{"below": 3, "percent": -10}]"#] {
            assert!(error("ready-replicas", bands).starts_with(own), "{bands}: {}", error("ready-replicas", bands));
        }
        for (metric, bands) in [
            ("load", r#"[{"exactly": 4}]"#),
            ("load", r#"[{"change": 0}]"#),
            ("load", r#"[{"below": 50, "change": -1}, {"from": 50, "change": 1}]"#),
            ("load", r#"[{"below": 50, "exactly": 2}, {"from": 50, "change": 1}]"#),
            ("load", r#"[{"from": 50, "change": 1}]"#),
            ("ready-replicas", r#"[{"below": 3, "change": 1}]"#),
        ] {
            assert_eq!(error(metric, bands), "", "{metric} {bands}");
        }
    }

    #[test]
    fn the_page_and_the_schema_tell_the_truth() {
        check_page::<Step>(include_str!("../README.md"));
        let schema: serde_json::Value = serde_json::from_str(Step::SCHEMA).expect("JSON");
        let defaults = parse::<Step>(BANDS).expect("a configuration");
        assert_eq!(schema["properties"]["hold-ms"]["default"], defaults.hold_ms);
        assert_eq!(schema["properties"]["minimum-magnitude"]["default"], defaults.minimum_magnitude);
    }
}

//! The policy: the rule is `step` of the crate that policies have in common, since a schedule may have it within, too.

use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::step::{self, Config};

/// Scales by steps.
#[derive(Debug)]
pub struct Step;

impl ScalingPolicy for Step {
    const NAME: &'static str = "step";
    const SUMMARY: &'static str = "Where the value of a metric lies says how many more or fewer";
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
    use windlass_policy_common::bindings::windlass::policy::types::{Phase, Replica, Series};
    use windlass_policy_common::fixtures::{NOW, check_page, failed, observation, replica, series, series_of};
    use windlass_policy_common::parse;

    const BANDS: &str = r#"{"metric": "load", "bands": [
        {"below": 30, "change": -1},
        {"from": 30, "below": 60, "change": 0},
        {"from": 60, "below": 80, "change": 2},
        {"from": 80, "below": 95, "percent": 50},
        {"from": 95, "exactly": 20}
    ]}"#;

    fn asked(config: &str, current: u32, value: f64) -> u32 {
        let config = parse::<Step>(config).expect("a configuration");
        let shown = Observation { metrics: vec![series("load", &[value])], ..observation(current) };
        Step::decide(&config, &shown).expect("an answer").replicas
    }

    #[test]
    fn the_band_of_the_value_says_what_is_done() {
        for (current, value, wanted) in [
            (4, -5.0, 3),
            (4, 29.999, 3),
            (4, 30.0, 4),
            (4, 60.0, 6),
            (4, 80.0, 6),
            (5, 80.0, 8),
            (4, 95.0, 20),
            (0, 10.0, 0),
        ] {
            assert_eq!(asked(BANDS, current, value), wanted, "{current} {value}");
        }
        // Between the first and the last there is no gap; outside of them nothing is done.
        assert_eq!(asked(r#"{"metric": "load", "bands": [{"from": 1, "below": 2, "change": 5}]}"#, 4, 2.0), 4);
    }

    #[test]
    fn percent_is_rounded_up_on_the_way_up_and_toward_zero_on_the_way_down() {
        let percent = |percent: i32, least: u32| {
            format!(r#"{{"metric": "load", "bands": [{{"percent": {percent}}}], "minimum-magnitude": {least}}}"#)
        };
        for (percent_of, least, current, wanted) in
            [(25, 2, 4, 6), (25, 1, 4, 5), (1, 1, 3, 4), (-25, 1, 6, 5), (-10, 1, 3, 2), (-100, 1, 3, 0), (0, 5, 3, 3)]
        {
            assert_eq!(asked(&percent(percent_of, least), current, 1.0), wanted, "{percent_of} of {current}");
        }
    }

    /// Asks again and again: (seconds, value) lead to counts, each of which is then the current one.
    fn story(config: &str, current: u32, times: &[(u64, f64)]) -> Vec<u32> {
        let config = parse::<Step>(config).expect("a configuration");
        let (mut current, mut memory) = (current, Vec::new());
        let told = times.iter().map(|(seconds, value)| {
            let shown = Observation {
                now: NOW + seconds * 1_000,
                memory: std::mem::take(&mut memory),
                metrics: vec![series("load", &[*value])],
                ..observation(current)
            };
            let decision = Step::decide(&config, &shown).expect("an answer");
            memory = decision.memory;
            current = decision.replicas;
            current
        });
        told.collect()
    }

    #[test]
    fn a_step_is_taken_once_in_the_time_it_holds() {
        assert_eq!(story(BANDS, 4, &[(0, 70.0), (15, 70.0), (59, 70.0), (60, 70.0), (75, 70.0)]), [6, 6, 6, 8, 8]);
        assert_eq!(story(BANDS, 4, &[(0, 10.0), (15, 10.0), (60, 10.0)]), [3, 3, 2]);
        // A higher band makes the same step larger, and a lower one does not take it back.
        assert_eq!(story(BANDS, 10, &[(0, 70.0), (15, 85.0), (30, 70.0), (45, 10.0)]), [12, 15, 15, 15]);
        // A step up comes at once after one down.
        assert_eq!(story(BANDS, 4, &[(0, 10.0), (15, 70.0)]), [3, 6]);
    }

    #[test]
    fn within_its_hold_a_step_takes_nothing_back_and_a_clock_that_is_set_back_ends_it() {
        let config = parse::<Step>(BANDS).expect("a configuration");
        let ask = |seconds: u64, current: u32, value: f64, memory: &[u8]| {
            let metrics = vec![series("load", &[value])];
            let shown =
                Observation { now: NOW + seconds * 1_000, memory: memory.to_vec(), metrics, ..observation(current) };
            Step::decide(&config, &shown).expect("an answer")
        };
        let first = ask(600, 4, 70.0, &[]);
        assert_eq!(first.replicas, 6);
        // Somebody moved it to 30 since: a higher band, which leads to 20, is no reason to go below.
        assert_eq!(ask(615, 30, 95.0, &first.memory).replicas, 30);
        // Ten minutes before that step it is not in force.
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
            let shown = Observation { replicas, metrics, ..observation(current) };
            Step::decide(&config, &shown).expect("an answer").replicas
        };
        // 90 of 4; 72 over 5, in a lower band; 45 over 8, which is no reason for more.
        assert_eq!((with(4, 0), with(4, 1), with(4, 4)), (6, 7, 8));
    }

    #[test]
    fn what_some_replicas_have_no_value_of_takes_nothing_away() {
        let config = parse::<Step>(BANDS).expect("a configuration");
        let asked = |value: f64, why: &str| {
            let load = Series { failure: Some(why.to_owned()), ..series("load", &[value]) };
            let shown = Observation { metrics: vec![load], ..observation(4) };
            Step::decide(&config, &shown).ok().map(|decision| decision.replicas)
        };
        let partial = "partial: 1 of 4 replicas have no value: timeout: no answer within 5000 ms";
        assert_eq!((asked(10.0, partial), asked(70.0, partial)), (Some(4), Some(6)));
        assert_eq!(asked(70.0, "timeout: no answer within 5000 ms"), None);
    }

    #[test]
    fn a_metric_without_a_value_is_no_answer() {
        let config = parse::<Step>(BANDS).expect("a configuration");
        let shown = Observation { metrics: vec![failed("load", "stale: old")], ..observation(3) };
        assert!(matches!(Step::decide(&config, &shown), Err(PolicyError::InsufficientData(_))));
        // Memory of another kind is no step.
        let shown = Observation { metrics: vec![series("load", &[70.0])], memory: vec![7], ..observation(3) };
        assert_eq!(Step::decide(&config, &shown).expect("an answer").replicas, 5);
    }

    #[test]
    fn gaps_and_overlaps_are_refused_with_their_place() {
        let bands = |bands: &str| {
            parse::<Step>(&format!(r#"{{"metric": "load", "bands": {bands}}}"#)).err().unwrap_or_default()
        };
        for (wrong, why) in [
            ("[]", "`bands` has 0 entries"),
            (r#"[{"from": 1}]"#, "`bands[0]`: expected exactly one of"),
            (r#"[{"change": 1, "exactly": 2}]"#, "`bands[0]`: expected exactly one of"),
            (r#"[{"from": 2, "below": 2, "change": 1}]"#, "`bands[0]`: `from` is 2, and `below` is 2"),
            (
                r#"[{"below": 1, "change": 1}, {"from": 2, "change": 1}]"#,
                "`bands[1].from` is 2: there is a gap from 1, where `bands[0]` ends",
            ),
            (
                r#"[{"below": 3, "change": 1}, {"from": 2, "change": 1}]"#,
                "`bands[1].from` is 2: it overlaps `bands[0]`, which ends at 3",
            ),
            (r#"[{"change": 1}, {"from": 2, "change": 1}]"#, "`bands[1].from` and `bands[0].below` must be there"),
        ] {
            let told = bands(wrong);
            assert!(told.starts_with(why), "{wrong}: {told}");
        }
    }

    #[test]
    fn the_page_and_the_schema_tell_the_truth() {
        check_page::<Step>(include_str!("../README.md"));
        let schema: serde_json::Value = serde_json::from_str(Step::SCHEMA).expect("JSON");
        let usual = parse::<Step>(BANDS).expect("a configuration");
        assert_eq!(schema["properties"]["hold-ms"]["default"], usual.hold_ms);
        assert_eq!(schema["properties"]["minimum-magnitude"]["default"], usual.minimum_magnitude);
    }
}

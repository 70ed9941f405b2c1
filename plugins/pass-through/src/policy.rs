//! The policy. Its rule is `pass_through` of the common crate, because the schedule policy can wrap it, too.

use windlass_policy_common::ScalingPolicy;
use windlass_policy_common::bindings::exports::windlass::policy::manifest::MetricRequest;
use windlass_policy_common::bindings::exports::windlass::policy::scaling::{Decision, Observation};
use windlass_policy_common::bindings::windlass::policy::types::PolicyError;
use windlass_policy_common::pass_through::{self, Config};

/// The policy.
#[derive(Debug)]
pub struct PassThrough;

impl ScalingPolicy for PassThrough {
    const NAME: &'static str = "pass-through";
    const SUMMARY: &'static str = "Uses the value of a metric as the count";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    fn metrics(config: &Config) -> Vec<MetricRequest> {
        pass_through::metrics(config)
    }

    fn decide(config: &Config, observation: &Observation) -> Result<Decision, PolicyError> {
        pass_through::decide(config, observation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_policy_common::bindings::windlass::policy::types::Series;
    use windlass_policy_common::fixtures::{check_page, failed, observation, series};
    use windlass_policy_common::parse;

    fn decided(config: &str, value: f64) -> Result<u32, PolicyError> {
        let config = parse::<PassThrough>(config).expect("a configuration");
        let input = Observation { metrics: vec![series("workers", &[1.0, value])], ..observation(3) };
        PassThrough::decide(&config, &input).map(|decision| decision.replicas)
    }

    #[test]
    fn the_newest_value_is_the_count() {
        let plain = r#"{"metric": "workers"}"#;
        for (config, value, expected) in [
            (plain, 7.0, 7),
            (plain, 0.0, 0),
            (plain, 6.2, 7),
            (plain, 1e300, u32::MAX),
            (r#"{"metric": "workers", "divide-by": 10}"#, 41.0, 5),
            (r#"{"metric": "workers", "divide-by": 0.1}"#, 0.3, 3),
            (r#"{"metric": "workers", "add": 2}"#, 7.0, 9),
            (r#"{"metric": "workers", "add": -9}"#, 7.0, 0),
        ] {
            assert_eq!(decided(config, value).ok(), Some(expected), "{config} {value}");
        }
    }

    #[test]
    fn what_is_no_count_is_no_zero() {
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(decided(r#"{"metric": "workers"}"#, value).is_err(), "{value}");
        }
        let config = parse::<PassThrough>(r#"{"metric": "workers"}"#).expect("a configuration");
        let in_part = |value: f64| {
            let failure = Some("partial: 1 of 3 replicas have no value: timeout".to_owned());
            let input =
                Observation { metrics: vec![Series { failure, ..series("workers", &[value]) }], ..observation(3) };
            PassThrough::decide(&config, &input).ok().map(|decision| decision.replicas)
        };
        assert_eq!((in_part(2.0), in_part(5.0)), (Some(3), Some(5)));
        for metrics in [Vec::new(), vec![failed("workers", "stale: old")]] {
            let input = Observation { metrics, ..observation(3) };
            assert!(matches!(PassThrough::decide(&config, &input), Err(PolicyError::InsufficientData(_))));
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        for (config, error) in [
            ("{}", "missing field `metric`"),
            (r#"{"metric": "a", "divide-by": 0}"#, "`divide-by` is 0; expected a number above 0"),
            (r#"{"metric": "ready-replicas", "add": 1}"#, "`metric` is `ready-replicas`, which follows the count"),
            (r#"{"metric": "a", "add": 2000}"#, "`add` is 2000; expected a whole number from -1000 to 1000"),
            (r#"{"metric": "a", "add": "x"}"#, "`add`: invalid type"),
            (r#"{"metric": "a", "factor": 2}"#, "`factor`: unknown field `factor`"),
        ] {
            let text = parse::<PassThrough>(config).expect_err("the configuration is invalid");
            assert!(text.starts_with(error), "{config}: {text}");
        }
    }

    #[test]
    fn the_page_tells_the_truth() {
        check_page::<PassThrough>(include_str!("../README.md"));
    }
}

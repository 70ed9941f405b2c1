//! The glue between the contract in `wit/` and the rule in `rule.rs`.

wit_bindgen::generate!({ world: "scaling-policy", path: "wit" });

use exports::windlass::policy::{manifest, scaling};
use crate::rule::{self, Answer, Problem};
use windlass::policy::log::{Level, write};
use windlass::policy::types::PolicyError;

struct QueueDepth;

impl manifest::Guest for QueueDepth {
    fn describe() -> manifest::Description {
        manifest::Description {
            name: "queue-depth".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Keeps a fixed number of waiting items per replica; scales in after a cool-down".to_owned(),
            config_schema: rule::SCHEMA.to_owned(),
        }
    }

    fn configure(config: String) -> Result<manifest::Requirements, PolicyError> {
        let config = rule::configure(&config).map_err(PolicyError::InvalidConfig)?;
        let metric = manifest::MetricRequest { name: config.metric, window: 60_000 };
        Ok(manifest::Requirements { metrics: vec![metric] })
    }
}

impl scaling::Guest for QueueDepth {
    fn decide(config: String, seen: scaling::Observation) -> Result<scaling::Decision, PolicyError> {
        let config = rule::configure(&config).map_err(PolicyError::InvalidConfig)?;
        let series = seen.metrics.iter().find(|series| series.name == config.metric && series.replica.is_none());
        let series = series.map(|series| rule::Series {
            newest: series.samples.last().map(|sample| sample.value),
            failure: series.failure.as_deref(),
        });
        match rule::decide(&config, seen.now, seen.current_replicas, series, &seen.memory) {
            Ok(Answer { replicas, reason, memory, evaluate_after }) => {
                write(Level::Debug, &reason);
                Ok(scaling::Decision { replicas, reason, memory, evaluate_after })
            }
            Err(Problem(why)) => Err(PolicyError::InsufficientData(why)),
        }
    }
}

export!(QueueDepth);

//! Reads damaged scenarios for `windlass simulate`, and runs them.

use crate::fuzz::seeds::examples;
use crate::fuzz::target::{Parser, Target};
use crate::fuzz::targets::runtime;
use crate::fuzz::targets::trace::{keeps, workload};
use windlass_simulate::scenario::Scenario;

pub(crate) const TARGET: Target = Target {
    name: "scenario",
    cases: 150,
    seeds: || examples("examples/scenarios"),
    words: &[
        "{\"at\": 0}\n",
        "{\"workload\": {}}\n",
        "\"at\"",
        "\"proposal\"",
        "\"unavailable\"",
        "\"metrics\"",
        "\"replicas\"",
        "\"begin\"",
        "\"2026-01-01T00:00:00Z\"",
        "\"-009999-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59Z\"",
        "\"phase\"",
        "\"exited\"",
        "\"started\"",
        "\"cpu_cores\"",
        "\"memory_bytes\"",
        "\"min_replicas\"",
        "\"guardrails\"",
        "\"window\"",
        "\"rates\"",
        "1e9",
        "86400",
        "# a comment\n",
    ],
    start,
};

fn start() -> Parser {
    let runtime = runtime();
    Box::new(move |input| {
        let scenario = match Scenario::parse(&String::from_utf8_lossy(input)) {
            Ok(scenario) => scenario,
            Err(why) => {
                assert!(!why.is_empty());
                return false;
            }
        };
        let Some(workload) = workload(scenario.beginning.workload.clone()) else { return false };
        let bounds = workload.bounds;
        // A scenario that exceeds the limits of a simulation is an error.
        let outcomes = runtime.block_on(scenario.run(workload, keeps(), "{}".to_owned(), None)).unwrap_or_default();
        for outcome in outcomes {
            assert_eq!(outcome.target, bounds.clamp(outcome.target), "{}", outcome.reason);
        }
        true
    })
}

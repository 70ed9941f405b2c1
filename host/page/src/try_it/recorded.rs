//! The recorded hours of a workload as a trace of load, and the count that there was.

use crate::series::Line;
use serde_json::{Value, json};
use windlass_core::Timestamp;
use windlass_core::contract::Sample;
use windlass_core::metric::BuiltIn;

/// A metric of the workload with its recorded values, by time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
}

/// The name of the column of CPU load in the trace.
pub(crate) const CPU: &str = "cpu-load";

/// The fewest values that are worth a replay.
pub(crate) const FEWEST: usize = 10;

/// The load over time from CPU utilization and ready replicas: the CPUs in use, in replicas.
fn cpu_load(recorded: &[Recorded]) -> Vec<Sample> {
    let of = |built_in: BuiltIn| {
        recorded.iter().find(|metric| metric.name == built_in.name()).map(|metric| metric.samples.as_slice())
    };
    let (Some(cpu), Some(ready)) = (of(BuiltIn::CpuUtilization), of(BuiltIn::ReadyReplicas)) else { return Vec::new() };
    let load = |sample: &Sample| {
        let until = ready.partition_point(|ready| ready.at <= sample.at);
        let replicas = until.checked_sub(1).map_or(1.0, |last| ready[last].value);
        // If none was ready, the load was that of the replicas that failed under it.
        Sample { at: sample.at, value: sample.value * replicas.max(1.0) }
    };
    cpu.iter().map(load).collect()
}

/// The trace of a load, and the load itself.
///
/// # Errors
/// One sentence: there are too few values.
pub(crate) fn trace(recorded: &[Recorded], metric: Option<&str>) -> Result<(String, Vec<Sample>), String> {
    let load = match metric {
        None => cpu_load(recorded),
        Some(name) => {
            let found = recorded.iter().find(|metric| metric.name == name);
            found.ok_or_else(|| format!("the workload has no metric `{name}`"))?.samples.clone()
        }
    };
    if load.len() < FEWEST {
        let what = metric.map_or_else(|| "CPU use".to_owned(), |name| format!("metric `{name}`"));
        return Err(format!(
            "only {} values of its {what} are recorded, too few for a replay; wait, or replay an example",
            load.len()
        ));
    }
    let mut columns: Vec<Value> = Vec::new();
    if metric.is_none() {
        columns.push(column(CPU, &load));
    }
    let own = recorded.iter().filter(|metric| BuiltIn::of(&metric.name).is_none() && !metric.samples.is_empty());
    columns.extend(own.map(|metric| column(&metric.name, &metric.samples)));
    Ok((json!(columns).to_string(), load))
}

fn column(name: &str, samples: &[Sample]) -> Value {
    let samples: Vec<Value> = samples.iter().map(|sample| json!({"at": sample.at, "value": sample.value})).collect();
    json!({"name": name, "source": "recorded", "samples": samples})
}

/// The ready replicas that there were, as a line.
pub(crate) fn ready(recorded: &[Recorded]) -> Line {
    let found = recorded.iter().find(|metric| metric.name == BuiltIn::ReadyReplicas.name());
    let points = found.map(|metric| metric.samples.iter().map(|sample| (sample.at.0, Some(sample.value))).collect());
    Line { name: "recorded".to_owned(), points: points.unwrap_or_default() }
}

/// The load that a replica served: the highest load of a replica at which no more replicas were ready later than in 1 of 20
/// values. `None` without ready replicas.
pub(crate) fn capacity(load: &[Sample], ready: &Line) -> Option<f64> {
    let each = |sample: &Sample| {
        let replicas = ready.at(sample.at.0).filter(|replicas| *replicas > 0.0)?;
        Some(sample.value / replicas)
    };
    let mut all: Vec<f64> = load.iter().filter_map(each).filter(|value| *value > 0.0).collect();
    all.sort_by(f64::total_cmp);
    // The highest ones are peaks that the replicas did not serve in time.
    all.get(all.len() * 19 / 20).copied()
}

/// Replica-minutes below and above what a load needs, over the time of the load.
pub(crate) fn minutes(load: &[Sample], count: &Line, capacity: f64) -> (f64, f64) {
    let (mut too_little, mut too_much) = (0.0, 0.0);
    for pair in load.windows(2) {
        let Some(count) = count.at(pair[0].at.0) else { continue };
        let minutes = pair[1].at.since(pair[0].at).min(LONGEST_VALUE).as_secs_f64() / 60.0;
        let needed = (pair[0].value / capacity).ceil();
        too_little += (needed - count).max(0.0) * minutes;
        too_much += (count - needed).max(0.0) * minutes;
    }
    (too_little, too_much)
}

/// The longest time for which a recorded value counts: older values are means of 5 minutes, and a longer gap has no value.
const LONGEST_VALUE: std::time::Duration = std::time::Duration::from_secs(600);

/// The replicas that a load needs, as a line.
pub(crate) fn needed(load: impl Iterator<Item = (Timestamp, f64)>, capacity: f64) -> Line {
    let points = load.map(|(at, load)| (at.0, Some((load / capacity).ceil())));
    Line { name: "needed".to_owned(), points: points.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_simulate::trace::Trace;

    fn metric(name: &str, values: &[f64]) -> Recorded {
        let samples =
            values.iter().zip(0..).map(|(value, minute)| Sample { at: Timestamp(60_000 * minute), value: *value });
        Recorded { name: name.to_owned(), samples: samples.collect() }
    }

    #[test]
    fn the_load_of_the_processors_is_a_trace_that_the_simulator_reads() {
        let recorded =
            [metric("cpu-utilization", &[0.5; 12]), metric("ready-replicas", &[4.0; 12]), metric("orders", &[9.0; 12])];
        let (text, load) = trace(&recorded, None).expect("a trace");
        assert_eq!((load.len(), load[3].value), (12, 2.0));
        let trace = Trace::parse(&text, Some(CPU)).expect("the simulator reads it");
        assert!((trace.load(Timestamp(120_000)) - 2.0).abs() < 1e-9);
        assert_eq!(trace.value("orders", Timestamp(120_000)), Some(9.0));
    }

    #[test]
    fn a_short_history_is_no_trace() {
        let recorded = [metric("orders", &[1.0; 9])];
        let why = trace(&recorded, Some("orders")).expect_err("refused");
        assert_eq!(
            why,
            "only 9 values of its metric `orders` are recorded, too few for a replay; wait, or replay an example"
        );
        assert!(trace(&recorded, Some("x")).is_err());
        assert!(trace(&recorded, None).expect_err("refused").starts_with("only 0 values of its CPU use"));
    }

    #[test]
    fn the_capacity_is_what_a_replica_served_without_the_highest_peaks() {
        let mut loads = vec![100.0; 40];
        loads[7] = 900.0;
        let load = metric("orders", &loads).samples;
        let ready = ready(&[metric("ready-replicas", &[2.0; 40])]);
        assert_eq!(capacity(&load, &ready), Some(50.0));
        assert_eq!(capacity(&load, &Line::default()), None);
    }

    #[test]
    fn minutes_are_counted_below_and_above_the_need() {
        let load = metric("orders", &[100.0, 250.0, 250.0, 0.0]).samples;
        let count = Line { name: String::new(), points: vec![(0, Some(2.0)), (120_000, Some(4.0))] };
        // Needed are 1, 3 and 3: one too many, one too few, one too many.
        assert_eq!(minutes(&load, &count, 100.0), (1.0, 2.0));
        let line = needed(load.iter().map(|sample| (sample.at, sample.value)), 100.0);
        assert_eq!(line.at(60_000), Some(3.0));
    }
}

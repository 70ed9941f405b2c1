//! The lines and bands of a workload from its recorded decisions and its metrics.

use crate::decisions::Decision;
use crate::series::{Band, Line, Series};
use serde_json::Value;

/// The series of decisions, newest first, and of an answer of `GET /workloads/{name}/metrics`. A band ends at `until`.
pub(crate) fn series(decisions: &[Decision], metrics: &Value, until: u64) -> Series {
    let line = |name: &str, value: &dyn Fn(&Decision) -> Option<u64>| Line {
        name: name.to_owned(),
        points: decisions
            .iter()
            .rev()
            .map(|decision| (decision.at, value(decision).map(|count| count as f64)))
            .collect(),
    };
    let stage = |index: usize| move |decision: &Decision| Some(decision.stages?[index]);
    let mut lines = vec![
        line("replicas.ready", &|decision| Some(decision.ready)),
        line("replicas.running", &|decision| Some(decision.running)),
        line("count.raw", &stage(0)),
        line("count.stabilized", &stage(1)),
        line("count.limited", &stage(2)),
        line("count.target", &|decision| Some(decision.target)),
    ];
    lines.extend(metrics["metrics"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(metric));
    Series { lines, bands: overrides(decisions, until) }
}

fn metric(metric: &Value) -> Option<Line> {
    let points = metric["samples"].as_array()?.iter();
    let points = points.filter_map(|sample| Some((sample["at_ms"].as_u64()?, sample["value"].as_f64())));
    Some(Line { name: format!("metric.{}", metric["name"].as_str()?), points: points.collect() })
}

/// The times in which an override was in force.
fn overrides(decisions: &[Decision], until: u64) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    let mut since = None;
    for decision in decisions.iter().rev() {
        match (decision.overridden, since) {
            (true, None) => since = Some(decision.at),
            (false, Some(from)) => {
                bands.push(band(from, decision.at));
                since = None;
            }
            _ => {}
        }
    }
    bands.extend(since.map(|from| band(from, until)));
    bands
}

fn band(from: u64, until: u64) -> Band {
    Band { kind: "override".to_owned(), from, until, text: "An operator's override was in force.".to_owned() }
}

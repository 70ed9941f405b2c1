//! The charts of a workload: its replicas, the stages of its count, and each of its metrics, on one time axis.

use crate::chart::{Axis, Chart, Drawn, Form, Mark};
use crate::decisions::Decision;
use crate::series::{Band, Series};
use maud::{Markup, html};
use serde_json::json;
use windlass_core::Timestamp;

/// The most metrics with a chart.
const MOST_METRICS: usize = 12;

/// The most decisions whose sentence appears under the pointer.
const MOST_MOMENTS: usize = 200;

/// Names, classes and series of the lines.
const REPLICAS: [(&str, &str, &str); 3] =
    [("running", "l3", "replicas.running"), ("ready", "l1", "replicas.ready"), ("target", "l2", "count.target")];
const STAGES: [(&str, &str, &str); 4] = [
    ("raw", "l4", "count.raw"),
    ("stabilized", "l5", "count.stabilized"),
    ("limited", "l3", "count.limited"),
    ("target", "l2", "count.target"),
];

/// All charts with these marks, and the decisions for the script.
pub(crate) fn all(axis: Axis, series: &Series, decisions: &[Decision], mut marks: Vec<Mark>) -> Markup {
    marks.retain(|mark| mark.at >= axis.since);
    let steps = |title, lines: &[(&'static str, &'static str, &str)]| {
        let drawn = |&(name, class, of): &(&'static str, &'static str, &str)| {
            Some(Drawn { name, class, line: series.line(of)?, form: Form::Steps })
        };
        let lines = lines.iter().filter_map(drawn).collect();
        Chart { title, axis, lines, bands: &series.bands, marks: &marks }.draw()
    };
    html! {
        output #moment aria-live="polite" { "Point at a chart, or open a mark, to read the decision of that moment." }
        div.charts data-since=(axis.since) data-until=(axis.until) data-moments=(moments(axis, decisions)) {
            (steps("Replicas", &REPLICAS))
            (steps("Count", &STAGES))
            @for name in series.metrics().into_iter().take(MOST_METRICS) { (metric(name, axis, series)) }
        }
        (bands(&series.bands, axis))
    }
}

fn metric(name: &str, axis: Axis, series: &Series) -> Markup {
    let line = |of: String| series.line(&of);
    let value = line(format!("metric.{name}")).map(|line| Drawn { name, class: "l1", line, form: Form::Straight });
    let target = line(format!("metric.{name}.target"));
    let target = target.map(|line| Drawn { name: "target", class: "l2", line, form: Form::Steps });
    let lines = value.into_iter().chain(target).collect();
    Chart { title: "Metric", axis, lines, bands: &series.bands, marks: &[] }.draw()
}

/// The decisions as the script reads them: time, sentence, and the counts raw, stabilized, limited and bounded.
fn moments(axis: Axis, decisions: &[Decision]) -> String {
    // The decision before the axis still held at its begin.
    let within =
        decisions.iter().position(|decision| decision.at < axis.since).map_or(decisions.len(), |last| last + 1);
    let moment = |decision: &Decision| {
        json!([decision.at, decision.reason, decision.target, decision.stages.map(Vec::from).unwrap_or_default()])
    };
    let list: Vec<_> = decisions[..within].iter().take(MOST_MOMENTS).map(moment).collect();
    json!(list).to_string()
}

/// The bands in words.
fn bands(bands: &[Band], axis: Axis) -> Markup {
    let shown: Vec<&Band> = bands.iter().filter(|band| band.until >= axis.since && band.from <= axis.until).collect();
    html! {
        @if !shown.is_empty() {
            ul.bands {
                @for band in shown {
                    li {
                        i.swatch.(band.kind) aria-hidden="true" {} (band.kind) ", "
                        @if band.lasts { "since " (Timestamp(band.from).to_rfc3339()) }
                        @else { (Timestamp(band.from.max(axis.since)).to_rfc3339()) " to " (Timestamp(band.until).to_rfc3339()) }
                        ": " (band.text)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Line;

    fn decision(id: i64, at: u64, target: u64) -> Decision {
        let record = json!({"id": id, "at": at, "target": target, "reason": "more \"load\" & so"});
        Decision::parse(&record).expect("a decision")
    }

    #[test]
    fn the_decision_before_the_axis_is_the_moment_at_its_begin() {
        let axis = Axis { since: 1_000, until: 2_000 };
        let decisions = [decision(3, 1_500, 4), decision(2, 900, 3), decision(1, 800, 2)];
        let text = moments(axis, &decisions);
        assert_eq!(text, r#"[[1500,"more \"load\" & so",4,[]],[900,"more \"load\" & so",3,[]]]"#);
    }

    #[test]
    fn each_metric_has_a_chart_with_its_target() {
        let line = |name: &str, value| Line { name: name.to_owned(), points: vec![(1_000, Some(value))] };
        let lines = vec![line("replicas.ready", 2.0), line("metric.queue", 7.0), line("metric.queue.target", 5.0)];
        let series = Series { lines, bands: Vec::new() };
        let text = all(Axis { since: 1_000, until: 2_000 }, &series, &[], Vec::new()).into_string();
        assert!(text.contains("aria-label=\"Metric, at the end: queue 7, target 5; highest 7\""), "{text}");
        assert!(text.contains("data-moments=\"[]\""), "{text}");
    }
}

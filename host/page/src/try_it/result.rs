//! The result of a replay: the counts on one chart, and what each would have cost.

use crate::chart::{Axis, Chart, Drawn, Form};
use crate::try_it::replay::{Measured, Replay};
use crate::words::number;
use maud::{Markup, html};

/// The class of each count in the chart.
const CLASSES: [&str; 3] = ["l3", "l5", "l2"];

/// The chart and the table.
pub(crate) fn show(replay: &Replay) -> Markup {
    let Replay { since, until, capacity, needed, counts } = replay;
    let classes = CLASSES.into_iter().skip(CLASSES.len().saturating_sub(counts.len()));
    let mut lines = vec![Drawn { name: "needed", class: "l1", line: needed, form: Form::Steps }];
    lines.extend(counts.iter().zip(classes).map(|(count, class)| Drawn {
        name: &count.name,
        class,
        line: &count.line,
        form: Form::Steps,
    }));
    let chart = Chart { title: "Replicas", axis: Axis { since: *since, until: *until }, lines, bands: &[], marks: &[] };
    html! {
        h2 { "Result" }
        (chart.draw())
        table {
            caption { "Replica-minutes below and above what the load needs, at a capacity of " (number(*capacity)) " a replica." }
            thead { tr {
                th scope="col" { "Count" } th scope="col" { "Too little" } th scope="col" { "Too much" }
                th scope="col" { "Dropped" } th scope="col" { "Changes" } th scope="col" { "Most" }
            } }
            tbody { @for count in counts { (line(count, counts)) } }
        }
        @for silence in counts.iter().flat_map(|count| &count.silences) { p.warn { (silence) } }
    }
}

fn line(count: &Measured, all: &[Measured]) -> Markup {
    let least = |of: fn(&Measured) -> f64| all.iter().map(of).fold(f64::MAX, f64::min);
    let is_best = |of: fn(&Measured) -> f64| of(count) <= least(of) && all.len() > 1;
    let cell = |value: f64, best: bool| html! { td { span.ok[best] { (number(value)) " min" @if best { " ✓" } } } };
    html! {
        tr {
            th scope="row" { (count.name) }
            (cell(count.too_little, is_best(|count| count.too_little)))
            (cell(count.too_much, is_best(|count| count.too_much)))
            @if let Some(measures) = &count.measures {
                td { (number(measures.dropped * 100.0)) " %" } td { (measures.changes) } td { (measures.most) }
            } @else {
                td { "–" } td { "–" } td { "–" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Line;
    use windlass_simulate::Measures;

    #[test]
    fn each_count_has_its_minutes_and_the_best_is_marked() {
        let line = || Line { name: String::new(), points: vec![(0, Some(2.0))] };
        let count = |name: &str, too_little, too_much, measures| Measured {
            name: name.to_owned(),
            line: line(),
            too_little,
            too_much,
            measures,
            silences: vec![format!("{name}: no value of x in 3 of 9 passes; first: timeout")],
        };
        let counts =
            vec![count("recorded", 12.5, 3.0, None), count("queue (tried)", 1.0, 40.0, Some(Measures::default()))];
        let replay = Replay { since: 0, until: 60_000, capacity: 2.5, needed: line(), counts };
        let text = show(&replay).into_string();
        for part in [
            "12.5 min</span>",
            "<span class=\"ok\">3 min ✓",
            "<span class=\"ok\">1 min ✓",
            "40 min</span>",
            "capacity of 2.5 a replica",
            "3 of 9 passes",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
}

//! The small drawings of a workload's counts: the bar of ready, target and bounds, and the line of the last hour.

use crate::words::number;
use maud::{Markup, html};
use windlass_core::Timestamp;
use windlass_core::contract::Sample;

/// The time of a line in milliseconds.
pub(crate) const HOUR: u64 = 3_600_000;

/// The width and the height of a line in units.
const WIDTH: u64 = 240;
const HEIGHT: f64 = 20.0;

/// The bar of a count: ready and target as parts of the maximum.
pub(crate) fn bar(ready: u32, target: u32, max: u32) -> Markup {
    let (ready, target) = (part(ready, max), part(target, max));
    html! {
        // A unit is a pixel, as in the style sheet.
        svg.bar aria-hidden="true" {
            rect width=(ready) height="8" {}
            path d={ "M" (target) " 0v8" } {}
        }
    }
}

/// A count as a part of the maximum, 0 to 100.
fn part(count: u32, max: u32) -> u32 {
    count.min(max).saturating_mul(100) / max.max(1)
}

/// The ready replicas of the last hour as a step line; empty without two values. `samples` are by time.
pub(crate) fn sparkline(samples: &[Sample], now: Timestamp) -> Markup {
    if samples.len() < 2 {
        return html! {};
    }
    let values = || samples.iter().map(|sample| sample.value);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    let range = if least < most { format!("{} to {}", number(least), number(most)) } else { number(most) };
    html! {
        svg.spark viewBox={ "0 -1 " (WIDTH) " 22" } preserveAspectRatio="none" role="img"
            aria-label={ (range) " ready in the last hour" } { path d=(steps(samples, now, most)) {} }
    }
}

/// The path of a step line that ends now. Only changes take bytes: 200 lines are on one page.
fn steps(samples: &[Sample], now: Timestamp, most: f64) -> String {
    let begin = now.0.saturating_sub(HOUR);
    let x = |at: u64| at.saturating_sub(begin).min(HOUR) * WIDTH / HOUR;
    let y = |value: f64| (HEIGHT - value / most.max(1.0) * HEIGHT).round() as i64;
    let Some((first, rest)) = samples.split_first() else { return String::new() };
    let mut last = y(first.value);
    let mut path = format!("M{} {last}", x(first.at.0));
    for sample in rest {
        let next = y(sample.value);
        if next != last {
            path.push_str(&format!("H{}V{next}", x(sample.at.0)));
            last = next;
        }
    }
    path.push_str(&format!("H{WIDTH}"));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    /// Samples every 15 s, the last one now.
    fn samples(values: &[f64]) -> Vec<Sample> {
        let at = |back: u64| Timestamp(NOW.0 - back * 15_000);
        let mut all: Vec<Sample> =
            values.iter().rev().zip(0..).map(|(value, back)| Sample { at: at(back), value: *value }).collect();
        all.reverse();
        all
    }

    #[test]
    fn a_line_of_an_hour_has_only_its_changes() {
        assert_eq!(steps(&samples(&[2.0; 241]), NOW, 4.0), "M0 10H240");
        // Three samples are at the right edge.
        assert_eq!(steps(&samples(&[1.0, 1.0, 4.0]), NOW, 4.0), "M238 15H240V0H240");
        assert_eq!(steps(&[], NOW, 4.0), "");
        assert_eq!(steps(&samples(&[0.0, 0.0]), NOW, 0.0), "M239 20H240", "nothing is divided by zero");
    }

    #[test]
    fn one_sample_is_no_line() {
        let label = |values: &[f64]| sparkline(&samples(values), NOW).into_string();
        assert_eq!(label(&[1.0]), "");
        assert!(label(&[1.0, 3.0]).contains("aria-label=\"1 to 3 ready in the last hour\""));
        assert!(label(&[2.0, 2.0]).contains("\"2 ready in the last hour\""));
    }

    #[test]
    fn parts_of_the_maximum_stay_within_the_bar() {
        assert_eq!([part(0, 5), part(1, 4), part(9, 4), part(1, 0)], [0, 25, 100, 0]);
    }
}

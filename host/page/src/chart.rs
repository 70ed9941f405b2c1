//! Charts on one time axis as SVG: step lines, lines, bands and marks. The coordinates are pure functions of the series.
//!
//! A chart is 1,000 × 100 units, whatever its width on the screen, and its words are HTML around it: so they keep their size on
//! a phone. plotters, which draws the charts of `windlass simulate`, has no bands, no titles of marks and no classes.

use crate::series::{Band, Line};
use crate::words::number;
use maud::{Markup, html};
use windlass_core::Timestamp;

/// The time axis that the charts of a page share, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) since: u64,
    pub(crate) until: u64,
}

/// The form of a line between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A value holds until the next one.
    Steps,
    /// A straight line to the next one.
    Straight,
}

/// A line in a chart.
pub(crate) struct Drawn<'a> {
    /// Its name in the legend.
    pub(crate) name: &'a str,
    /// Its class in the style sheet, which has its colour and dashes.
    pub(crate) class: &'static str,
    pub(crate) line: &'a Line,
    pub(crate) form: Form,
}

/// A moment to look at: a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: u64,
    pub(crate) sentence: String,
    /// The place on the page that describes it.
    pub(crate) link: String,
}

/// A chart with its legend and axes.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) axis: Axis,
    pub(crate) lines: Vec<Drawn<'a>>,
    pub(crate) bands: &'a [Band],
    pub(crate) marks: &'a [Mark],
}

const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 100.0;

impl Axis {
    /// The place of a time; outside of the axis, that of its nearer end.
    fn x(self, at: u64) -> f64 {
        let span = self.until.saturating_sub(self.since).max(1) as f64;
        at.clamp(self.since, self.until.max(self.since)).saturating_sub(self.since) as f64 / span * WIDTH
    }

    /// Five times at equal distances.
    fn times(self) -> [Timestamp; 5] {
        let span = self.until.saturating_sub(self.since);
        [0, 1, 2, 3, 4].map(|quarter| Timestamp(self.since + span * quarter / 4))
    }

    /// A time on this axis in words: with the day if the axis is longer than a day.
    fn words(self, at: Timestamp) -> String {
        let text = at.to_rfc3339();
        let day = self.until.saturating_sub(self.since) > 86_400_000;
        let (from, to) = if day { (5, 16) } else { (11, 16) };
        text.get(from..to).unwrap_or(&text).replace('T', " ")
    }
}

/// The end of the axis of values: the highest value, rounded up to 1, 2, 4, 5 or 10 times a power of ten.
pub(crate) fn top(highest: f64) -> f64 {
    if !highest.is_finite() || highest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(highest.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|top| *top >= highest).unwrap_or(10.0 * power)
}

/// A coordinate with at most one decimal.
fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The path of a line.
fn path(line: &Line, form: Form, axis: Axis, top: f64) -> String {
    let y = |value: f64| place(HEIGHT - value.clamp(0.0, top) / top * HEIGHT);
    let (mut path, mut last): (String, Option<String>) = (String::new(), None);
    // The value at the begin of the axis may be older than the axis.
    let begin = line.at(axis.since).map(|value| (axis.since, Some(value)));
    let within = line.points.iter().copied().filter(|(at, _)| *at > axis.since && *at <= axis.until);
    for (at, value) in begin.into_iter().chain(within) {
        let x = place(axis.x(at));
        match (value.map(y), form, last.take()) {
            (Some(y), _, None) => {
                path.push_str(&format!("M{x} {y}"));
                last = Some(y);
            }
            (Some(y), Form::Steps, Some(before)) => {
                if y != before {
                    path.push_str(&format!("H{x}V{y}"));
                }
                last = Some(y);
            }
            (Some(y), Form::Straight, Some(_)) => {
                path.push_str(&format!("L{x} {y}"));
                last = Some(y);
            }
            (None, Form::Steps, Some(_)) => path.push_str(&format!("H{x}")),
            (None, ..) => {}
        }
    }
    if last.is_some() && form == Form::Steps {
        path.push_str(&format!("H{}", place(WIDTH)));
    }
    path
}

impl Chart<'_> {
    fn highest(&self) -> f64 {
        let values = self.lines.iter().flat_map(|drawn| {
            let within = drawn.line.points.iter().filter(|(at, _)| *at >= self.axis.since);
            within.filter_map(|(_, value)| *value).chain(drawn.line.at(self.axis.since))
        });
        values.filter(|value| value.is_finite()).fold(0.0, f64::max)
    }

    /// The chart in one sentence, for readers who do not see it.
    fn summary(&self) -> String {
        let now = |drawn: &Drawn<'_>| {
            let value = drawn.line.at(self.axis.until).map_or_else(|| "no value".to_owned(), number);
            format!("{} {value}", drawn.name)
        };
        let lines: Vec<String> = self.lines.iter().map(now).collect();
        format!("{}, at the end: {}; highest {}", self.title, lines.join(", "), number(self.highest()))
    }

    /// The chart.
    pub(crate) fn draw(&self) -> Markup {
        let top = top(self.highest());
        html! {
            figure.chart {
                figcaption {
                    b { (self.title) }
                    @for drawn in &self.lines {
                        span.key {
                            svg viewBox="0 0 20 6" aria-hidden="true" { path class=(drawn.class) d="M0 3H20" {} }
                            (drawn.name) " "
                            b { (drawn.line.at(self.axis.until).map_or_else(|| "–".to_owned(), number)) }
                        }
                    }
                }
                div.frame {
                    div.y aria-hidden="true" { span { (number(top)) } span { (number(top / 2.0)) } span { "0" } }
                    svg.plot viewBox="0 0 1000 100" preserveAspectRatio="none" role="group" aria-label=(self.summary()) {
                        path.grid d="M0 0H1000M0 50H1000M0 100H1000M250 0V100M500 0V100M750 0V100" {}
                        @for band in self.bands { (self.band(band)) }
                        @for drawn in &self.lines {
                            path class=(drawn.class) d=(path(drawn.line, drawn.form, self.axis, top)) {}
                        }
                        @for mark in self.marks {
                            a href=(mark.link) aria-label=(mark.sentence) {
                                path.mark d={ "M" (place(self.axis.x(mark.at))) " 0V100" } {}
                                title { (mark.sentence) }
                            }
                        }
                        path.cursor d="M0 0V100" {}
                    }
                }
                div.x aria-hidden="true" { @for at in self.axis.times() { span { (self.axis.words(at)) } } }
            }
        }
    }

    fn band(&self, band: &Band) -> Markup {
        let (from, until) = (self.axis.x(band.from), self.axis.x(band.until));
        let class = match band.kind.as_str() {
            "rollout" => "band rollout",
            "override" => "band override",
            "blind" => "band blind",
            _ => "band outage",
        };
        html! {
            @if band.until >= self.axis.since && band.from <= self.axis.until {
                // A short one is still seen.
                rect class=(class) x=(place(from)) width=(place((until - from).max(2.0))) height="100" {
                    title { (band.text) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: Axis = Axis { since: 1_000, until: 2_000 };

    fn line(points: &[(u64, Option<f64>)]) -> Line {
        Line { name: "a".to_owned(), points: points.to_vec() }
    }

    #[test]
    fn steps_hold_a_value_until_the_next_and_end_at_a_gap() {
        let steps = |points: &[(u64, Option<f64>)]| path(&line(points), Form::Steps, AXIS, 10.0);
        // The first value is older than the axis.
        assert_eq!(steps(&[(0, Some(5.0)), (1_500, Some(10.0))]), "M0 50H500V0H1000");
        assert_eq!(
            steps(&[(1_100, Some(1.0)), (1_200, Some(1.0)), (1_300, None), (1_400, Some(2.0))]),
            "M100 90H300M400 80H1000"
        );
        assert_eq!(steps(&[(3_000, Some(1.0))]), "", "later than the axis");
        assert_eq!(steps(&[]), "");
    }

    #[test]
    fn a_straight_line_has_gaps_and_stays_in_the_chart() {
        let straight = |points: &[(u64, Option<f64>)]| path(&line(points), Form::Straight, AXIS, 10.0);
        let points = [(1_000, Some(0.0)), (1_250, Some(2.55)), (1_500, None), (1_750, Some(20.0)), (2_000, Some(-5.0))];
        assert_eq!(straight(&points), "M0 100L250 74.5M750 0L1000 100");
    }

    #[test]
    fn the_axis_of_values_ends_at_a_round_number() {
        let cases = [(0.0, 1.0), (1.0, 1.0), (3.0, 4.0), (4.5, 5.0), (6.0, 10.0), (11.0, 20.0), (0.03, 0.04)];
        for (highest, end) in cases {
            assert!((top(highest) - end).abs() < 1e-9, "{highest}: {}", top(highest));
        }
        assert!((top(f64::NAN) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_chart_names_its_lines_bands_and_marks_for_readers_who_do_not_see_it() {
        let ready = line(&[(1_000, Some(2.0)), (1_500, Some(3.0))]);
        let band = |from, until| Band {
            kind: "override".to_owned(),
            from,
            until,
            lasts: false,
            text: "paused by <ada>".to_owned(),
        };
        let chart = Chart {
            title: "Replicas",
            axis: AXIS,
            lines: vec![Drawn { name: "ready", class: "l1", line: &ready, form: Form::Steps }],
            bands: &[band(1_200, 1_200), band(0, 900)],
            marks: &[Mark { at: 1_500, sentence: "more load".to_owned(), link: "#d7".to_owned() }],
        };
        let text = chart.draw().into_string();
        assert!(text.contains("aria-label=\"Replicas, at the end: ready 3; highest 3\""), "{text}");
        assert!(text.contains("<rect class=\"band override\" x=\"200\" width=\"2\""), "{text}");
        assert!(text.contains("paused by &lt;ada&gt;"), "{text}");
        assert_eq!(text.matches("<rect").count(), 1, "the other band is over before the axis: {text}");
        assert!(
            text.contains("<a href=\"#d7\" aria-label=\"more load\"><path class=\"mark\" d=\"M500 0V100\">"),
            "{text}"
        );
        assert!(!text.contains("style="), "the policy of the page forbids styles in elements");
    }

    #[test]
    fn the_times_of_a_long_axis_have_their_day() {
        let of = |hours: u64| Axis { since: 1_767_225_600_000, until: 1_767_225_600_000 + hours * 3_600_000 };
        let words = |axis: Axis| axis.times().map(|at| axis.words(at)).join(" | ");
        assert_eq!(words(of(1)), "00:00 | 00:15 | 00:30 | 00:45 | 01:00");
        assert_eq!(words(of(48)), "01-01 00:00 | 01-01 12:00 | 01-02 00:00 | 01-02 12:00 | 01-03 00:00");
    }
}

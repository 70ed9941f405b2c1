//! The axis of dates and times below a chart, in UTC.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;
use windlass_core::Timestamp;

/// Distances between two labels in seconds.
const STEPS: [u64; 19] = [
    1,
    5,
    15,
    30,
    60,
    300,
    900,
    1_800,
    3_600,
    10_800,
    21_600,
    43_200,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    56 * DAY,
    112 * DAY,
];

const DAY: u64 = 86_400;

/// The most labels that fit next to each other.
const MAX_LABELS: u64 = 10;

/// Times from the first to the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeAxis {
    begin: Timestamp,
    end: Timestamp,
    /// Milliseconds between two labels.
    step: u64,
}

impl TimeAxis {
    /// The axis from `begin` to `end`, at least one second long.
    pub(super) fn new(begin: Timestamp, end: Timestamp) -> Self {
        let end = end.max(Timestamp(begin.0 + 1_000));
        let span = end.0 - begin.0;
        let step = STEPS.into_iter().find(|step| span / (step * 1_000) <= MAX_LABELS).unwrap_or(STEPS[STEPS.len() - 1]);
        Self { begin, end, step: step * 1_000 }
    }

    /// The first and the last time as text.
    pub(super) fn description(&self) -> String {
        let text = |at: Timestamp| format!("{} {}", date(at), clock(at));
        format!("{} to {} UTC", text(self.begin), text(self.end))
    }

    fn labelled(&self) -> Vec<Timestamp> {
        let first = self.begin.0.next_multiple_of(self.step);
        (first..=self.end.0).step_by(usize::try_from(self.step).unwrap_or(usize::MAX)).map(Timestamp).collect()
    }
}

impl Ranged for TimeAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = Timestamp;

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a pixel within the limits")]
    fn map(&self, at: &Timestamp, (left, right): (i32, i32)) -> i32 {
        let share = at.0.saturating_sub(self.begin.0) as f64 / (self.end.0 - self.begin.0) as f64;
        left + (f64::from(right - left) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<Timestamp> {
        let labelled = self.labelled();
        if labelled.len() <= hint.max_num_points() { labelled } else { Vec::new() }
    }

    fn range(&self) -> Range<Timestamp> {
        self.begin..self.end
    }
}

impl ValueFormatter<Timestamp> for TimeAxis {
    /// The date at midnight, else the time.
    fn format_ext(&self, at: &Timestamp) -> String {
        let is_midnight = at.0.is_multiple_of(DAY * 1_000);
        match (is_midnight, self.step < 60_000) {
            (true, _) => date(*at),
            (false, true) => at.to_rfc3339()[11..19].to_owned(),
            (false, false) => clock(*at),
        }
    }
}

fn date(at: Timestamp) -> String {
    at.to_rfc3339().get(..10).unwrap_or_default().to_owned()
}

fn clock(at: Timestamp) -> String {
    at.to_rfc3339().get(11..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(begin: &str, end: &str) -> Vec<String> {
        let at = |text: &str| Timestamp::from_rfc3339(text).expect("a time");
        let axis = TimeAxis::new(at(begin), at(end));
        axis.labelled().iter().map(|at| axis.format_ext(at)).collect()
    }

    #[test]
    fn labels_are_whole_dates_and_times() {
        assert_eq!(
            labels("2026-03-01T22:10:00Z", "2026-03-02T03:00:00Z"),
            ["22:30", "23:00", "23:30", "2026-03-02", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00"]
        );
        assert_eq!(labels("2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z").len(), 7);
        assert_eq!(
            labels("2026-01-01T00:00:00Z", "2026-01-09T00:00:00Z")[..2],
            ["2026-01-01".to_owned(), "2026-01-02".to_owned()]
        );
        assert_eq!(labels("2026-01-01T00:00:10Z", "2026-01-01T00:00:12Z"), ["00:00:10", "00:00:11", "00:00:12"]);
        let year = labels("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        assert!((3..=10).contains(&year.len()) && year.iter().all(|label| label.len() == 10), "{year:?}");
        let axis = TimeAxis::new(Timestamp(1_767_225_600_000), Timestamp(1_767_225_600_000));
        assert_eq!(axis.description(), "2026-01-01 00:00 to 2026-01-01 00:00 UTC");
    }
}

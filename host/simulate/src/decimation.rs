//! Shortens a line of a chart without losing its peaks.

use windlass_core::Timestamp;

/// The most points of a line. A chart is about 900 pixels wide.
pub(crate) const MAX_POINTS: usize = 4_000;

/// Points that stay of each of the intervals into which a long line is divided: first, lowest, highest, last.
const KEPT: usize = 4;

/// A time, and the value from then on.
pub(crate) type StepPoint = (Timestamp, f64);

/// A line that is drawn like the given one, with at most [`MAX_POINTS`] points. Each value holds until the next point.
///
/// Points that repeat the value before are dropped, except the last. If too many remain, each of equally long intervals
/// keeps its first, lowest, highest and last point.
pub(crate) fn decimated(points: impl IntoIterator<Item = StepPoint>) -> Vec<StepPoint> {
    let mut changes: Vec<StepPoint> = Vec::new();
    let mut last = None;
    for point in points {
        if changes.last().is_none_or(|before| before.1 != point.1) {
            changes.push(point);
        }
        last = Some(point);
    }
    changes.extend(last.filter(|last| changes.last() != Some(last)));
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return changes };
    if changes.len() <= MAX_POINTS {
        return changes;
    }
    let (begin, span) = (first.0, last.0.since(first.0).as_millis() + 1);
    let interval = |point: &StepPoint| point.0.since(begin).as_millis() * (MAX_POINTS / KEPT) as u128 / span;
    changes.chunk_by(|a, b| interval(a) == interval(b)).flat_map(extremes).collect()
}

/// The first, lowest, highest and last point, by time.
fn extremes(points: &[StepPoint]) -> Vec<StepPoint> {
    let by_value = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
    let (lowest, highest) = ((0..points.len()).min_by(by_value), (0..points.len()).max_by(by_value));
    let mut kept: Vec<usize> = [Some(0), lowest, highest, points.len().checked_sub(1)].into_iter().flatten().collect();
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_peaks_at_their_times() {
        // 35 days at a pass every 15 s, with noise and two peaks of one pass.
        let value = |index: u64| match index {
            77_777 => 900.0,
            123_456 => -50.0,
            _ => f64::from(u32::try_from(index * 7_919 % 101).expect("it fits")),
        };
        let point = |index: u64| (Timestamp(index * 15_000), value(index));
        let passes = 35 * 24 * 240;
        let line = decimated((0..passes).map(point));
        assert!((MAX_POINTS / 2..=MAX_POINTS).contains(&line.len()), "{}", line.len());
        assert!(line.is_sorted_by(|a, b| a.0 < b.0));
        for index in [0, 77_777, 123_456, passes - 1] {
            assert!(line.contains(&point(index)), "{index}");
        }
    }

    #[test]
    fn a_short_line_keeps_each_change() {
        let point = |at: u64, value: f64| (Timestamp(at), value);
        let line = [point(0, 1.0), point(1, 1.0), point(2, 3.0), point(3, 1.0), point(4, 1.0), point(5, 1.0)];
        assert_eq!(decimated(line), [line[0], line[2], line[3], line[5]]);
        assert_eq!(decimated([point(7, 2.0)]), [point(7, 2.0)]);
        assert!(decimated([]).is_empty());
    }
}

//! The values of one metric over time: exact for a day, then means, for as long as a policy requests them.
//!
//! Means over equal periods keep the total; keeping every n-th value would keep or lose a peak by chance.

use std::collections::VecDeque;
use std::time::Duration;
use windlass_core::contract::Sample;
use windlass_core::metric::SampleChange;
use windlass_core::time::millis;
use windlass_core::{MetricFailure, Timestamp};

/// Time for which values of the whole workload are kept exactly. Without a request for more, older values are dropped.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// The longest window that values are kept for.
pub const LONGEST_KEPT: Duration = Duration::from_secs(28 * 24 * 3_600);

/// Values older than [`KEPT`] become one mean per this period, counted from the epoch: 8,064 means in 28 days.
pub(crate) const MEAN_OVER: Duration = Duration::from_secs(300);

/// The most values of one metric that are kept. If there are more, the oldest become means sooner.
const MOST_KEPT: usize = 20_000;

/// The most values of one series that a policy receives. If there are more, it receives means and the newest value. 1,008
/// means cover a week by ten minutes; the window begins within one more.
pub(crate) const MOST_RETURNED: u64 = 1_010;

/// The periods of these means, in milliseconds: fractions of a day, so that the means are the same each day.
const MEAN_PERIODS: [u64; 16] = [
    1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_200_000,
    1_800_000, 2_400_000, 3_600_000,
];

#[derive(Debug, Default)]
pub(crate) struct Track {
    /// By time; no two values have the same time.
    samples: VecDeque<Sample>,
    /// Values before this time are means.
    means_until: Timestamp,
    /// If false, the metric is gathered as soon as it can be.
    pub(crate) was_gathered: bool,
    /// The reason why the last request had no answer.
    pub(crate) failure: Option<MetricFailure>,
    /// The changes that are not stored yet.
    pub(crate) unsaved: Vec<SampleChange>,
}

impl Track {
    /// Adds a value, and drops values older than `kept`.
    pub(crate) fn take_in(&mut self, sample: Sample, kept: Duration) {
        self.failure = None;
        self.unsaved.push(SampleChange::Put(sample));
        self.insert(sample);
        let newest = self.newest().map_or(sample.at, |newest| newest.at);
        while self.samples.front().is_some_and(|oldest| newest.since(oldest.at) > kept) {
            self.samples.pop_front();
        }
    }

    /// Adds the current value. Later values were measured before the clock was set back. They are replaced, since they
    /// would count as new when that time comes again.
    pub(crate) fn measured(&mut self, sample: Sample, kept: Duration) {
        let Some(latest) = self.newest().map(|newest| newest.at).filter(|latest| *latest > sample.at) else {
            return self.take_in(sample, kept);
        };
        self.failure = None;
        self.samples.truncate(self.index(sample.at));
        self.samples.push_back(sample);
        self.means_until = self.means_until.min(sample.at);
        let until = Timestamp(latest.0.saturating_add(1));
        self.unsaved.push(SampleChange::Merge { from: sample.at, until, into: sample });
    }

    /// Puts changes that could not be stored before the later ones. If there are very many, the oldest are dropped.
    pub(crate) fn put_back(&mut self, mut changes: Vec<SampleChange>) {
        changes.append(&mut self.unsaved);
        changes.drain(..changes.len().saturating_sub(MOST_KEPT));
        self.unsaved = changes;
    }

    /// Adds a stored value.
    pub(crate) fn restore(&mut self, sample: Sample) {
        self.insert(sample);
    }

    fn insert(&mut self, sample: Sample) {
        let index = self.index(sample.at);
        match self.samples.get_mut(index) {
            Some(known) if known.at == sample.at => *known = sample,
            _ => self.samples.insert(index, sample),
        }
        if sample.at < self.means_until {
            let begin = begin_of(sample.at, millis(MEAN_OVER));
            let end = Timestamp(begin.0 + millis(MEAN_OVER));
            self.merge(begin, end.min(self.means_until));
        }
        self.thin();
    }

    /// Turns old or excess values into means.
    fn thin(&mut self) {
        loop {
            let first = self.index(self.means_until);
            let (Some(oldest), Some(newest)) = (self.samples.get(first), self.samples.back()) else { return };
            let begin = begin_of(oldest.at, millis(MEAN_OVER));
            let mut end = Timestamp(begin.0 + millis(MEAN_OVER));
            if self.samples.len() > MOST_KEPT {
                // At most the older half, so that the newest values stay exact.
                let middle = first + (self.samples.len() - first) / 2;
                end = end.min(self.samples[middle].at);
            } else if end.0 > newest.at.0.saturating_sub(millis(KEPT)) {
                return;
            }
            if end <= oldest.at {
                return;
            }
            self.merge(begin, end);
            self.means_until = end;
        }
    }

    /// Replaces the values of a period by their mean.
    fn merge(&mut self, from: Timestamp, until: Timestamp) {
        let (first, end) = (self.index(from), self.index(until));
        if end - first < 2 {
            return;
        }
        let merged: Vec<Sample> = self.samples.drain(first..end).collect();
        let into = mean(&merged);
        self.samples.insert(first, into);
        self.unsaved.push(SampleChange::Merge { from, until, into });
    }

    /// The index of the first value that is not before a time.
    fn index(&self, at: Timestamp) -> usize {
        self.samples.partition_point(|known| known.at < at)
    }

    pub(crate) fn oldest(&self) -> Option<&Sample> {
        self.samples.front()
    }

    pub(crate) fn newest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// The values since a time.
    pub(crate) fn since(&self, since: Timestamp) -> Vec<Sample> {
        self.samples.range(self.index(since)..).copied().collect()
    }

    /// The reason why there is no value now. `None` if there is one.
    pub(crate) fn failure(&self, now: Timestamp, max_age: Duration) -> Option<MetricFailure> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        let Some(newest) = self.samples.iter().rev().find(|sample| sample.at <= now) else {
            return Some(MetricFailure::Missing("no value has come yet".to_owned()));
        };
        let age = now.since(newest.at);
        (age > max_age).then(|| MetricFailure::Stale { age: millis(age), max_age: millis(max_age) })
    }

    /// The values of a window, and the newest value even if it is older. More than [`MOST_RETURNED`] values become means.
    pub(crate) fn window(&self, window: Duration, now: Timestamp) -> Vec<Sample> {
        let until = self.samples.partition_point(|sample| sample.at <= now);
        let Some(last) = until.checked_sub(1) else { return Vec::new() };
        let first = self.samples.partition_point(|sample| now.since(sample.at) > window).min(last);
        let known: Vec<Sample> = self.samples.range(first..until).copied().collect();
        if u64::try_from(known.len()).is_ok_and(|count| count <= MOST_RETURNED) {
            return known;
        }
        let (newest, before) = (known[known.len() - 1], &known[..known.len() - 1]);
        let span = millis(newest.at.since(known[0].at));
        let fits = |over: &&u64| span / **over + 2 <= MOST_RETURNED;
        let over = MEAN_PERIODS.iter().find(fits).copied().unwrap_or(MEAN_PERIODS[MEAN_PERIODS.len() - 1]);
        // Each part of a long period has the same weight, whether it is a mean already or many values.
        let parts = if over > millis(MEAN_OVER) { means(before, millis(MEAN_OVER)) } else { before.to_vec() };
        means(&parts, over).into_iter().chain([newest]).collect()
    }
}

/// The beginning of the period that contains a time; periods are counted from the epoch.
fn begin_of(at: Timestamp, over: u64) -> Timestamp {
    Timestamp(at.0 - at.0 % over)
}

/// The mean of each period that has values.
fn means(samples: &[Sample], over: u64) -> Vec<Sample> {
    samples.chunk_by(|one, other| begin_of(one.at, over) == begin_of(other.at, over)).map(mean).collect()
}

/// The mean of one or more values, at the mean of their times.
fn mean(samples: &[Sample]) -> Sample {
    let count = u64::try_from(samples.len()).unwrap_or(u64::MAX).max(1);
    let first = samples.first().map_or(0, |sample| sample.at.0);
    let after: u64 = samples.iter().map(|sample| sample.at.0 - first).sum();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    let count_of_values = count as f64;
    let sum: f64 = samples.iter().map(|sample| sample.value).sum();
    let parts = || samples.iter().map(|sample| sample.value / count_of_values).sum();
    // The sum of huge values may be infinite; a mean must not be.
    let value = if sum.is_finite() { sum / count_of_values } else { parts() };
    Sample { at: Timestamp(first + after / count), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_767_225_600_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(NOW + seconds * 1_000)
    }

    /// Adds a value per second, alternately 1 and 3.
    fn filled(track: &mut Track, seconds: impl IntoIterator<Item = u64>, kept: Duration) {
        for second in seconds {
            track.take_in(Sample { at: at(second), value: if second % 2 == 0 { 1.0 } else { 3.0 } }, kept);
        }
    }

    #[test]
    fn what_is_older_than_a_day_is_the_mean_of_five_minutes() {
        let mut track = Track::default();
        filled(&mut track, 0..600, LONGEST_KEPT);
        assert_eq!(track.samples.len(), 600);
        filled(&mut track, [86_400 + 299], LONGEST_KEPT);
        assert_eq!(track.samples.len(), 601, "the first five minutes are not a day old yet");
        filled(&mut track, [86_400 + 300], LONGEST_KEPT);
        let first = track.samples[0];
        assert_eq!((track.samples.len(), first.value, first.at), (1 + 300 + 2, 2.0, Timestamp(NOW + 149_500)));
        let merged = SampleChange::Merge { from: at(0), until: at(300), into: first };
        assert_eq!(track.unsaved.last(), Some(&merged));
        // A late value joins its mean.
        track.take_in(Sample { at: at(10), value: 4.0 }, LONGEST_KEPT);
        assert_eq!((track.samples.len(), track.samples[0].value), (303, 3.0));
        // All means are dropped when no policy requests them.
        filled(&mut track, [86_400 + 301], KEPT);
        assert_eq!(track.oldest().map(|oldest| oldest.at), Some(at(301)));
    }

    #[test]
    fn what_a_clock_measured_before_it_was_set_back_does_not_come_again() {
        let mut track = Track::default();
        for second in [0, 15, 30, 45] {
            track.measured(Sample { at: at(second), value: 9.0 }, KEPT);
        }
        track.unsaved.clear();
        let now = Sample { at: at(20), value: 1.0 };
        track.measured(now, KEPT);
        assert_eq!(track.unsaved, [SampleChange::Merge { from: at(20), until: Timestamp(at(45).0 + 1), into: now }]);
        assert_eq!(
            track.window(Duration::from_secs(60), at(45)).iter().map(|it| it.value).collect::<Vec<_>>(),
            [9.0, 9.0, 1.0]
        );
    }

    #[test]
    fn a_flood_is_bounded_and_the_newest_of_it_are_as_they_came() {
        let mut track = Track::default();
        filled(&mut track, 0..1_000, LONGEST_KEPT);
        for millisecond in 0..50_000 {
            track.take_in(Sample { at: Timestamp(at(1_000).0 + millisecond), value: 5.0 }, LONGEST_KEPT);
        }
        assert!(track.samples.len() <= MOST_KEPT, "{}", track.samples.len());
        assert_eq!(track.oldest().map(|oldest| oldest.value), Some(2.0), "earlier values are a mean");
        let exact = track.samples.iter().rev().take(5_000).zip((0..50_000).rev());
        assert!(exact.into_iter().all(|(sample, millisecond)| sample.at.0 == at(1_000).0 + millisecond));
        let merged: usize = track.unsaved.iter().filter(|change| matches!(change, SampleChange::Merge { .. })).count();
        assert!((5..100).contains(&merged), "{merged}");
    }

    #[test]
    fn a_long_window_is_shown_as_means_that_are_the_same_each_day() {
        let mut track = Track::default();
        let quarter = |number: u64| Sample { at: at(number * 15), value: f64::from(u8::from(number % 40 < 20)) };
        for number in 0..(7 * 86_400 / 15) {
            track.take_in(quarter(number), LONGEST_KEPT);
        }
        let now = at(7 * 86_400 - 15);
        let shown = track.window(LONGEST_KEPT, now);
        assert_eq!(u64::try_from(shown.len()), Ok(1_009));
        // Half of each ten minutes was busy. Every n-th value would have hit only one of the halves.
        assert!(shown[..1_007].iter().all(|sample| (sample.value - 0.5).abs() < 1e-9));
        assert_eq!(shown.last(), Some(&quarter(7 * 86_400 / 15 - 1)));
        assert_eq!(track.window(Duration::from_secs(3_600), now).len(), 241, "a short window is exact");
    }
}

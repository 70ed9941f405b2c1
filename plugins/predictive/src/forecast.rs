//! Forecasts a load that recurs every day or week, from its seasons and the level of the last hour.
//!
//! The crate `stlrs` separates the seasons with MSTL: Bandara, Hyndman and Bergmeir, "MSTL: A Seasonal-Trend Decomposition
//! Algorithm for Time Series with Multiple Seasonal Patterns" (2021). The forecast is the level without seasons plus the
//! seasons of the last period: Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", "Forecasting with
//! decomposition".

use stlrs::Mstl;
use windlass_policy_common::bindings::windlass::policy::types::Sample;
use windlass_policy_common::tracking::short;

/// A day in milliseconds.
pub const DAY: u64 = 86_400_000;
/// A week in milliseconds.
pub const WEEK: u64 = 7 * DAY;
const HOUR: u64 = 3_600_000;

/// The possible time spans of one mean, in milliseconds. Each divides a day evenly.
const STEPS: [u64; 6] = [300_000, 600_000, 900_000, 1_200_000, 1_800_000, 2_400_000];

/// The maximum number of means: one week in steps of ten minutes, the resolution of the host's samples.
const MAX_MEANS: u64 = 1_008;

/// The fraction of the values that may be missing.
const MAX_MISSING: f64 = 0.2;

/// The input of a forecast.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// The values, oldest first.
    pub samples: &'a [Sample],
    /// The length of each season, in milliseconds.
    pub seasons: &'a [u64],
    /// The length of the history, in milliseconds.
    pub length: u64,
    /// The look-ahead, in milliseconds.
    pub look_ahead: u64,
    /// The current time, in milliseconds since 1970.
    pub now: u64,
}

/// The highest forecast value within the look-ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// The forecast value.
    pub value: f64,
    /// The time of the value, in milliseconds since 1970.
    pub at: u64,
    /// The error of the last day, as a fraction of the values.
    pub error: f64,
}

/// The forecast curve of a history. It stays valid until there is a new mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// The digest of the means and settings that the curve was calculated from.
    input_digest: u64,
    /// The error of the last day, as a fraction of the values.
    error: f64,
    /// The forecast: times in milliseconds since 1970, and values. There are at least two points.
    points: Vec<(u64, f64)>,
}

/// The version of an [`Outlook`]'s byte format, which is its first byte.
const OUTLOOK_VERSION: u8 = 1;

impl Outlook {
    /// Serializes the outlook for the policy's memory. The format is little-endian: a version (1 byte), the input digest and
    /// the error (8 bytes each), then 16 bytes per point. A look-ahead of one hour in steps of 5 minutes takes 273 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let words = [self.input_digest, self.error.to_bits()].into_iter();
        let points = self.points.iter().flat_map(|(at, value)| [*at, value.to_bits()]);
        [OUTLOOK_VERSION].into_iter().chain(words.chain(points).flat_map(u64::to_le_bytes)).collect()
    }

    /// Parses an outlook. `None` if the bytes are not an outlook or have another version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let words = bytes.strip_prefix(&[OUTLOOK_VERSION])?;
        let (words, []) = words.as_chunks::<8>() else { return None };
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let [input_digest, error, points @ ..] = words.as_slice() else { return None };
        let (points, []) = points.as_chunks::<2>() else { return None };
        let points: Vec<(u64, f64)> = points.iter().map(|[at, value]| (*at, f64::from_bits(*value))).collect();
        (points.len() > 1).then_some(Self { input_digest: *input_digest, error: f64::from_bits(*error), points })
    }

    /// Returns the time and value of the highest forecast between two times.
    fn highest(&self, now: u64, end: u64) -> (u64, f64) {
        let within = self.points.iter().copied().filter(|(at, _)| (now..=end).contains(at));
        let ends = [now, end].map(|at| (at, between(&self.points, at)));
        let candidates = [ends[0]].into_iter().chain(within).chain([ends[1]]);
        let higher = |highest: (u64, f64), one: (u64, f64)| if one.1 > highest.1 { one } else { highest };
        candidates.reduce(higher).unwrap_or((now, 0.0))
    }
}

/// Returns the history that a season needs, in milliseconds: twice the season, plus one day to measure the error.
pub fn needed(season: u64) -> u64 {
    2 * season + DAY
}

/// Returns the time span of one mean, in milliseconds. Only completed spans have a mean, so a complete history needs samples
/// of one more step.
pub fn step(length: u64) -> u64 {
    STEPS.into_iter().find(|step| length / step <= MAX_MEANS).unwrap_or(STEPS[STEPS.len() - 1])
}

impl History<'_> {
    /// Returns the highest forecast within the look-ahead, and the outlook it is based on. `previous` is the outlook of the
    /// previous forecast, which is reused if the means are still the same.
    ///
    /// # Errors
    /// The reason why there is no forecast, as a part of a sentence.
    pub fn forecast(&self, previous: Option<Outlook>) -> Result<(Forecast, Outlook), String> {
        let step = step(self.length);
        let (begin, means) = self.means(step);
        let input_digest = self.digest(begin, &means);
        let outlook = match previous.filter(|outlook| outlook.input_digest == input_digest) {
            Some(outlook) => outlook,
            None => self.outlook(input_digest, step, begin, &means)?,
        };
        let (at, value) = outlook.highest(self.now, self.now + self.look_ahead);
        Ok((Forecast { value, at, error: outlook.error }, outlook))
    }

    /// Returns a digest of the outlook's input: FxHash, which processes one word at a time.
    fn digest(&self, begin: u64, means: &[Option<f64>]) -> u64 {
        let settings = [self.length, self.look_ahead, begin].into_iter().chain(self.seasons.iter().copied());
        // A missing mean is hashed as NaN, which no mean has.
        let means = means.iter().map(|mean| mean.unwrap_or(f64::NAN).to_bits());
        settings.chain(means).fold(0_u64, |hash, word| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95))
    }

    fn outlook(&self, input_digest: u64, step: u64, begin: u64, means: &[Option<f64>]) -> Result<Outlook, String> {
        let length = step * as_u64(means.len());
        let seasons: Vec<u64> = self.seasons.iter().copied().filter(|season| needed(*season) <= length).collect();
        if seasons.is_empty() {
            let shortest = self.seasons.iter().copied().min().unwrap_or(DAY);
            let days = |milliseconds: u64| short(float(milliseconds) / float(DAY));
            return Err(format!(
                "the history covers {} days, and {} are required",
                days(length),
                days(needed(shortest))
            ));
        }
        let missing = float(as_u64(means.iter().filter(|mean| mean.is_none()).count())) / float(as_u64(means.len()));
        if missing > MAX_MISSING {
            return Err(format!(
                "{} % of the values are missing, above the limit of {} %",
                short(missing * 100.0),
                short(MAX_MISSING * 100.0)
            ));
        }
        let series = Series::new(means, step, self.look_ahead);
        let periods: Vec<usize> = seasons.iter().map(|season| as_usize(season / step)).collect();
        Ok(Outlook { input_digest, error: series.error(&periods)?, points: series.points(&periods, begin * step)? })
    }

    /// Returns the number of the first step since 1970, and the mean of each step from there to the last completed one.
    fn means(&self, step: u64) -> (u64, Vec<Option<f64>>) {
        let end = self.now / step;
        let first = end.saturating_sub(self.length / step);
        let known = || self.samples.iter().filter(|sample| sample.value.is_finite());
        let begin = known().map(|sample| sample.at / step).find(|number| *number >= first).unwrap_or(end).min(end);
        let mut sums = vec![(0.0, 0_u64); as_usize(end - begin)];
        for sample in known() {
            let index = (sample.at / step).checked_sub(begin).map(as_usize);
            if let Some((sum, count)) = index.and_then(|index| sums.get_mut(index)) {
                *sum += sample.value;
                *count += 1;
            }
        }
        (begin, sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / float(count))).collect())
    }
}

/// Means without gaps.
struct Series {
    means: Vec<f64>,
    /// Whether each mean was missing and has been filled in.
    is_filled: Vec<bool>,
    step: u64,
    /// The number of steps from the last known mean to the forecast one.
    ahead: usize,
}

impl Series {
    fn new(means: &[Option<f64>], step: u64, look_ahead: u64) -> Self {
        let day = as_usize(DAY / step);
        let is_filled = means.iter().map(Option::is_none).collect();
        let mut filled: Vec<f64> = Vec::with_capacity(means.len());
        for (index, mean) in means.iter().enumerate() {
            let day_before = index.checked_sub(day).and_then(|before| filled.get(before));
            let day_after = || means.get(index + day).and_then(Option::as_ref);
            let other = || day_before.or_else(day_after).or(filled.last()).copied();
            filled.push(mean.or_else(other).unwrap_or(0.0));
        }
        Self { means: filled, is_filled, step, ahead: 1 + as_usize(look_ahead / step) }
    }

    /// Returns the seasons of the first `until` steps, which can be extrapolated.
    fn seasons(&self, until: usize, periods: &[usize]) -> Result<Seasons, String> {
        let fit = Mstl::fit(&self.means[..until], periods)
            .map_err(|error| format!("the seasons cannot be calculated: {error}"))?;
        let parts = periods.iter().copied().zip(fit.seasonal().iter().cloned());
        Ok(Seasons { parts: parts.collect() })
    }

    /// Returns the mean of the last hour before a step, without its seasons.
    fn level(&self, before: usize, seasons: &Seasons) -> f64 {
        let first = before.saturating_sub(as_usize(HOUR.div_ceil(self.step)));
        let is_known = (first..before).any(|index| !self.is_filled[index]);
        let (mut sum, mut count) = (0.0, 0_u64);
        for index in (first..before).filter(|index| !is_known || !self.is_filled[*index]) {
            sum += self.means[index] - seasons.at(index);
            count += 1;
        }
        if count > 0 { sum / float(count) } else { 0.0 }
    }

    /// Returns the error of the last day, forecast from the means before it.
    fn error(&self, periods: &[usize]) -> Result<f64, String> {
        let begin = self.means.len() - as_usize(DAY / self.step);
        let seasons = self.seasons(begin, periods)?;
        let (mut errors, mut values) = (0.0, 0.0);
        for index in (begin..self.means.len()).filter(|index| !self.is_filled[*index]) {
            let forecast = self.level(index + 1 - self.ahead, &seasons) + seasons.at(index);
            errors += (forecast.max(0.0) - self.means[index]).abs();
            values += self.means[index].abs();
        }
        if values > 0.0 { Ok(errors / values) } else { Err("the last day has no value above 0".to_owned()) }
    }

    /// Returns the forecast of each step from the last known one on, at the middle of the step.
    fn points(&self, periods: &[usize], begin: u64) -> Result<Vec<(u64, f64)>, String> {
        let seasons = self.seasons(self.means.len(), periods)?;
        let level = self.level(self.means.len(), &seasons);
        let middle = |index: usize| begin + self.step * as_u64(index) + self.step / 2;
        let last = self.means.len() - 1;
        Ok((last..=last + self.ahead + 2).map(|index| (middle(index), (level + seasons.at(index)).max(0.0))).collect())
    }
}

/// The seasons of a series, each with its period.
struct Seasons {
    parts: Vec<(usize, Vec<f64>)>,
}

impl Seasons {
    /// Returns the sum of the seasons at a step. After the end, the last period of each season repeats.
    fn at(&self, index: usize) -> f64 {
        let part = |(period, values): &(usize, Vec<f64>)| match index.checked_sub(values.len()) {
            None => values[index],
            Some(after) => values[values.len() - period + after % period],
        };
        self.parts.iter().map(part).sum()
    }
}

/// Interpolates linearly between points.
fn between(points: &[(u64, f64)], at: u64) -> f64 {
    let after = points.partition_point(|(time, _)| *time <= at).clamp(1, points.len() - 1);
    let ((from, one), (until, other)) = (points[after - 1], points[after]);
    let share = (float(at.saturating_sub(from)) / float(until - from)).min(1.0);
    one + (other - one) * share
}

#[expect(clippy::cast_precision_loss, reason = "times are of years and counts up to a thousand")]
fn float(number: u64) -> f64 {
    number as f64
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

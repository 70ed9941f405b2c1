//! What is to come, from what came each day or week before: seasons by MSTL, and the level of the last hour.
//!
//! Bandara, Hyndman and Bergmeir, "MSTL: A Seasonal-Trend Decomposition Algorithm for Time Series with Multiple Seasonal
//! Patterns" (2021), which `stlrs` has; the forecast from it as in Hyndman and Athanasopoulos, "Forecasting: Principles and
//! Practice", "Forecasting with decomposition": what the values are without their seasons, and the last season once more.

use stlrs::Mstl;
use windlass_policy_common::bindings::windlass::policy::types::Sample;
use windlass_policy_common::tracking::short;

/// A day in milliseconds.
pub const DAY: u64 = 86_400_000;
/// A week in milliseconds.
pub const WEEK: u64 = 7 * DAY;
const HOUR: u64 = 3_600_000;

/// What the means that are worked with may be over: parts of a day.
const STEPS: [u64; 6] = [300_000, 600_000, 900_000, 1_200_000, 1_800_000, 2_400_000];

/// Means that are worked with at most: a week by ten minutes, as the host shows them.
const MOST: u64 = 1_008;

/// The share of values that may be missing.
const MISSING: f64 = 0.2;

/// What a forecast is made from.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// The values, oldest first.
    pub samples: &'a [Sample],
    /// The lengths of what comes again, in milliseconds.
    pub seasons: &'a [u64],
    /// Milliseconds that are looked back.
    pub length: u64,
    /// Milliseconds that are looked ahead.
    pub look_ahead: u64,
    /// Now, in milliseconds since 1970.
    pub now: u64,
}

/// The highest that is to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// How much.
    pub value: f64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The error over the last day, as a share of what was there.
    pub error: f64,
}

/// What the means of a history lead to expect. It stays the same until there is another mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Tells from which means and settings it is.
    of: u64,
    /// The error over the last day, as a share of what was there.
    error: f64,
    /// What is forecast: times in milliseconds since 1970, and values. At least two.
    points: Vec<(u64, f64)>,
}

/// The first byte of an [`Outlook`] as bytes.
const OUTLOOK_VERSION: u8 = 1;

impl Outlook {
    /// As bytes for the policy's memory, little-endian: a version (1), what it is of and the error (8 bytes each), and 16
    /// for each point. An hour looked ahead by 5 minutes takes 273.
    pub fn encode(&self) -> Vec<u8> {
        let words = [self.of, self.error.to_bits()].into_iter();
        let points = self.points.iter().flat_map(|(at, value)| [*at, value.to_bits()]);
        [OUTLOOK_VERSION].into_iter().chain(words.chain(points).flat_map(u64::to_le_bytes)).collect()
    }

    /// None: these are no outlook, or one of another version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let words = bytes.strip_prefix(&[OUTLOOK_VERSION])?;
        let (words, []) = words.as_chunks::<8>() else { return None };
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let [of, error, points @ ..] = words.as_slice() else { return None };
        let (points, []) = points.as_chunks::<2>() else { return None };
        let points: Vec<(u64, f64)> = points.iter().map(|[at, value]| (*at, f64::from_bits(*value))).collect();
        (points.len() > 1).then_some(Self { of: *of, error: f64::from_bits(*error), points })
    }

    /// The highest forecast within a time, and when that is.
    fn highest(&self, now: u64, end: u64) -> (u64, f64) {
        let within = self.points.iter().copied().filter(|(at, _)| (now..=end).contains(at));
        let ends = [now, end].map(|at| (at, between(&self.points, at)));
        let candidates = [ends[0]].into_iter().chain(within).chain([ends[1]]);
        let higher = |highest: (u64, f64), one: (u64, f64)| if one.1 > highest.1 { one } else { highest };
        candidates.reduce(higher).unwrap_or((now, 0.0))
    }
}

/// The history that a season needs: it twice, and a day that the error is told by.
pub fn needed(season: u64) -> u64 {
    2 * season + DAY
}

/// The length of time of one mean of a history, in milliseconds. Only what is over has a mean, so that a history is seen
/// whole by who looks back one step more.
pub fn step(length: u64) -> u64 {
    STEPS.into_iter().find(|step| length / step <= MOST).unwrap_or(STEPS[STEPS.len() - 1])
}

impl History<'_> {
    /// The highest forecast from now until the end of what is looked ahead, and what it is told from: the next forecast
    /// from the same means is told from that. `before`: what the forecast before was told from.
    ///
    /// # Errors
    /// Why there is none: a part of a sentence.
    pub fn forecast(&self, before: Option<Outlook>) -> Result<(Forecast, Outlook), String> {
        let step = step(self.length);
        let (begin, means) = self.means(step);
        let of = self.digest(begin, &means);
        let outlook = match before.filter(|outlook| outlook.of == of) {
            Some(outlook) => outlook,
            None => self.outlook(of, step, begin, &means)?,
        };
        let (at, value) = outlook.highest(self.now, self.now + self.look_ahead);
        Ok((Forecast { value, at, error: outlook.error }, outlook))
    }

    /// Tells what an outlook depends on from anything else: FxHash over it, which takes a word at a time.
    fn digest(&self, begin: u64, means: &[Option<f64>]) -> u64 {
        let asked = [self.length, self.look_ahead, begin].into_iter().chain(self.seasons.iter().copied());
        // No mean is a number that is none.
        let means = means.iter().map(|mean| mean.unwrap_or(f64::NAN).to_bits());
        asked.chain(means).fold(0_u64, |hash, word| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95))
    }

    fn outlook(&self, of: u64, step: u64, begin: u64, means: &[Option<f64>]) -> Result<Outlook, String> {
        let length = step * as_u64(means.len());
        let seasons: Vec<u64> = self.seasons.iter().copied().filter(|season| needed(*season) <= length).collect();
        if seasons.is_empty() {
            let shortest = self.seasons.iter().copied().min().unwrap_or(DAY);
            let days = |milliseconds: u64| short(float(milliseconds) / float(DAY));
            return Err(format!(
                "there are values of {} days, and {} are needed",
                days(length),
                days(needed(shortest))
            ));
        }
        let missing = float(as_u64(means.iter().filter(|mean| mean.is_none()).count())) / float(as_u64(means.len()));
        if missing > MISSING {
            return Err(format!("{} % of the values are missing", short(missing * 100.0)));
        }
        let series = Series::new(means, step, self.look_ahead);
        let periods: Vec<usize> = seasons.iter().map(|season| as_usize(season / step)).collect();
        Ok(Outlook { of, error: series.error(&periods)?, points: series.points(&periods, begin * step)? })
    }

    /// The number of the first step since 1970, and the mean of each from there to the last that is over.
    fn means(&self, step: u64) -> (u64, Vec<Option<f64>>) {
        let end = self.now / step;
        let first = end.saturating_sub(self.length / step);
        let known = || self.samples.iter().filter(|sample| sample.value.is_finite());
        let begin = known().map(|sample| sample.at / step).find(|number| *number >= first).unwrap_or(end).min(end);
        let mut sums = vec![(0.0, 0_u64); as_usize(end - begin)];
        for sample in known() {
            let place = (sample.at / step).checked_sub(begin).map(as_usize);
            if let Some((sum, count)) = place.and_then(|place| sums.get_mut(place)) {
                *sum += sample.value;
                *count += 1;
            }
        }
        (begin, sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / float(count))).collect())
    }
}

/// Means without a gap.
struct Series {
    means: Vec<f64>,
    /// Those that were not there, and were filled in.
    is_filled: Vec<bool>,
    step: u64,
    /// Steps from the last that is known to the one that is forecast.
    ahead: usize,
}

impl Series {
    fn new(means: &[Option<f64>], step: u64, look_ahead: u64) -> Self {
        let day = as_usize(DAY / step);
        let is_filled = means.iter().map(Option::is_none).collect();
        let mut filled: Vec<f64> = Vec::with_capacity(means.len());
        for (place, mean) in means.iter().enumerate() {
            let day_before = place.checked_sub(day).and_then(|before| filled.get(before));
            let day_after = || means.get(place + day).and_then(Option::as_ref);
            let other = || day_before.or_else(day_after).or(filled.last()).copied();
            filled.push(mean.or_else(other).unwrap_or(0.0));
        }
        Self { means: filled, is_filled, step, ahead: 1 + as_usize(look_ahead / step) }
    }

    /// The seasons of the first so many steps, and how they go on.
    fn seasons(&self, until: usize, periods: &[usize]) -> Result<Seasons, String> {
        let fit = Mstl::fit(&self.means[..until], periods).map_err(|error| format!("there are no seasons: {error}"))?;
        let parts = periods.iter().copied().zip(fit.seasonal().iter().cloned());
        Ok(Seasons { parts: parts.collect() })
    }

    /// What the values of the last hour before a step are without their seasons.
    fn level(&self, before: usize, seasons: &Seasons) -> f64 {
        let first = before.saturating_sub(as_usize(HOUR.div_ceil(self.step)));
        let is_known = (first..before).any(|place| !self.is_filled[place]);
        let (mut sum, mut count) = (0.0, 0_u64);
        for place in (first..before).filter(|place| !is_known || !self.is_filled[*place]) {
            sum += self.means[place] - seasons.at(place);
            count += 1;
        }
        if count > 0 { sum / float(count) } else { 0.0 }
    }

    /// The error of the last day, forecast from what was known before it.
    fn error(&self, periods: &[usize]) -> Result<f64, String> {
        let begin = self.means.len() - as_usize(DAY / self.step);
        let seasons = self.seasons(begin, periods)?;
        let (mut errors, mut values) = (0.0, 0.0);
        for place in (begin..self.means.len()).filter(|place| !self.is_filled[*place]) {
            let forecast = self.level(place + 1 - self.ahead, &seasons) + seasons.at(place);
            errors += (forecast.max(0.0) - self.means[place]).abs();
            values += self.means[place].abs();
        }
        if values > 0.0 { Ok(errors / values) } else { Err("there was nothing in the last day".to_owned()) }
    }

    /// What is forecast for each step from the last that is known on, by its middle.
    fn points(&self, periods: &[usize], begin: u64) -> Result<Vec<(u64, f64)>, String> {
        let seasons = self.seasons(self.means.len(), periods)?;
        let level = self.level(self.means.len(), &seasons);
        let middle = |place: usize| begin + self.step * as_u64(place) + self.step / 2;
        let last = self.means.len() - 1;
        Ok((last..=last + self.ahead + 2).map(|place| (middle(place), (level + seasons.at(place)).max(0.0))).collect())
    }
}

/// The seasons of a series, each with its period.
struct Seasons {
    parts: Vec<(usize, Vec<f64>)>,
}

impl Seasons {
    /// What they come to at a step; after the end the last of each goes on.
    fn at(&self, place: usize) -> f64 {
        let part = |(period, values): &(usize, Vec<f64>)| match place.checked_sub(values.len()) {
            None => values[place],
            Some(after) => values[values.len() - period + after % period],
        };
        self.parts.iter().map(part).sum()
    }
}

/// The value at a time between points, on the line from the one before to the one after.
fn between(points: &[(u64, f64)], at: u64) -> f64 {
    let after = points.partition_point(|(time, _)| *time <= at).clamp(1, points.len() - 1);
    let ((from, one), (until, other)) = (points[after - 1], points[after]);
    let share = (float(at.saturating_sub(from)) / float(until - from)).min(1.0);
    one + (other - one) * share
}

#[expect(clippy::cast_precision_loss, reason = "times of years, counts of a thousand")]
fn float(number: u64) -> f64 {
    number as f64
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

//! The settings of the step policy.

use crate::metrics::check_is_load;
use serde::Deserialize;

/// The settings of the policy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The metric whose value selects a band.
    pub metric: String,
    /// The bands of values: 1 to 32, in ascending order, without gaps or overlaps.
    pub bands: Vec<Band>,
    /// The smallest change of an adjustment in percent, in replicas: 1 to 1,000. Default 1.
    #[serde(default = "one")]
    pub minimum_magnitude: u32,
    /// Milliseconds until a step can be repeated: up to 1 h. Default 60,000.
    #[serde(default = "a_minute")]
    pub hold_ms: u64,
}

/// A range of values and its adjustment.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Band {
    /// The lower bound, inclusive. `None` if the band has no lower bound.
    pub from: Option<f64>,
    /// The upper bound, exclusive. `None` if the band has no upper bound.
    pub below: Option<f64>,
    /// The number of replicas to add; negative to remove.
    pub change: Option<i32>,
    /// The percentage of the replicas to add; negative to remove.
    pub percent: Option<f64>,
    /// The count to set.
    pub exactly: Option<u32>,
}

/// The adjustment of a band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Adjustment {
    /// Adds this number of replicas.
    Change(i32),
    /// Adds this percentage of the replicas.
    Percent(f64),
    /// Sets the count.
    Exactly(u32),
}

impl Adjustment {
    /// 1 if it adds replicas to any count, -1 if it removes some, 0 if the count stays or is set.
    fn direction(self) -> i8 {
        let of = |change: f64| i8::from(change > 0.0) - i8::from(change < 0.0);
        match self {
            Self::Change(change) => of(f64::from(change)),
            Self::Percent(percent) => of(percent),
            Self::Exactly(_) => 0,
        }
    }
}

impl Band {
    /// The band's adjustment. `None` unless exactly one is set.
    pub fn adjustment(&self) -> Option<Adjustment> {
        match (self.change, self.percent, self.exactly) {
            (Some(change), None, None) => Some(Adjustment::Change(change)),
            (None, Some(percent), None) => Some(Adjustment::Percent(percent)),
            (None, None, Some(exactly)) => Some(Adjustment::Exactly(exactly)),
            _ => None,
        }
    }

    /// Whether a value is in the band.
    pub fn contains(&self, value: f64) -> bool {
        self.from.is_none_or(|from| value >= from) && self.below.is_none_or(|below| value < below)
    }
}

fn one() -> u32 {
    1
}

fn a_minute() -> u64 {
    60_000
}

impl Config {
    /// Checks the ranges and the order of the bands.
    ///
    /// # Errors
    /// A sentence that names the invalid field.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=32).contains(&self.bands.len()) {
            return Err(format!("`bands` has {} entries; expected 1 to 32", self.bands.len()));
        }
        for (index, band) in self.bands.iter().enumerate() {
            if band.adjustment().is_none() {
                return Err(format!("`bands[{index}]`: expected exactly one of `change`, `percent` and `exactly`"));
            }
            let (from, below) = (band.from.unwrap_or(f64::NEG_INFINITY), band.below.unwrap_or(f64::INFINITY));
            if from >= below {
                return Err(format!(
                    "`bands[{index}]`: `from` is {from} and `below` is {below}; `below` must be higher"
                ));
            }
        }
        for (index, pair) in self.bands.windows(2).enumerate() {
            let next = index + 1;
            let (Some(end), Some(begin)) = (pair[0].below, pair[1].from) else {
                return Err(format!(
                    "`bands[{next}].from` and `bands[{index}].below` must be set: only the first band may omit `from`, and \
                     only the last may omit `below`"
                ));
            };
            if begin > end {
                return Err(format!(
                    "`bands[{next}].from` is {begin}, which leaves a gap after {end}, where `bands[{index}]` ends"
                ));
            }
            if begin < end {
                return Err(format!(
                    "`bands[{next}].from` is {begin}, which overlaps `bands[{index}]`, which ends at {end}; list bands in \
                     ascending order"
                ));
            }
        }
        self.check_has_an_end()?;
        if self.minimum_magnitude == 0 {
            return Err("`minimum-magnitude` is 0; expected 1 to 1000".to_owned());
        }
        if self.hold_ms > 3_600_000 {
            return Err(format!("`hold-ms` is {}; expected 0 to 3600000", self.hold_ms));
        }
        Ok(())
    }

    /// Checks that the count can stop changing, whatever the metric does.
    fn check_has_an_end(&self) -> Result<(), String> {
        let directions: Vec<i8> =
            self.bands.iter().map(|band| band.adjustment().map_or(0, Adjustment::direction)).collect();
        let (Some(first), Some(last)) = (self.bands.first(), self.bands.last()) else { return Ok(()) };
        let is_open = first.from.is_none() && last.below.is_none();
        for (direction, verb) in [(1, "adds"), (-1, "removes")] {
            if !(is_open && directions.iter().all(|each| *each == direction)) {
                continue;
            }
            if self.bands.len() == 1 {
                return Err(format!(
                    "`bands[0]` has neither `from` nor `below`, so it {verb} replicas at every value, without end; set a \
                     bound, or use `exactly`"
                ));
            }
            return Err(format!(
                "`bands`: every value {verb} replicas, without end; leave a range of values without a change, such as a \
                 band with `\"change\": 0`"
            ));
        }
        // This metric follows the count, so the count must leave the band that changes it.
        let (rises, falls) = (directions.last() == Some(&1), directions.first() == Some(&-1));
        if (last.below.is_none() && rises) || (first.from.is_none() && falls) {
            return check_is_load("metric", &self.metric);
        }
        Ok(())
    }
}

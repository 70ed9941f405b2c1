//! The settings of the step policy.

use serde::Deserialize;

/// Checked settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// What is looked at.
    pub metric: String,
    /// What is done where its value lies: 1 to 32, from low to high, without gaps and overlaps.
    pub bands: Vec<Band>,
    /// The fewest replicas a change by percent comes to: 1 to 1,000. Default 1.
    #[serde(default = "one")]
    pub minimum_magnitude: u32,
    /// Milliseconds in which a step is not taken again: up to 1 h. Default 60,000.
    #[serde(default = "a_minute")]
    pub hold_ms: u64,
}

/// Values, and what is done there.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Band {
    /// The least of them; none: no matter how low.
    pub from: Option<f64>,
    /// What they are below; none: no matter how high.
    pub below: Option<f64>,
    /// Replicas more or fewer.
    pub change: Option<i32>,
    /// Percent of the replicas more or fewer.
    pub percent: Option<f64>,
    /// The count.
    pub exactly: Option<u32>,
}

/// What a band does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Adjustment {
    /// So many more or fewer.
    Change(i32),
    /// So many percent more or fewer.
    Percent(f64),
    /// This many.
    Exactly(u32),
}

impl Band {
    /// What it does; none: not exactly one thing.
    pub fn adjustment(&self) -> Option<Adjustment> {
        match (self.change, self.percent, self.exactly) {
            (Some(change), None, None) => Some(Adjustment::Change(change)),
            (None, Some(percent), None) => Some(Adjustment::Percent(percent)),
            (None, None, Some(exactly)) => Some(Adjustment::Exactly(exactly)),
            _ => None,
        }
    }

    /// Whether a value lies in it.
    pub fn has(&self, value: f64) -> bool {
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
    /// What a schema cannot say.
    ///
    /// # Errors
    /// A sentence that names the field.
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
                    "`bands[{index}]`: `from` is {from}, and `below` is {below}; expected `below` above it"
                ));
            }
        }
        for (index, pair) in self.bands.windows(2).enumerate() {
            let next = index + 1;
            let (Some(end), Some(begin)) = (pair[0].below, pair[1].from) else {
                return Err(format!(
                    "`bands[{next}].from` and `bands[{index}].below` must be there: only the first band has no lowest value, \
                     and only the last no highest"
                ));
            };
            if begin > end {
                return Err(format!(
                    "`bands[{next}].from` is {begin}: there is a gap from {end}, where `bands[{index}]` ends"
                ));
            }
            if begin < end {
                return Err(format!(
                    "`bands[{next}].from` is {begin}: it overlaps `bands[{index}]`, which ends at {end}; give bands from low \
                     to high"
                ));
            }
        }
        if self.minimum_magnitude == 0 {
            return Err("`minimum-magnitude` is 0; expected 1 to 1000".to_owned());
        }
        if self.hold_ms > 3_600_000 {
            return Err(format!("`hold-ms` is {}; expected 0 to 3600000", self.hold_ms));
        }
        Ok(())
    }
}

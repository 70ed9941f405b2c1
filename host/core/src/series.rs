//! The recorded course of a workload over time, for charts.

use crate::Timestamp;
use serde::Serialize;

/// A period that is divided into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The beginning of the first step.
    pub since: Timestamp,
    /// The length of a step in milliseconds, at least 1.
    pub step: u64,
    /// The number of steps.
    pub count: usize,
}

impl Steps {
    /// The end of the last step.
    pub fn until(&self) -> Timestamp {
        Timestamp(self.since.0.saturating_add(self.step.saturating_mul(self.count as u64)))
    }

    /// The beginning of a step.
    pub fn begin(&self, index: usize) -> Timestamp {
        Timestamp(self.since.0.saturating_add(self.step.saturating_mul(index as u64)))
    }

    /// The step that contains a time. `None` outside of the period.
    pub fn index(&self, at: Timestamp) -> Option<usize> {
        let index = usize::try_from(at.0.checked_sub(self.since.0)? / self.step.max(1)).ok()?;
        (index < self.count).then_some(index)
    }
}

/// The numbers of a recorded decision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecisionPoint {
    /// Its number.
    pub id: i64,
    /// Time of its observation.
    pub at: Timestamp,
    /// The policy's proposal. `None` if there was none; the same holds for its two stages.
    pub raw: Option<f64>,
    /// The proposal after windows and cooldowns.
    pub stabilized: Option<f64>,
    /// That count after the rates.
    pub limited: Option<f64>,
    /// The target count.
    pub target: Option<f64>,
    /// The replicas that ran after its actions; of earlier versions, those that counted before them.
    pub running: Option<f64>,
    /// The configuration of the scaling policy, JSON text. `None` if it is not kept, or has more than 8 KiB.
    pub config: Option<String>,
}

/// The samples of a metric in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplePoint {
    /// The number of the step.
    pub index: usize,
    /// The mean of its values.
    pub mean: f64,
    /// Its last value, and the time of that.
    pub last: f64,
    /// The time of its last value.
    pub at: Timestamp,
}

/// The kind of a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BandKind {
    /// Outdated replicas are replaced.
    Rollout,
    /// An operator overrides the policies.
    Override,
    /// No replica serves, although some should.
    Outage,
    /// The engine cannot be observed.
    Blind,
}

impl BandKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Rollout, Self::Override, Self::Outage, Self::Blind];

    /// Its name in the store and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Override => "override",
            Self::Outage => "outage",
            Self::Blind => "blind",
        }
    }
}

/// A time during which a workload was in a state of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// Its kind.
    pub kind: BandKind,
    /// Its beginning.
    pub since: Timestamp,
    /// Its end. `None` while it lasts.
    pub until: Option<Timestamp>,
    /// One sentence.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_belongs_to_one_step() {
        let steps = Steps { since: Timestamp(1_000), step: 500, count: 3 };
        assert_eq!(steps.until(), Timestamp(2_500));
        let index = |at| steps.index(Timestamp(at));
        assert_eq!(
            [999, 1_000, 1_499, 1_500, 2_499, 2_500].map(index),
            [None, Some(0), Some(0), Some(1), Some(2), None]
        );
        assert_eq!(steps.begin(2), Timestamp(2_000));
    }
}

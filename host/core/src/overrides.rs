//! What an operator says over every policy: pause, freeze a direction, force a count for a time.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// An operator's word on the count of a workload. Healing goes on under all of them, and the policy is asked and its
/// proposals recorded as ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// The count stays where it is.
    pub paused: bool,
    /// The count does not rise.
    pub freeze_scale_up: bool,
    /// The count does not fall.
    pub freeze_scale_down: bool,
    /// The count is this one for a time; over the others.
    pub force: Option<Force>,
}

impl Overrides {
    /// What of it holds at this time.
    #[must_use]
    pub fn in_force(self, now: Timestamp) -> Self {
        Self { force: self.forced(now), ..self }
    }

    /// Whether anything is said at all.
    pub fn is_anything(&self) -> bool {
        *self != Self::default()
    }

    /// The count that is forced at this time.
    pub fn forced(&self, now: Timestamp) -> Option<Force> {
        self.force.filter(|force| now < force.until)
    }
}

/// A count that is forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Force {
    /// How many; the bounds still hold.
    pub replicas: u32,
    /// From when on the policy decides again.
    pub until: Timestamp,
}

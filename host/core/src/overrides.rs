//! An operator's overrides of the policies: pause, freeze a direction, force a count for a time.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// An operator's overrides for a workload's count. Repair continues under all of them, and the policy is still called
/// and its proposals recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// The count does not change.
    pub paused: bool,
    /// No scale-out.
    pub freeze_scale_up: bool,
    /// No scale-in.
    pub freeze_scale_down: bool,
    /// A forced count for a time; it takes precedence over the others.
    pub force: Option<Force>,
}

impl Overrides {
    /// The overrides that apply at this time.
    #[must_use]
    pub fn in_force(self, now: Timestamp) -> Self {
        Self { force: self.forced(now), ..self }
    }

    /// Whether any override is set.
    pub fn is_anything(&self) -> bool {
        *self != Self::default()
    }

    /// The forced count at this time.
    pub fn forced(&self, now: Timestamp) -> Option<Force> {
        self.force.filter(|force| now < force.until)
    }
}

/// A forced count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Force {
    /// The count; the bounds still apply.
    pub replicas: u32,
    /// The end: from then on the policy decides again.
    pub until: Timestamp,
}

//! The parts of a plan while it is made.

use std::time::Duration;
use windlass_core::settings::ControlSettings;
use windlass_core::{Alert, Deferral, Slot, Step, Timestamp};

/// Collects the steps, deferrals and alerts of one plan. Each rule adds its part in its own file.
pub(crate) struct Planner<'a> {
    pub(crate) settings: &'a ControlSettings,
    pub(crate) now: Timestamp,
    /// Time until the next pass. `None` means the usual interval.
    pub(crate) next_pass: Option<Duration>,
    pub(crate) steps: Vec<Step>,
    pub(crate) deferred: Vec<Deferral>,
    pub(crate) alerts: Vec<Alert>,
    /// Whether the created replicas are of the generation before.
    pub(crate) uses_previous: bool,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(settings: &'a ControlSettings, now: Timestamp) -> Self {
        Self {
            settings,
            now,
            next_pass: None,
            steps: Vec::new(),
            deferred: Vec::new(),
            alerts: Vec::new(),
            uses_previous: false,
        }
    }

    /// Requests the next pass after this time at the latest.
    pub(crate) fn next_pass_after(&mut self, wait: Duration) {
        self.next_pass = Some(self.next_pass.map_or(wait, |earlier| earlier.min(wait)));
    }

    /// Defers the repair or creation of a slot's replica.
    pub(crate) fn defer(&mut self, slot: Slot, wait: Duration, reason: String) {
        self.next_pass_after(wait);
        self.deferred.push(Deferral { slot, until: self.now.plus(wait), reason });
    }
}

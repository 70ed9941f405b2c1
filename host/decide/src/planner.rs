//! The parts of a plan while it is made.

use crate::compose::ComposeRules;
use crate::replica_count::ReplicaCount;
use std::collections::BTreeSet;
use std::time::Duration;
use windlass_core::settings::ControlSettings;
use windlass_core::{Alert, Deferral, History, Plan, Slot, Snapshot, Step, Timestamp, Verdict, Workload};

/// The shortest time after which a policy may request its next evaluation.
pub(crate) const SHORTEST_EVALUATE_AFTER: Duration = Duration::from_secs(1);

/// Collects the steps, deferrals and alerts of one plan. Each rule adds its part in its own file.
pub(crate) struct Planner<'a> {
    pub(crate) settings: &'a ControlSettings,
    pub(crate) now: Timestamp,
    /// The rules of a service of Compose. `None` for any other workload.
    pub(crate) compose: Option<ComposeRules>,
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
            compose: None,
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

    /// The slots that the steps so far fill.
    pub(crate) fn filled(&self) -> impl Iterator<Item = Slot> {
        self.steps.iter().filter_map(|step| match step {
            Step::Create { slot, .. } | Step::Supersede { slot, .. } => Some(*slot),
            _ => None,
        })
    }

    /// The free slots, the lowest first: none has a replica, gets one by a step so far, or has the name of another container.
    pub(crate) fn free_slots(&self, snapshot: &Snapshot, history: &History) -> impl Iterator<Item = Slot> + use<> {
        let mut taken: BTreeSet<Slot> = snapshot.replicas.iter().map(|replica| replica.slot).collect();
        taken.extend(self.filled());
        taken.extend(history.blocked.iter().filter(|(_, blocked)| blocked.is_name_taken).map(|(slot, _)| *slot));
        (1..).map(Slot).filter(move |slot| !taken.contains(slot))
    }

    /// Defers the repair or creation of a slot's replica.
    pub(crate) fn defer(&mut self, slot: Slot, wait: Duration, reason: String) {
        self.next_pass_after(wait);
        self.deferred.push(Deferral { slot, until: self.now.plus(wait), reason });
    }

    /// The plan with these steps and this count.
    pub(crate) fn into_plan(
        mut self,
        count: ReplicaCount,
        desired: &Workload,
        verdict: &Verdict,
        history: History,
    ) -> Plan {
        let evaluate_after = verdict.scaling.answer.as_ref().ok().and_then(|decision| decision.evaluate_after);
        if let Some(force) = desired.overrides.forced(self.now) {
            self.next_pass_after(force.until.since(self.now));
        }
        let ReplicaCount { target, reason, stages, held_by } = count;
        Plan {
            target,
            reason,
            stages,
            held_by,
            steps: self.steps,
            deferred: self.deferred,
            alerts: self.alerts,
            recommended: None,
            history,
            next_pass: self.next_pass,
            evaluate_after: evaluate_after.map(|after| Duration::from_millis(after).max(SHORTEST_EVALUATE_AFTER)),
            uses_previous: self.uses_previous,
        }
    }
}

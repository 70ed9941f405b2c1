//! Alerts about chosen policies that do not act as chosen.

use crate::planner::Planner;
use windlass_core::{Alert, AlertKind, History, Verdict};

impl Planner<'_> {
    /// Records the chosen policies that do not act as chosen, and reports an alert for each.
    pub(crate) fn note_stand_ins(&mut self, verdict: &Verdict, history: &mut History) {
        let before = std::mem::take(&mut history.stand_ins);
        for stand_in in &verdict.stand_ins {
            let since = before.get(&stand_in.policy).copied().unwrap_or(self.now);
            history.stand_ins.insert(stand_in.policy.clone(), since);
            let reason = stand_in.reason.clone();
            self.alerts.push(Alert { kind: AlertKind::StandIn, since, slot: None, replica: None, reason });
        }
    }
}

//! The failures of a rollout in one pass.

use crate::reconcile::result::Outcome;
use std::collections::BTreeSet;
use windlass_core::{Failure, Plan, Slot, Step, Timestamp};

/// Records in the plan's history which new replicas could not be created.
pub(crate) fn remember_failed_rollout(plan: &mut Plan, outcome: &Outcome, now: Timestamp) {
    if plan.uses_previous {
        return;
    }
    let emptied: BTreeSet<Slot> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Replace { slot, .. } | Step::Renew { slot, .. } => Some(*slot),
            _ => None,
        })
        .collect();
    let mut errors: Vec<String> = outcome.unprepared.iter().cloned().collect();
    let mut stops_nothing = true;
    for failure in &outcome.failures {
        // Another slot is filled where a name is taken: the new generation is not the cause.
        if let Failure::NotFilled { slot, error, is_name_taken: false } = failure {
            errors.push(error.clone());
            stops_nothing &= !emptied.contains(slot);
        }
    }
    windlass_decide::remember_failed_rollout(&mut plan.history, &errors, stops_nothing, now);
}

//! Alerts about outdated replicas: a paused rollout, and replicas that nothing replaces.

use crate::planner::Planner;
use crate::rollout::{Rollout, RolloutInputs, share};
use windlass_core::workload::Mode;
use windlass_core::{Alert, AlertKind, History, RolloutMode, Snapshot, Workload};

impl Planner<'_> {
    /// Alerts about a rollout that is paused, and about outdated replicas that nothing replaces.
    pub(crate) fn alert_outdated(
        &mut self,
        rollout: Option<&Rollout>,
        inputs: &RolloutInputs<'_>,
        history: &mut History,
    ) {
        let RolloutInputs { desired, snapshot, now, .. } = *inputs;
        let whole = |kind, since, reason| Alert { kind, since, slot: None, replica: None, reason };
        if let (Some(rollout), Some(memory)) = (rollout, &history.rollout)
            && let Some(since) = memory.paused
        {
            let reason = format!(
                "the rollout is paused after {} failed new replicas in a row: {}; {}; correct the workload and start it \
                 again, or return with `POST /images/{}/rollback`",
                memory.failures,
                memory.last_failure,
                share(rollout.outdated, rollout.counted),
                desired.key
            );
            self.alerts.push(whole(AlertKind::RolloutPaused, since, reason));
        }
        let reason = rollout
            .filter(|rollout| rollout.outdated > 0 && !rollout.is_paused)
            .and_then(|rollout| not_replaced(desired, rollout))
            .or_else(|| mixed_images(desired, snapshot));
        match reason {
            Some(reason) => {
                let since = *history.outdated.get_or_insert(now);
                self.alerts.push(whole(AlertKind::Outdated, since, reason));
            }
            None => history.outdated = None,
        }
    }
}

/// Why outdated replicas stay until a person acts, in words. `None` if they are replaced, or wait for a moment.
fn not_replaced(desired: &Workload, rollout: &Rollout) -> Option<String> {
    let overrides = desired.overrides;
    let is_recommended = desired.policies.mode == Some(Mode::Recommend);
    let waits_for_person = desired.rollout.mode == RolloutMode::Manual
        || overrides.paused
        || overrides.freeze_scale_up
        || overrides.freeze_scale_down;
    let why = match &rollout.standstill {
        Some(why) if waits_for_person => why.as_str(),
        _ if is_recommended => "the workload only recommends",
        None if rollout.replaceable.is_empty() => "they are protected, given up or stopped",
        _ => return None,
    };
    let share = share(rollout.outdated, rollout.counted);
    Some(format!("{share} and not replaced, because {why}; a replica is new after you remove its container"))
}

/// Says that replicas were made from different images under one reference. `None` if they were not.
fn mixed_images(desired: &Workload, snapshot: &Snapshot) -> Option<String> {
    let generation = desired.current_generation(&snapshot.replicas);
    let outdated = desired.outdated(&snapshot.replicas);
    let mixed =
        snapshot.counted().filter(|replica| outdated.contains(&replica.id) && desired.is_of(&generation, replica));
    let (mixed, counted) = (mixed.count(), snapshot.counted().count());
    (mixed > 0).then(|| {
        format!(
            "{mixed} of {counted} replicas {} made from another image than the newest, because `{}` leads to another one \
             now; start the workload with `?pull=true` to replace all",
            if mixed == 1 { "was" } else { "were" },
            desired.image
        )
    })
}

//! Alerts about replicas whose state concerns a person, although nothing repairs it.

use crate::planner::Planner;
use windlass_core::settings::ControlSettings;
use windlass_core::{Alert, AlertKind, History, Phase, Replica, Snapshot, Timestamp, Trouble, TroubleKind};

/// From this number of restarts, a container that the engine keeps restarting is in a crash loop.
pub(crate) const FEWEST_RESTARTS: u32 = 3;

/// Whether a replica has run for so long that its earlier restarts are over.
pub(crate) fn runs_well(replica: &Replica, settings: &ControlSettings, now: Timestamp) -> bool {
    replica.phase == Phase::Running && replica.started_at.is_some_and(|at| now.since(at) >= settings.backoff_reset)
}

impl Planner<'_> {
    /// Records the replicas that the engine does not describe, and those in a crash loop behind a restart policy of the
    /// engine, and reports an alert for each.
    pub(crate) fn note_troubles(&mut self, snapshot: &Snapshot, history: &mut History) {
        let before = std::mem::take(&mut history.troubles);
        for replica in &snapshot.replicas {
            let Some((kind, reason)) = self.trouble(replica) else { continue };
            let known = before.get(&replica.id).filter(|trouble| trouble.kind == kind);
            let since = known.map_or(self.now, |trouble| trouble.since);
            history.troubles.insert(replica.id.clone(), Trouble { kind, since });
            let kind = match kind {
                TroubleKind::Unknown => AlertKind::Unknown,
                TroubleKind::CrashLoop => AlertKind::CrashLoop,
                TroubleKind::Unhealthy => AlertKind::Unhealthy,
            };
            let (slot, replica) = (Some(replica.slot), Some(replica.id.clone()));
            self.alerts.push(Alert { kind, since, slot, replica, reason });
        }
    }

    fn trouble(&self, replica: &Replica) -> Option<(TroubleKind, String)> {
        let Replica { name, engine_restarts: restarts, error, .. } = replica;
        if replica.phase == Phase::Unknown {
            let reason = format!(
                "the engine does not describe container `{name}`: {error}; it counts as not ready and is left alone"
            );
            return Some((TroubleKind::Unknown, reason));
        }
        let policy = replica.restart_policy.as_ref()?;
        let runs_well = runs_well(replica, self.settings, self.now);
        if *restarts < FEWEST_RESTARTS || runs_well || !matches!(replica.phase, Phase::Running | Phase::Restarting) {
            return None;
        }
        let reason = format!(
            "the engine has restarted container `{name}` {restarts} times by its restart policy `{policy}`, which Windlass \
             did not set; fix the cause, or remove the policy with `docker update --restart=no {name}`"
        );
        Some((TroubleKind::CrashLoop, reason))
    }
}

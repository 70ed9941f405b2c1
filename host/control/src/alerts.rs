//! Reports an alert once, when it begins: in the log, and to the URL of `control.alert_url`.

use crate::webhook::Webhook;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::net::Net;
use windlass_core::{Alert, AlertKind, Blocked, History, Plan, Snapshot, TroubleKind, Workload};

/// Time limit of one post.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reports alerts.
#[derive(Clone)]
pub(crate) struct Alerts {
    webhook: Webhook,
    /// The URL to which alerts are posted. `None` if they go to the log only.
    url: Option<String>,
}

impl Alerts {
    /// Alerts to `url` that name this machine `host`.
    pub(crate) fn new(net: Arc<dyn Net>, url: Option<String>, host: String) -> Self {
        Self { webhook: Webhook::new(net, host, TIMEOUT), url }
    }

    /// Reports the alerts of a plan that the history before it does not contain. Logs the alerts that are over.
    pub(crate) fn report(&self, workload: &Workload, snapshot: &Snapshot, before: &History, plan: &Plan) {
        let has_begun = |alert: &&Alert| is_known(alert, &plan.history) && !is_known(alert, before);
        for alert in plan.alerts.iter().filter(has_begun) {
            self.report_one(workload, snapshot, alert);
        }
        let is_over = |slot| plan.history.slots.get(slot).is_none_or(|entry| entry.given_up.is_none());
        for (slot, _) in before.slots.iter().filter(|(slot, entry)| entry.given_up.is_some() && is_over(slot)) {
            tracing::info!(workload = %workload.key, %slot, "the slot is repaired again");
        }
        let is_filled = |slot| plan.history.blocked.get(slot).is_none_or(|blocked| !blocked.is_alert());
        for (slot, _) in before.blocked.iter().filter(|(slot, blocked)| blocked.is_alert() && is_filled(slot)) {
            tracing::info!(workload = %workload.key, %slot, "the slot can be filled again");
        }
        if before.probe_path.is_some() && plan.history.probe_path.is_none() {
            tracing::info!(workload = %workload.key, "most replicas answer their probe again");
        }
    }

    fn report_one(&self, workload: &Workload, snapshot: &Snapshot, alert: &Alert) {
        let replica = alert.replica.as_ref().and_then(|id| snapshot.replica(id));
        let name = replica.map(|replica| replica.name.clone());
        let slot = alert.slot.map(|slot| slot.0);
        tracing::error!(workload = %workload.key, slot, name, reason = alert.reason, "a person should look into this alert");
        let Some(url) = self.url.clone() else { return };
        let notice = json!({
            "kind": alert.kind,
            "workload": workload.key,
            "image": workload.image,
            "slot": slot,
            "container_id": alert.replica,
            "name": name,
            "reason": alert.reason,
            "since": alert.since,
        });
        let key = workload.key.clone();
        self.webhook.post(url, notice, move |error| {
            tracing::warn!(workload = %key, %error, "the alert could not be posted to `control.alert_url`");
        });
    }
}

/// Returns true if a history contains the cause of an alert.
pub(crate) fn is_known(alert: &Alert, history: &History) -> bool {
    match (alert.kind, &alert.slot) {
        (AlertKind::GivenUp, Some(slot)) => history.slots.get(slot).is_some_and(|entry| entry.given_up.is_some()),
        (AlertKind::GivenUp, None) => false,
        (AlertKind::ProbePath, _) => history.probe_path.is_some(),
        (AlertKind::RolloutPaused, _) => {
            history.rollout.as_ref().is_some_and(|rollout| rollout.paused.is_some()) || history.service.paused.is_some()
        }
        (AlertKind::Uncopyable, _) => history.compose.as_ref().is_some_and(|compose| compose.uncopyable.is_some()),
        (AlertKind::Outdated, _) => history.outdated.is_some(),
        (AlertKind::Blocked, Some(slot)) => history.blocked.get(slot).is_some_and(Blocked::is_alert),
        (AlertKind::Blocked, None) => history.service.refused.as_ref().is_some_and(Blocked::is_alert),
        (AlertKind::NoRoom, _) => history.service.no_room.is_some(),
        (AlertKind::Unhealthy, _) => has_slot_trouble(alert, history, TroubleKind::Unhealthy),
        (AlertKind::Unremovable, _) => {
            alert.replica.as_ref().is_some_and(|replica| history.unremovable.contains_key(replica))
        }
        (AlertKind::Unknown, _) => has_trouble(alert, history, TroubleKind::Unknown),
        // An alert has no field for the policy. Two policies that failed at the same time became known together.
        (AlertKind::StandIn, _) => history.stand_ins.values().any(|since| *since == alert.since),
        (AlertKind::CrashLoop, _) => {
            has_trouble(alert, history, TroubleKind::CrashLoop)
                || has_slot_trouble(alert, history, TroubleKind::CrashLoop)
        }
    }
}

fn has_trouble(alert: &Alert, history: &History, kind: TroubleKind) -> bool {
    let trouble = alert.replica.as_ref().and_then(|replica| history.troubles.get(replica));
    trouble.is_some_and(|trouble| trouble.kind == kind)
}

fn has_slot_trouble(alert: &Alert, history: &History, kind: TroubleKind) -> bool {
    let known = alert.slot.and_then(|slot| history.service.troubles.get(&slot));
    known.is_some_and(|known| known.trouble.kind == kind)
}

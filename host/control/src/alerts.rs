//! Tells people of what they should look into, once when it begins: in the log, and where `control.alert_url` says.

use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::net::Net;
use windlass_core::{Alert, AlertKind, History, Plan, Snapshot, Workload};

/// Time a notice may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Sends notices in the background; a pass never waits for one.
#[derive(Clone)]
pub(crate) struct Alarm {
    net: Arc<dyn Net>,
    /// Where notices are posted to; none: nowhere.
    url: Option<String>,
    /// Name of this machine, told in notices.
    host: String,
}

impl Alarm {
    /// Notices to `url` that name this machine `host`.
    pub(crate) fn new(net: Arc<dyn Net>, url: Option<String>, host: String) -> Self {
        Self { net, url, host }
    }

    /// Tells of the alerts of a plan that did not stand in the history before it, and in the log of those that are over.
    pub(crate) fn sound(&self, workload: &Workload, snapshot: &Snapshot, before: &History, plan: &Plan) {
        for alert in plan.alerts.iter().filter(|alert| stands(alert, &plan.history) && !stands(alert, before)) {
            self.tell(workload, snapshot, alert);
        }
        let over = |slot| plan.history.slots.get(slot).is_none_or(|entry| entry.given_up.is_none());
        for (slot, _) in before.slots.iter().filter(|(slot, entry)| entry.given_up.is_some() && over(slot)) {
            tracing::info!(workload = %workload.key, %slot, "the slot is healed again");
        }
        if before.probe_path.is_some() && plan.history.probe_path.is_none() {
            tracing::info!(workload = %workload.key, "most replicas answer their probe again");
        }
    }

    fn tell(&self, workload: &Workload, snapshot: &Snapshot, alert: &Alert) {
        let replica = alert.replica.as_ref().and_then(|id| snapshot.replica(id));
        let name = replica.map(|replica| replica.name.clone());
        let slot = alert.slot.map(|slot| slot.0);
        tracing::error!(workload = %workload.key, slot, name, reason = alert.reason, "somebody should look into this");
        let Some(url) = self.url.clone() else { return };
        let body = json!({
            "kind": alert.kind,
            "workload": workload.key,
            "image": workload.image,
            "slot": slot,
            "container_id": alert.replica,
            "name": name,
            "reason": alert.reason,
            "since": alert.since,
            "host": self.host,
        });
        let (net, key) = (Arc::clone(&self.net), workload.key.clone());
        tokio::spawn(async move {
            if let Err(error) = net.post_json(&url, &body, LIMIT).await {
                tracing::warn!(workload = %key, %error, "the alert could not be posted");
            }
        });
    }
}

/// Whether a history knows what an alert is about.
fn stands(alert: &Alert, history: &History) -> bool {
    match (alert.kind, &alert.slot) {
        (AlertKind::GivenUp, Some(slot)) => history.slots.get(slot).is_some_and(|entry| entry.given_up.is_some()),
        (AlertKind::GivenUp, None) => false,
        (AlertKind::ProbePath, _) => history.probe_path.is_some(),
    }
}

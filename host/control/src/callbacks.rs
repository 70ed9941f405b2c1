//! Notifies the URL in a workload's `DISCOVERY_CALLBACK` about its replicas: best effort.

use crate::webhook::Webhook;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::net::Net;
use windlass_core::{Replica, Workload};

/// The environment variable of a workload that contains the URL.
const VARIABLE: &str = "DISCOVERY_CALLBACK";

/// Time limit of one post.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Sends callbacks.
#[derive(Clone)]
pub(crate) struct Callbacks {
    webhook: Webhook,
}

impl Callbacks {
    /// Callbacks that name this machine `host`.
    pub(crate) fn new(net: Arc<dyn Net>, host: String) -> Self {
        Self { webhook: Webhook::new(net, host, TIMEOUT) }
    }

    /// Sends `event` (`create`, `start`, `stop`) about a replica, if the workload has a callback.
    pub(crate) fn notify(&self, workload: &Workload, replica: &Replica, event: &'static str) {
        let Some(url) = workload.env.get(VARIABLE).filter(|url| !url.is_empty()).cloned() else {
            return;
        };
        let notice = json!({
            "image": workload.image,
            "container_id": replica.id,
            "name": replica.name,
            "ports": replica.docker_ports(),
            "status": if replica.is_running() { "running" } else { "stopped" },
            "event": event,
        });
        let container = replica.id.clone();
        self.webhook.post(url, notice, move |error| {
            tracing::warn!(%container, event, %error, "the discovery callback failed");
        });
    }
}

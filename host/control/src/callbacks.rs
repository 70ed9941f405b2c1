//! Tells the URL in a workload's `DISCOVERY_CALLBACK` about replicas that come and go: best effort.

use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::net::Net;
use windlass_core::{Replica, Workload};

/// The variable of a workload's environment that holds the URL.
const VARIABLE: &str = "DISCOVERY_CALLBACK";

/// Time a callback may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Sends notices in the background; a pass never waits for one.
#[derive(Clone)]
pub struct Callbacks {
    net: Arc<dyn Net>,
    /// Name of this machine, told to callbacks.
    host: String,
}

impl Callbacks {
    /// Notices that name this machine `host`.
    pub fn new(net: Arc<dyn Net>, host: String) -> Self {
        Self { net, host }
    }

    /// Sends `event` (`create`, `start`, `stop`) about a replica, where the workload asked for it.
    pub fn notify(&self, workload: &Workload, replica: &Replica, event: &'static str) {
        let Some(url) = workload.env.get(VARIABLE).filter(|url| !url.is_empty()).cloned() else {
            return;
        };
        let body = json!({
            "image": workload.image,
            "container_id": replica.id,
            "name": replica.name,
            "host": self.host,
            "ports": replica.docker_ports(),
            "status": if replica.is_alive() { "running" } else { "stopped" },
            "event": event,
        });
        let net = Arc::clone(&self.net);
        let container = replica.id.clone();
        tokio::spawn(async move {
            if let Err(error) = net.post_json(&url, &body, LIMIT).await {
                tracing::warn!(%container, event, %error, "the discovery callback failed");
            }
        });
    }
}
